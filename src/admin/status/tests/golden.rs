//! The whole JSON: programs rely on its names and types.

use std::{fs, path::Path, sync::Arc};

use super::*;
use crate::{
    error::{Fault, Upstream},
    item::Endpoint,
    telemetry::{
        RpcOutcome,
        recent::{Recent, SlowRpc},
    },
};

const NONE: Labels<'static> = &[];

/// Every metric of the page.
fn everything() -> Given {
    let bounds = [0.1, 0.5, 1.0];
    let limit: Labels<'_> = &[("model", "voyage-4"), ("key", "default"), ("unit", "requests")];
    let tokens: Labels<'_> = &[("model", "voyage-4"), ("key", "default"), ("unit", "tokens")];
    let budget: Labels<'_> = &[("budget", "limits.daily_tokens")];
    let (grpc, admin): (Labels<'_>, Labels<'_>) = (&[("port", "grpc")], &[("port", "admin")]);
    counted()
        .gauge("process_resident_memory_bytes", &[(NONE, 50e6)])
        .gauge("process_threads", &[(NONE, 5.0)])
        .gauge("process_open_fds", &[(NONE, 33.0)])
        .histogram("rpc_server_call_duration_seconds", &bounds, &[("", &[0.05, 0.05])])
        .histogram("voyage_gateway_upstream_duration_seconds", &bounds, &[("voyage-4", &[0.3])])
        .histogram("voyage_gateway_batch_fill_ratio", &bounds, &[("voyage-4", &[0.25, 0.75])])
        .histogram("voyage_gateway_batch_size", &bounds, &[("voyage-4", &[10.0, 30.0])])
        .histogram("voyage_gateway_queue_wait_seconds", &bounds, &[("voyage-4", &[0.05])])
        .gauge("voyage_gateway_cache_entries", &[(NONE, 12.0)])
        .gauge("voyage_gateway_cache_size_bytes", &[(NONE, 4096.0)])
        .gauge("voyage_gateway_cache_max_size_bytes", &[(NONE, 8192.0)])
        .gauge("voyage_gateway_rate_limit_used", &[(limit, 20.0), (tokens, 5000.0)])
        .gauge("voyage_gateway_rate_limit_limit", &[(limit, 2000.0), (tokens, 8e6)])
        .gauge("voyage_gateway_budget_used_tokens", &[(budget, 7.0)])
        .gauge("voyage_gateway_budget_limit_tokens", &[(budget, 1000.0)])
        .gauge("voyage_gateway_queue_items", &[(NONE, 3.0)])
        .gauge("voyage_gateway_queue_size_bytes", &[(NONE, 300.0)])
        .gauge("voyage_gateway_batches_in_flight", &[(NONE, 2.0)])
        .gauge("voyage_gateway_batches_max_in_flight", &[(NONE, 16.0)])
        .gauge("voyage_gateway_in_flight_requests", &[(NONE, 4.0)])
        .gauge("voyage_gateway_max_in_flight_requests", &[(NONE, 1024.0)])
        .gauge("voyage_gateway_in_flight_size_bytes", &[(NONE, 4e4)])
        .gauge("voyage_gateway_max_in_flight_size_bytes", &[(NONE, 4e8)])
        .gauge("voyage_gateway_retry_budget_balance", &[(NONE, 9.0)])
        .gauge("voyage_gateway_breaker_state", &[(&[("state", "closed")], 1.0)])
        .gauge("voyage_gateway_free_tier", &[(NONE, 0.0)])
        .gauge("voyage_gateway_upstream_key_rejected", &[(&[("key", "default")], 0.0)])
        .gauge("voyage_gateway_connections", &[(grpc, 7.0), (admin, 1.0)])
        .gauge("voyage_gateway_max_connections", &[(grpc, 10_000.0), (admin, 64.0)])
        .gauge("voyage_gateway_tls_certificate_not_after_seconds", &[(NONE, 1_432_000.0)])
}

fn counted() -> Given {
    let model = "voyage-4";
    Given::nothing()
        .counter(
            "voyage_gateway_rpcs_total",
            &[(&[("outcome", "ok")], 18.0), (&[("outcome", "caller")], 2.0)],
        )
        .counter(
            "voyage_gateway_cache_lookups_total",
            &[
                (&[("result", "hit"), ("tier", "memory")], 30.0),
                (&[("result", "miss"), ("tier", "none")], 10.0),
            ],
        )
        .counter(
            "voyage_gateway_cost_usd_total",
            &[
                (&[("model", model), ("kind", "spent")], 0.5),
                (&[("model", model), ("kind", "saved")], 1.5),
            ],
        )
        .counter(
            "voyage_gateway_model_tokens_total",
            &[
                (&[("model", model), ("kind", "billed")], 800.0),
                (&[("model", model), ("kind", "saved")], 2400.0),
            ],
        )
        .counter("voyage_gateway_tokens_total", &[(&[("billed_to", "search")], 800.0)])
        .counter("voyage_gateway_caller_rpcs_total", &[(&[("caller", "search")], 20.0)])
        .counter(
            "voyage_gateway_upstream_calls_total",
            &[(&[("endpoint", "/embeddings"), ("status", "200")], 10.0)],
        )
        .counter("voyage_gateway_retries_total", &[(NONE, 1.0)])
}

#[tokio::test(start_paused = true)]
async fn the_json_is_the_one_on_file() {
    let recent = Recent::default();
    recent.slow_rpc(SlowRpc {
        method: "voyage.gateway.v1.EmbeddingService/Embed",
        took: Duration::from_millis(750),
        outcome: RpcOutcome::Ok,
        caller: Some("search".into()),
        request_id: "r-1".to_owned(),
        trace_id: opentelemetry::trace::TraceId::from(0xabc).to_string(),
        ended: Instant::now(),
    });
    let failure = Upstream {
        fault: Fault::Unavailable { retry_after: None },
        endpoint: Endpoint::Embeddings,
        model: Arc::from("voyage-4"),
        status: Some(503),
        attempts: 1,
        tokens: 0,
        request_id: Some(Arc::from("v-1")),
        key: Arc::from("default"),
    };
    recent.upstream_error(&failure, Some(opentelemetry::trace::TraceId::from(0xdef)));
    let mut status = everything().status_with(&recent, true);
    (status.version, status.revision) = ("9.8.7".to_owned(), "abc".to_owned());
    let json = serde_json::to_string_pretty(&status).unwrap() + "\n";
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/status.json");
    if std::env::var_os("UPDATE").is_some() {
        fs::write(&file, &json).unwrap();
    }
    let expected = fs::read_to_string(&file).unwrap_or_default();
    assert_eq!(json, expected, "UPDATE=1 cargo test --lib the_json_is_the_one_on_file");
}
