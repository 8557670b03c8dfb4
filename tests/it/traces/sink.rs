//! A collector of a test's spans.

use std::time::SystemTime;

use opentelemetry::{
    Value,
    trace::{SpanId, SpanKind},
};
use opentelemetry_sdk::trace::SpanData;
use voyage_gateway::telemetry::{
    Metrics, Telemetry,
    trace::{Tracer, parent_based},
};

use crate::support::eventually;

#[path = "../../../src/telemetry/trace/tests/kept.rs"]
mod kept;

pub(super) use kept::Kept as Sink;

impl Sink {
    /// Records this share of the traces that begin at the gateway.
    pub(super) fn telemetry(&self, ratio: f64) -> Telemetry {
        let metrics = Metrics::new().unwrap();
        Telemetry { metrics, tracer: Tracer::new(parent_based(ratio), self.clone()) }
    }

    pub(super) fn all(&self) -> Vec<SpanData> {
        self.0.lock().unwrap().clone()
    }

    /// Returns the spans with names that begin so.
    pub(super) fn named(&self, name: &str) -> Vec<SpanData> {
        self.all().into_iter().filter(|span| span.name.starts_with(name)).collect()
    }

    /// Waits for the end of so many spans with names that begin so, and returns them.
    pub(super) async fn until(&self, name: &str, count: usize) -> Vec<SpanData> {
        eventually(async || self.named(name).len() >= count).await;
        let spans = self.named(name);
        assert_eq!(spans.len(), count, "{name}");
        spans
    }

    /// Waits for the only span with a name that begins so.
    pub(super) async fn only(&self, name: &str) -> SpanData {
        self.until(name, 1).await.remove(0)
    }
}

/// Returns an attribute as text.
pub(super) fn attribute(span: &SpanData, name: &str) -> Option<String> {
    let set: Vec<_> = span.attributes.iter().filter(|set| set.key.as_str() == name).collect();
    assert!(set.len() <= 1, "{name} is set twice");
    set.first().map(|set| set.value.to_string())
}

/// Returns the names and types of a span's attributes, in the order of the alphabet.
pub(super) fn shape(span: &SpanData) -> Vec<String> {
    let kind = |value: &Value| match value {
        Value::Bool(_) => "bool",
        Value::I64(_) => "int",
        Value::F64(_) => "double",
        Value::String(_) => "string",
        Value::Array(_) => "list",
        _ => "unknown",
    };
    let mut shape: Vec<_> = span
        .attributes
        .iter()
        .map(|set| format!("{} {}", set.key.as_str(), kind(&set.value)))
        .collect();
    shape.sort_unstable();
    shape
}

pub(super) fn id(span: &SpanData) -> SpanId {
    span.span_context.span_id()
}

/// Returns the ids of the spans it is linked to.
pub(super) fn links(span: &SpanData) -> Vec<SpanId> {
    span.links.iter().map(|link| link.span_context.span_id()).collect()
}

pub(super) fn events(span: &SpanData) -> Vec<&str> {
    span.events.iter().map(|event| &*event.name).collect()
}

/// Checks that a span is another's child, in its trace and within its time.
pub(super) fn assert_child(child: &SpanData, parent: &SpanData, kind: &SpanKind) {
    assert_eq!(child.parent_span_id, id(parent), "{}", child.name);
    assert_eq!(child.span_context.trace_id(), parent.span_context.trace_id());
    assert!(!child.parent_span_is_remote);
    assert_eq!(&child.span_kind, kind);
    assert!(parent.start_time <= child.start_time && child.start_time <= child.end_time);
    assert!(child.start_time > SystemTime::UNIX_EPOCH);
}
