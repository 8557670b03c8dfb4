//! Which traces are recorded.

use opentelemetry::{
    Context, KeyValue,
    trace::{Link, SpanContext, SpanKind, SpanRef, TraceContextExt, TraceId},
};
use opentelemetry_sdk::trace::{Sampler, SamplingResult, ShouldSample};

/// Returns a sampler that records this share of the traces that begin here, 0 to 1, and of others those that their
/// callers record.
pub fn parent_based(ratio: f64) -> Sampler {
    Sampler::ParentBased(Box::new(Sampler::TraceIdRatioBased(ratio)))
}

/// Samples a span as its local parent or its links are sampled, and leaves all other spans to the configured sampler.
#[derive(Clone, Debug)]
pub(super) struct RootSampler(Box<dyn ShouldSample>);

impl RootSampler {
    pub(super) fn new(root: Box<dyn ShouldSample>) -> Self {
        Self(root)
    }
}

impl ShouldSample for RootSampler {
    fn should_sample(
        &self,
        parent: Option<&Context>,
        trace_id: TraceId,
        name: &str,
        kind: &SpanKind,
        attributes: &[KeyValue],
        links: &[Link],
    ) -> SamplingResult {
        let span = parent.map(TraceContextExt::span);
        let local = span.as_ref().map(SpanRef::span_context);
        let local = local.filter(|local| local.is_valid() && !local.is_remote());
        let mut related = local.into_iter().chain(links.iter().map(|link| &link.span_context));
        let sampler: &dyn ShouldSample = match related.next() {
            None => &*self.0,
            Some(first) if first.is_sampled() || related.any(SpanContext::is_sampled) => {
                &Sampler::AlwaysOn
            }
            Some(_) => &Sampler::AlwaysOff,
        };
        sampler.should_sample(parent, trace_id, name, kind, attributes, links)
    }
}
