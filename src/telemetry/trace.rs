//! Distributed traces: spans, their relations, and the way to the SDK.
//!
//! The SDK's tracer decides whether a trace is recorded when its first span begins; of an RPC that is not recorded only
//! the ids remain. A recorded span ends when it is dropped, so that a cancelled or panicking RPC ends its spans as
//! well. Only the edge needs a [`Tracer`]: every other span is made from its parent ([`TraceContext::child`]) or from
//! its links ([`FanIn`]).

mod anchor;
mod context;
mod fan_in;
mod sampling;
mod span;

use std::borrow::Cow;

use http::HeaderMap;
pub use opentelemetry::trace::TraceId;
use opentelemetry::{
    Context, InstrumentationScope,
    trace::{
        Span as _, SpanBuilder, SpanKind, TraceContextExt as _, Tracer as _, TracerProvider as _,
    },
};
use opentelemetry_sdk::{
    Resource,
    trace::{Config, SdkTracer, SdkTracerProvider, ShouldSample, SpanProcessor},
};

pub use fan_in::FanIn;
pub use sampling::parent_based;
pub use span::{MAX_LINKS, Span, TraceContext};

use super::semconv;
use sampling::RootSampler;

/// Begins the spans of RPCs; cheap to clone.
#[derive(Clone, Debug)]
pub struct Tracer {
    /// `None`: nothing is recorded.
    tracer: Option<SdkTracer>,
    propagates: bool,
}

/// Returns a provider whose recorded spans end in `processor`. Limits of spans are those of the environment.
pub(super) fn provider(
    sampler: impl Into<Box<dyn ShouldSample>>,
    processor: impl SpanProcessor + 'static,
    resource: Resource,
) -> SdkTracerProvider {
    let max_links = Config::default().span_limits.max_links_per_span.min(MAX_LINKS);
    SdkTracerProvider::builder()
        .with_sampler(RootSampler::new(sampler.into()))
        .with_max_links_per_span(max_links)
        .with_resource(resource)
        .with_span_processor(processor)
        .build()
}

impl Tracer {
    /// Returns a tracer whose recorded spans end in `processor`.
    pub fn new(
        sampler: impl Into<Box<dyn ShouldSample>>,
        processor: impl SpanProcessor + 'static,
    ) -> Self {
        Self::of(&provider(sampler, processor, Resource::builder_empty().build()))
    }

    pub(super) fn of(provider: &SdkTracerProvider) -> Self {
        let scope = InstrumentationScope::builder(semconv::SCOPE)
            .with_version(env!("CARGO_PKG_VERSION"))
            .with_schema_url(semconv::SCHEMA_URL)
            .build();
        Self { tracer: Some(provider.tracer_with_scope(scope)), propagates: true }
    }

    /// Returns a tracer that records nothing. RPCs have ids all the same.
    pub fn off() -> Self {
        Self { tracer: None, propagates: true }
    }

    /// Returns the tracer with `traceparent` of callers used or ignored.
    #[must_use]
    pub fn propagating(self, propagates: bool) -> Self {
        Self { propagates, ..self }
    }

    /// Begins the span of an RPC, in the trace of the caller's headers or in a new one.
    pub fn serve(&self, headers: &HeaderMap, name: &'static str) -> Span {
        let parent = if self.propagates { context::remote(headers) } else { None };
        let Some(tracer) = &self.tracer else {
            return Span::unrecorded(match parent {
                Some(parent) => TraceContext::unrecorded(parent.trace_id()),
                None => TraceContext::new_trace(),
            });
        };
        let builder = SpanBuilder {
            name: Cow::Borrowed(name),
            span_kind: Some(SpanKind::Server),
            ..SpanBuilder::default()
        };
        let parent = match parent {
            Some(parent) => Context::new().with_remote_span_context(parent),
            None => Context::new(),
        };
        let span = tracer.build_with_context(builder, &parent);
        if span.is_recording() {
            Span::root(span, tracer)
        } else {
            Span::unrecorded(span.span_context().clone().into())
        }
    }
}

#[cfg(test)]
pub(crate) mod tests;
