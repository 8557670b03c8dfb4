//! Exports to fake collectors that accept, refuse, hang and recover, over gRPC and HTTP.

mod collector;
mod ends;
mod precedence;
mod tls;
mod wire;

use std::future::pending;

use http::HeaderMap;

use super::*;
use crate::telemetry::OtlpProtocol;
use collector::{FakeCollector, Manner};

/// Reads `OTEL_` variables.
fn environment(variables: &[(&str, &str)]) -> OtelEnvironment {
    OtelEnvironment::read(|name| {
        let found = variables.iter().find(|(variable, _)| *variable == name);
        found.map(|(_, value)| (*value).to_owned())
    })
}

/// Starts the exports that these variables configure.
fn started(variables: &[(&str, &str)]) -> Exported {
    start(&TelemetryConfig::default(), &environment(variables)).unwrap()
}

/// Records spans.
fn end(exported: &Exported, spans: u64) {
    for _ in 0..spans {
        drop(exported.tracer.serve(&HeaderMap::new(), "Embed"));
    }
}

/// Returns a count of spans as Prometheus reads it.
fn counted(metrics: &Metrics, result: &str) -> u64 {
    let text = metrics.render().unwrap();
    let name = format!("voyage_gateway_telemetry_spans_total{{result=\"{result}\"}} ");
    let line = text.lines().find_map(|line| line.strip_prefix(name.as_str()));
    line.unwrap().parse().unwrap()
}

/// Waits for a condition.
async fn until(mut happened: impl FnMut() -> bool) {
    let polling = async {
        while !happened() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    timeout(Duration::from_mins(1), polling).await.expect("it never happened");
}

#[test]
fn by_default_nothing_is_exported() {
    let exported = started(&[]);
    assert!(exported.flush.tracer_provider.is_none() && exported.flush.metrics.is_none());
    assert!(exported.flush.runtime.is_none());
    assert!(!exported.tracer.serve(&HeaderMap::new(), "Embed").is_recorded());
}

#[test]
fn nothing_is_exported_when_the_sdk_is_disabled() {
    let exported = started(&[
        ("OTEL_SDK_DISABLED", "true"),
        ("OTEL_TRACES_EXPORTER", "console"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4317"),
    ]);
    assert!(exported.flush.tracer_provider.is_none() && exported.flush.metrics.is_none());
}

#[tokio::test]
async fn the_configured_ratio_samples_traces_that_begin_here() {
    const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let collector = FakeCollector::start(OtlpProtocol::Grpc, Manner::Takes).await;
    let config = TelemetryConfig { sample_ratio: Some(0.0), ..TelemetryConfig::default() };
    let url = collector.url();
    let variables =
        [("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", &*url), ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")];
    let exported = start(&config, &environment(&variables)).unwrap();
    let headers = HeaderMap::from_iter([("traceparent".parse().unwrap(), PARENT.parse().unwrap())]);
    assert!(!exported.tracer.serve(&HeaderMap::new(), "Embed").is_recorded());
    assert!(exported.tracer.serve(&headers, "Embed").is_recorded());
    assert_eq!(exported.flush.finish(pending()).await, 0);

    let ignoring = [&variables[..], &[("OTEL_PROPAGATORS", "none")]].concat();
    let exported = start(&config, &environment(&ignoring)).unwrap();
    assert!(!exported.tracer.serve(&headers, "Embed").is_recorded());
}
