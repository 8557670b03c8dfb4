//! Against collectors in the test: they take, refuse, hang, come back and reject, over gRPC and HTTP.

mod collector;
mod ends;
mod precedence;
mod tls;
mod wire;

use std::{borrow::Cow, future::pending, time::SystemTime};

use opentelemetry::{
    InstrumentationScope, KeyValue,
    trace::{SpanContext, SpanId, SpanKind, Status, TraceFlags, TraceId, TraceState},
};
use opentelemetry_sdk::trace::SpanData;

use super::*;
use crate::telemetry::OtlpProtocol;

const SCHEMA: &str = "https://opentelemetry.io/schemas/1.42.0";

/// Returns a span that has ended.
pub(super) fn span(trace: u128, id: u64, parent: u64, name: &'static str) -> SpanData {
    let context = SpanContext::new(
        TraceId::from(trace),
        SpanId::from(id),
        TraceFlags::SAMPLED,
        false,
        TraceState::default(),
    );
    let start_time = SystemTime::UNIX_EPOCH + Duration::from_millis(id);
    SpanData {
        span_context: context,
        parent_span_id: SpanId::from(parent),
        parent_span_is_remote: false,
        span_kind: SpanKind::Server,
        name: Cow::Borrowed(name),
        start_time,
        end_time: start_time + Duration::from_micros(1500),
        attributes: vec![KeyValue::new("rpc.method", "Embed")],
        dropped_attributes_count: 0,
        events: opentelemetry_sdk::trace::SpanEvents::default(),
        links: opentelemetry_sdk::trace::SpanLinks::default(),
        status: Status::Unset,
        instrumentation_scope: InstrumentationScope::builder("voyage-gateway")
            .with_schema_url(SCHEMA)
            .build(),
    }
}

/// Reads `OTEL_` variables.
fn environment(variables: &[(&str, &str)]) -> OtelEnvironment {
    OtelEnvironment::read(|name| {
        let found = variables.iter().find(|(variable, _)| *variable == name);
        found.map(|(_, value)| (*value).to_owned())
    })
}

/// Starts what these variables ask for.
fn started(variables: &[(&str, &str)]) -> Exported {
    start(&TelemetryConfig::default(), &environment(variables)).unwrap()
}

/// Writes spans, as the tracer does when they end.
fn end(exported: &Exported, spans: u64) {
    let sink = exported.spans.as_ref().unwrap();
    for id in 1..=spans {
        sink.on_end(span(1, id, 0, "Embed"));
    }
}

/// Returns a count of spans as Prometheus reads it.
fn counted(metrics: &Metrics, result: &str) -> u64 {
    let text = metrics.render().unwrap();
    let name = format!("voyage_gateway_telemetry_spans_total{{result=\"{result}\"}} ");
    let line = text.lines().find_map(|line| line.strip_prefix(name.as_str()));
    line.unwrap().parse().unwrap()
}

/// Waits for what is going to happen.
async fn until(mut happened: impl FnMut() -> bool) {
    let looking = async {
        while !happened() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    timeout(Duration::from_mins(1), looking).await.expect("it never happened");
}

#[test]
fn without_a_word_nothing_leaves() {
    let exported = started(&[]);
    assert!(exported.spans.is_none());
    assert!(exported.flush.runtime.is_none() && exported.flush.metrics.is_none());
    assert_eq!(exported.sampler, Sampling::parent_based(1.0));
}

#[test]
fn disabled_nothing_leaves() {
    let exported = started(&[
        ("OTEL_SDK_DISABLED", "true"),
        ("OTEL_TRACES_EXPORTER", "console"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4317"),
    ]);
    assert!(exported.spans.is_none() && exported.flush.metrics.is_none());
}

#[test]
fn spans_are_cut_to_their_limits() {
    let limits = Limits { attributes: 1, value_length: Some(2), ..Limits::default() };
    let mut large = span(1, 1, 0, "Embed");
    large.attributes.push(KeyValue::new("another", 1));
    limits.apply(&mut large);
    assert_eq!(large.attributes, [KeyValue::new("rpc.method", "Em")]);
    assert_eq!(large.dropped_attributes_count, 1);
}
