//! The instruments that events are recorded with. Gauges that are read at each collection are in `gauges`.

use opentelemetry::metrics::{Counter, Histogram, Meter, UpDownCounter};

use super::catalogue;

/// One instrument for each entry of the catalogue that is recorded by events.
pub(super) struct Instruments {
    pub(super) rpcs: Counter<u64>,
    pub(super) rpc_duration: Histogram<f64>,
    pub(super) overhead: Histogram<f64>,
    pub(super) errors: Counter<u64>,
    pub(super) caller_rpcs: Counter<u64>,
    pub(super) shed: Counter<u64>,
    pub(super) panics: Counter<u64>,
    pub(super) auth_failures: Counter<u64>,
    pub(super) cache_lookups: Counter<u64>,
    pub(super) cache_evictions: Counter<u64>,
    pub(super) tokens: Counter<u64>,
    pub(super) model_tokens: Counter<u64>,
    pub(super) model_pixels: Counter<u64>,
    pub(super) cost: Counter<f64>,
    pub(super) quota_refusals: Counter<u64>,
    pub(super) queue_wait: Histogram<f64>,
    pub(super) batch_size: Histogram<f64>,
    pub(super) batch_fill: Histogram<f64>,
    pub(super) embeddings_duration: Histogram<f64>,
    pub(super) embeddings_input_tokens: Histogram<f64>,
    pub(super) retries: Counter<u64>,
    pub(super) rate_limited: Counter<u64>,
    pub(super) upstream_calls: Counter<u64>,
    pub(super) upstream_duration: Histogram<f64>,
    pub(super) connections: UpDownCounter<i64>,
    pub(super) connection_failures: Counter<u64>,
    pub(super) tls_handshakes: Counter<u64>,
    pub(super) reloads: Counter<u64>,
}

impl Instruments {
    pub(super) fn new(meter: &Meter) -> Self {
        Self {
            rpcs: catalogue::RPCS.counter(meter),
            rpc_duration: catalogue::RPC_DURATION.histogram(meter),
            overhead: catalogue::OVERHEAD.histogram(meter),
            errors: catalogue::ERRORS.counter(meter),
            caller_rpcs: catalogue::CALLER_RPCS.counter(meter),
            shed: catalogue::SHED.counter(meter),
            panics: catalogue::PANICS.counter(meter),
            auth_failures: catalogue::AUTH_FAILURES.counter(meter),
            cache_lookups: catalogue::CACHE_LOOKUPS.counter(meter),
            cache_evictions: catalogue::CACHE_EVICTIONS.counter(meter),
            tokens: catalogue::TOKENS.counter(meter),
            model_tokens: catalogue::MODEL_TOKENS.counter(meter),
            model_pixels: catalogue::MODEL_PIXELS.counter(meter),
            cost: catalogue::COST.float_counter(meter),
            quota_refusals: catalogue::QUOTA_REFUSALS.counter(meter),
            queue_wait: catalogue::QUEUE_WAIT.histogram(meter),
            batch_size: catalogue::BATCH_SIZE.histogram(meter),
            batch_fill: catalogue::BATCH_FILL.histogram(meter),
            embeddings_duration: catalogue::EMBEDDINGS_DURATION.histogram(meter),
            embeddings_input_tokens: catalogue::EMBEDDINGS_INPUT_TOKENS.histogram(meter),
            retries: catalogue::RETRIES.counter(meter),
            rate_limited: catalogue::RATE_LIMITED.counter(meter),
            upstream_calls: catalogue::UPSTREAM_CALLS.counter(meter),
            upstream_duration: catalogue::UPSTREAM_DURATION.histogram(meter),
            connections: catalogue::CONNECTIONS.up_down_counter(meter),
            connection_failures: catalogue::CONNECTION_FAILURES.counter(meter),
            tls_handshakes: catalogue::TLS_HANDSHAKES.counter(meter),
            reloads: catalogue::RELOADS.counter(meter),
        }
    }
}
