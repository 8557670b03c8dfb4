//! Distributed traces: which spans there are, how they hang together, and where they go when they end.
//!
//! Spans are plain values. Whether a trace is recorded is decided before its first span is made, by the id of the trace
//! or by whoever began it ([`sampling`]); an RPC that is not recorded has ids and nothing else. A recorded span is
//! written to the sink when it is dropped, so that one whose RPC is cancelled or panics ends as well. Only the edge
//! needs a [`Tracer`]: every other span is made from its parent ([`TraceContext::child`]) or from what it links to
//! ([`FanIn`]).

mod anchor;
mod context;
mod fan_in;
#[cfg(test)]
pub(crate) mod kept;
mod sampling;
mod span;

use std::{borrow::Cow, sync::Arc};

use http::HeaderMap;
pub use opentelemetry::trace::TraceId;
use opentelemetry::trace::{SpanId, SpanKind, TraceState};
use opentelemetry_sdk::trace::SpanProcessor;
use tokio::time::Instant;

pub use context::Propagation;
pub use fan_in::FanIn;
pub use sampling::Sampling;
pub use span::{MAX_LINKS, Span, TraceContext};

use context::Remote;
use span::{Origin, Tree};

/// Makes the spans that RPCs begin with; cheap to clone.
#[derive(Clone, Debug)]
pub struct Tracer {
    sampling: Sampling,
    propagation: Propagation,
    /// Where spans go when they end; `None`: nothing is recorded.
    sink: Option<Arc<dyn SpanProcessor>>,
}

impl Tracer {
    /// Returns a tracer whose recorded spans end in `sink`.
    pub fn new(sampling: Sampling, sink: Arc<dyn SpanProcessor>) -> Self {
        Self { sampling, propagation: Propagation::default(), sink: Some(sink) }
    }

    /// Returns a tracer that records nothing; RPCs have ids all the same.
    pub fn off() -> Self {
        let sampling = Sampling { parent_based: false, ratio: 0.0 };
        Self { sampling, propagation: Propagation::default(), sink: None }
    }

    /// Returns the tracer with another way to read where callers stand.
    #[must_use]
    pub fn reading(self, propagation: Propagation) -> Self {
        Self { propagation, ..self }
    }

    /// Begins the span of an RPC, in the trace that its caller's headers name or in a new one.
    pub fn serve(&self, headers: &HeaderMap, name: &'static str) -> Span {
        let parent = match self.propagation {
            Propagation::TraceContext => Remote::of(headers),
            Propagation::None => None,
        };
        let trace_id = parent.as_ref().map_or_else(new_trace_id, |parent| parent.trace_id);
        let context = TraceContext::unrecorded(trace_id);
        let Some(sink) = &self.sink else { return Span::unrecorded(context) };
        if !self.sampling.samples(trace_id, parent.as_ref().map(|parent| parent.sampled)) {
            return Span::unrecorded(context);
        }
        // Only what is exported needs it: what is sent on has a trace of its own.
        let state = match &parent {
            Some(_) => context::trace_state(headers),
            None => TraceState::NONE,
        };
        let tree = Arc::new(Tree::new(Arc::clone(sink), state));
        let origin = Origin {
            name: Cow::Borrowed(name),
            kind: SpanKind::Server,
            parent: parent.map_or(SpanId::INVALID, |parent| parent.span_id),
            parent_is_remote: true,
            at: Instant::now(),
        };
        Span::recorded(context, tree, origin)
    }
}

fn new_trace_id() -> TraceId {
    loop {
        let id = TraceId::from(rand::random::<u128>());
        if id != TraceId::INVALID {
            return id;
        }
    }
}

fn new_span_id() -> SpanId {
    loop {
        let id = SpanId::from(rand::random::<u64>());
        if id != SpanId::INVALID {
            return id;
        }
    }
}

#[cfg(test)]
mod tests;
