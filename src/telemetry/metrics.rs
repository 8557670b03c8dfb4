//! Every metric, each recorded by one documented function.
//!
//! Labels come from closed lists only, or from the bounded one of callers' names: nobody can make series at will.

mod connections;
mod outcome;
mod tls;

use std::{sync::Arc, time::Duration};

use http::StatusCode;
use opentelemetry::{
    KeyValue,
    metrics::{Counter, Histogram, Meter, MeterProvider as _},
};
use opentelemetry_sdk::{Resource, metrics::SdkMeterProvider};
use prometheus::{Encoder as _, Registry, TextEncoder, proto::MetricFamily};

pub use connections::{ConnectionFailure, OpenConnection, PortName};
pub use outcome::RpcOutcome;
pub use tls::{Handshake, OpenHandshake};

use super::{callers::CallerNames, recent::Recent};
use crate::{caller::Caller, embedding::Parameters, model};

/// Upper bounds of the upstream duration's buckets, in seconds.
const SECONDS: [f64; 14] =
    [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0];

/// The gateway's metrics; cheap to clone.
#[derive(Clone)]
pub struct Metrics {
    instruments: Arc<Instruments>,
}

struct Instruments {
    registry: Registry,
    provider: SdkMeterProvider,
    rpcs: Counter<u64>,
    lookups: Counter<u64>,
    upstream_calls: Counter<u64>,
    upstream_duration: Histogram<f64>,
    tokens: Counter<u64>,
    caller_names: CallerNames,
    quota_refusals: Counter<u64>,
    shed: Counter<u64>,
    retries: Counter<u64>,
    rate_limited: Counter<u64>,
    panics: Counter<u64>,
    connections: connections::Instruments,
    reloads: Counter<u64>,
    tls: tls::Instruments,
    auth_failures: Counter<u64>,
    recent: Recent,
}

/// Why the metrics cannot be set up or read.
#[derive(Debug, thiserror::Error)]
#[error("metrics: {0}")]
pub struct MetricsError(String);

impl Metrics {
    /// Sets up a registry of its own.
    pub fn new() -> Result<Self, MetricsError> {
        let registry = Registry::new();
        let exporter = opentelemetry_prometheus::exporter()
            .with_registry(registry.clone())
            // One scope: naming it in every series says nothing.
            .scope_info_enabled(false)
            .build()
            .map_err(|error| MetricsError(error.to_string()))?;
        // Empty at first: the usual builder reads the environment.
        let resource = Resource::builder_empty()
            .with_service_name("voyage-gateway")
            .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
            .build();
        let provider =
            SdkMeterProvider::builder().with_resource(resource).with_reader(exporter).build();
        let meter = provider.meter("voyage-gateway");
        Ok(Self { instruments: Arc::new(Instruments::new(registry, provider, &meter)) })
    }

    /// Returns what was slow or failed of late.
    pub fn recent(&self) -> &Recent {
        &self.instruments.recent
    }

    /// Returns all metrics as they stand.
    pub(super) fn gather(&self) -> Vec<MetricFamily> {
        self.instruments.registry.gather()
    }

    /// Writes all metrics in Prometheus' text format.
    pub fn render(&self) -> Result<String, MetricsError> {
        let mut text = Vec::new();
        TextEncoder::new()
            .encode(&self.instruments.registry.gather(), &mut text)
            .map_err(|error| MetricsError(error.to_string()))?;
        String::from_utf8(text).map_err(|error| MetricsError(error.to_string()))
    }

    /// `voyage_gateway_rpcs_total{rpc_method, rpc_response_status_code, outcome}`: RPCs by how they ended: the status
    /// as gRPC names it, and whose doing it was. One a caller left before its end is `CANCELLED`.
    pub fn rpc(&self, method: &'static str, code: &'static str, outcome: RpcOutcome) {
        let labels = [
            KeyValue::new("rpc_method", method),
            KeyValue::new("rpc_response_status_code", code),
            KeyValue::new("outcome", outcome.as_str()),
        ];
        self.instruments.rpcs.add(1, &labels);
    }

    /// `voyage_gateway_cache_lookups_total{result}`: inputs by where their answers came from (`hit`, `miss`,
    /// `coalesced`, `bypassed`, or `refused` before they were looked for).
    pub fn lookups(&self, result: &'static str, inputs: u64) {
        if inputs > 0 {
            self.instruments.lookups.add(inputs, &[KeyValue::new("result", result)]);
        }
    }

    /// `voyage_gateway_cache_entries` and `voyage_gateway_cache_size_bytes`: what the memory tier holds, as `size`
    /// tells it in entries and bytes.
    pub fn watch_cache(&self, size: impl Fn() -> (u64, u64) + Clone + Send + Sync + 'static) {
        let meter = self.instruments.provider.meter("voyage-gateway");
        let entries = size.clone();
        meter
            .u64_observable_gauge("voyage_gateway.cache.entries")
            .with_description("Answers in the cache.")
            .with_callback(move |gauge| gauge.observe(entries().0, &[]))
            .build();
        meter
            .u64_observable_gauge("voyage_gateway.cache.size")
            .with_unit("By")
            .with_description("Bytes the cache takes, keys and overhead included.")
            .with_callback(move |gauge| gauge.observe(size().1, &[]))
            .build();
    }

    /// `voyage_gateway_in_flight_requests` and `voyage_gateway_in_flight_size_bytes`: requests that admission has let in
    /// and whose reply has not left, and the bytes of messages, inputs and replies, as the two functions tell them.
    pub fn watch_admission(
        &self,
        requests: impl Fn() -> u64 + Send + Sync + 'static,
        bytes: impl Fn() -> u64 + Send + Sync + 'static,
    ) {
        let meter = self.instruments.provider.meter("voyage-gateway");
        meter
            .u64_observable_gauge("voyage_gateway.in_flight_requests")
            .with_description("Requests let in and not ended.")
            .with_callback(move |gauge| gauge.observe(requests(), &[]))
            .build();
        meter
            .u64_observable_gauge("voyage_gateway.in_flight_size")
            .with_unit("By")
            .with_description("Bytes of messages, inputs and replies in flight.")
            .with_callback(move |gauge| gauge.observe(bytes(), &[]))
            .build();
    }

    /// `voyage_gateway_free_tier`: 1 while Voyage treats the account as one without a payment method (3 requests and
    /// 10,000 tokens a minute), else 0.
    pub fn watch_free_tier(&self, is_free_tier: impl Fn() -> bool + Send + Sync + 'static) {
        let meter = self.instruments.provider.meter("voyage-gateway");
        meter
            .u64_observable_gauge("voyage_gateway.free_tier")
            .with_description("Whether Voyage limits the account to its free tier.")
            .with_callback(move |gauge| gauge.observe(u64::from(is_free_tier()), &[]))
            .build();
    }

    /// `voyage_gateway_upstream_key_rejected{key}`: 1 while the key of that alias is set aside because Voyage rejected it,
    /// else 0, as `set_aside` tells it.
    pub fn watch_rejected_keys(
        &self,
        set_aside: impl Fn() -> Vec<(Arc<str>, bool)> + Send + Sync + 'static,
    ) {
        let meter = self.instruments.provider.meter("voyage-gateway");
        meter
            .u64_observable_gauge("voyage_gateway.upstream.key_rejected")
            .with_description("Whether the API key is set aside because Voyage rejected it.")
            .with_callback(move |gauge| {
                for (alias, rejected) in set_aside() {
                    gauge.observe(u64::from(rejected), &[KeyValue::new("key", alias)]);
                }
            })
            .build();
    }

    /// `voyage_gateway_upstream_calls_total{endpoint, model, status}` and
    /// `voyage_gateway_upstream_duration_seconds{endpoint, model}`: HTTP requests to Voyage; the status is `none`
    /// when there was no answer, the model `_other` when it is not in the catalogue.
    pub fn upstream_call(
        &self,
        parameters: &Parameters,
        status: Option<StatusCode>,
        duration: Duration,
    ) {
        let endpoint = KeyValue::new("endpoint", parameters.endpoint.path());
        let model = KeyValue::new(
            "model",
            model::find(&parameters.model).map_or("_other", |model| model.name),
        );
        let status = match status {
            Some(status) => KeyValue::new("status", status.as_str().to_owned()),
            None => KeyValue::new("status", "none"),
        };
        let labels = [endpoint, model, status];
        self.instruments.upstream_calls.add(1, &labels);
        self.instruments.upstream_duration.record(duration.as_secs_f64(), &labels[..2]);
    }

    /// `voyage_gateway_tokens_total{billed_to}`: tokens Voyage reported, billed to a caller by its name, to `_other` when
    /// it is one too many, or to `abandoned` when everybody who waited had left.
    pub fn tokens(&self, tokens: u64, billed_to: Option<&Caller>) {
        let billed_to = self.instruments.caller_names.label(billed_to);
        self.instruments.tokens.add(tokens, &[KeyValue::new("billed_to", billed_to)]);
    }

    /// `voyage_gateway_quota_refusals_total{rule}`: what was refused, requests or single inputs, because a caller's quota
    /// or the gateway's budget had no room.
    pub fn quota_refusal(&self, rule: &'static str) {
        self.instruments.quota_refusals.add(1, &[KeyValue::new("rule", rule)]);
    }

    /// `voyage_gateway_budget_used_tokens{budget}` and `voyage_gateway_budget_limit_tokens{budget}`: the gateway's own
    /// budgets of tokens that are set, as `budgets` tells them: setting, used, limit.
    pub fn watch_budgets(
        &self,
        budgets: impl Fn() -> Vec<(&'static str, u64, u64)> + Clone + Send + Sync + 'static,
    ) {
        let meter = self.instruments.provider.meter("voyage-gateway");
        let used = budgets.clone();
        meter
            .u64_observable_gauge("voyage_gateway.budget.used_tokens")
            .with_description("Tokens of a budget that are spent or held for calls.")
            .with_callback(move |gauge| {
                for (budget, used, _) in used() {
                    gauge.observe(used, &[KeyValue::new("budget", budget)]);
                }
            })
            .build();
        meter
            .u64_observable_gauge("voyage_gateway.budget.limit_tokens")
            .with_description("Tokens that a budget allows.")
            .with_callback(move |gauge| {
                for (budget, _, limit) in budgets() {
                    gauge.observe(limit, &[KeyValue::new("budget", budget)]);
                }
            })
            .build();
    }

    /// `voyage_gateway_retries_total`: upstream calls that were repeated after a failure.
    pub fn retry(&self) {
        self.instruments.retries.add(1, &[]);
    }

    /// `voyage_gateway_rate_limited_total`: upstream calls that Voyage answered with 429.
    pub fn rate_limited(&self) {
        self.instruments.rate_limited.add(1, &[]);
    }

    /// `voyage_gateway_shed_total`: requests refused because this replica was full.
    pub fn shed(&self) {
        self.instruments.shed.add(1, &[]);
    }

    /// `voyage_gateway_panics_total`: RPCs that were lost to a panic, and ended as `INTERNAL`.
    pub fn panic(&self) {
        self.instruments.panics.add(1, &[]);
    }

    /// `voyage_gateway_auth_failures_total{mode, why}`: calls refused because nobody knows who calls, by `auth.mode` and
    /// by what is wrong: `missing`, `malformed`, `unknown_token`, `unknown_key`, `wrong_algorithm`, `forged`, `expired`,
    /// `not_yet_valid`, `wrong_issuer`, `wrong_audience`, `wrong_name`, or `no_keys` to tell.
    pub fn auth_failure(&self, mode: &'static str, why: &'static str) {
        let labels = [KeyValue::new("mode", mode), KeyValue::new("why", why)];
        self.instruments.auth_failures.add(1, &labels);
    }

    /// `voyage_gateway_reloads_total{what, outcome}`: changed files, and fetched keys, that were taken over (`changed`)
    /// or of no use (`refused`; the old content stays in force), by the setting that names them.
    pub fn reload(&self, what: &'static str, outcome: &'static str) {
        let labels = [KeyValue::new("what", what), KeyValue::new("outcome", outcome)];
        self.instruments.reloads.add(1, &labels);
    }
}

impl Instruments {
    fn new(registry: Registry, provider: SdkMeterProvider, meter: &Meter) -> Self {
        Self {
            registry,
            provider,
            recent: Recent::default(),
            connections: connections::Instruments::new(meter),
            tls: tls::Instruments::new(meter),
            rpcs: meter
                .u64_counter("voyage_gateway.rpcs")
                .with_description("RPCs by method and outcome.")
                .build(),
            lookups: meter
                .u64_counter("voyage_gateway.cache.lookups")
                .with_description("Inputs by where their answers came from.")
                .build(),
            upstream_calls: meter
                .u64_counter("voyage_gateway.upstream.calls")
                .with_description("HTTP requests to Voyage by status.")
                .build(),
            upstream_duration: meter
                .f64_histogram("voyage_gateway.upstream.duration")
                .with_unit("s")
                .with_boundaries(SECONDS.to_vec())
                .with_description("Time from sending an HTTP request to having its whole answer.")
                .build(),
            tokens: meter
                .u64_counter("voyage_gateway.tokens")
                .with_description("Tokens reported by Voyage.")
                .build(),
            caller_names: CallerNames::default(),
            quota_refusals: meter
                .u64_counter("voyage_gateway.quota_refusals")
                .with_description("Requests or inputs refused for want of quota or budget.")
                .build(),
            retries: meter
                .u64_counter("voyage_gateway.retries")
                .with_description("Upstream calls repeated after a failure.")
                .build(),
            rate_limited: meter
                .u64_counter("voyage_gateway.rate_limited")
                .with_description("Upstream calls answered with 429.")
                .build(),
            shed: meter
                .u64_counter("voyage_gateway.shed")
                .with_description("Requests refused because this replica was full.")
                .build(),
            panics: meter
                .u64_counter("voyage_gateway.panics")
                .with_description("RPCs lost to a panic.")
                .build(),
            reloads: meter
                .u64_counter("voyage_gateway.reloads")
                .with_description("Changed files, taken over or refused.")
                .build(),
            auth_failures: meter
                .u64_counter("voyage_gateway.auth_failures")
                .with_description("Calls whose caller is not known, by what is wrong.")
                .build(),
        }
    }
}

impl std::fmt::Debug for Metrics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Metrics")
    }
}
