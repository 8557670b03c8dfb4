//! The spans of a batch and of its attempts.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use super::pending::CallStats;
use crate::{
    error::{Error, Upstream},
    item::Parameters,
    telemetry::{
        semconv,
        trace::{FanIn, Span, TraceId},
    },
};

/// The span of a batch: of all attempts and resends, its parts' too. It ends when the last part is gone.
#[derive(Debug)]
pub(super) struct BatchSpan {
    shared: FanIn,
    stats: Arc<CallStats>,
    tokens: AtomicU64,
}

impl BatchSpan {
    pub(super) fn new(stats: Arc<CallStats>) -> Arc<Self> {
        Arc::new(Self { shared: FanIn::new(), stats, tokens: AtomicU64::new(0) })
    }

    /// Returns the link for the waiters.
    pub(super) fn shared(&self) -> &FanIn {
        &self.shared
    }

    /// Returns the id of its trace, if that is recorded.
    pub(super) fn trace_id(&self) -> Option<TraceId> {
        let context = self.shared.context();
        context.is_recorded().then(|| context.trace_id())
    }

    /// Begins it when the batch is first sent and all waiters are known.
    pub(super) fn begin(&self, parameters: &Parameters) {
        let is_new = !self.shared.context().is_recorded();
        let operation = parameters.endpoint().operation();
        self.shared.begin(|| format!("{operation} {}", parameters.model));
        if !is_new {
            return;
        }
        self.shared.with(|span| {
            span.set(semconv::GEN_AI_OPERATION_NAME, operation);
            span.set(semconv::ENDPOINT, parameters.endpoint().path());
            span.set(semconv::GEN_AI_PROVIDER_NAME, semconv::VOYAGEAI);
            span.set(semconv::GEN_AI_REQUEST_MODEL, Arc::clone(&parameters.model));
            if parameters.vector().is_some() {
                span.list(semconv::GEN_AI_REQUEST_ENCODING_FORMATS, "base64");
            }
            if let Some(dimension) = parameters.expected_dimension() {
                span.count(semconv::GEN_AI_EMBEDDINGS_DIMENSION_COUNT, dimension.into());
            }
            span.count(semconv::INPUTS, self.stats.items().into());
        });
    }

    /// Begins the span of an attempt that `earlier` requests came before.
    pub(super) fn attempt(&self, key: &Arc<str>, earlier: u32) -> Span {
        let mut span = self.shared.context().call(semconv::ATTEMPT_SPAN);
        if span.is_recorded() {
            span.set(semconv::HTTP_REQUEST_METHOD, semconv::ATTEMPT_SPAN);
            span.set(semconv::UPSTREAM_KEY, Arc::clone(key));
            if earlier > 0 {
                span.count(semconv::HTTP_REQUEST_RESEND_COUNT, earlier.into());
            }
        }
        span
    }

    /// Notes the tokens a reply reported.
    pub(super) fn used(&self, tokens: u64) {
        self.tokens.fetch_add(tokens, Ordering::Relaxed);
    }

    /// Notes that some of its items, or all, failed.
    pub(super) fn failed(&self, error: &Error) {
        let kind = match error {
            Error::Upstream(upstream) => upstream.fault.row().kind,
            _ => "gateway",
        };
        self.shared.with(|span| span.fail(kind));
    }

    /// Voyage answered 429: it waits for so long.
    pub(super) fn rate_limited(&self, delay: Duration) {
        self.waits(semconv::RATE_LIMITED_EVENT, delay);
    }

    /// It waits for so long before it is sent again.
    pub(super) fn backs_off(&self, delay: Duration) {
        self.waits(semconv::BACKOFF_EVENT, delay);
    }

    /// Its connection was stale.
    pub(super) fn resends(&self) {
        self.shared.with(|span| span.event(semconv::RESEND_EVENT, Vec::new()));
    }

    /// The key of that alias was set aside.
    pub(super) fn sets_aside(&self, key: &Arc<str>) {
        let about = (semconv::UPSTREAM_KEY, Arc::clone(key).into());
        self.shared.with(|span| span.event(semconv::KEY_SET_ASIDE_EVENT, vec![about]));
    }

    /// It was split; so many of its items are sent again.
    pub(super) fn splits(&self, items: usize) {
        let items = i64::try_from(items).unwrap_or(i64::MAX);
        let about = (semconv::INPUTS, items.into());
        self.shared.with(|span| span.event(semconv::SPLIT_EVENT, vec![about]));
    }

    fn waits(&self, event: &'static str, delay: Duration) {
        let about = (semconv::DELAY, delay.as_secs_f64().into());
        self.shared.with(|span| span.event(event, vec![about]));
    }
}

impl Drop for BatchSpan {
    fn drop(&mut self) {
        let tokens = self.tokens.load(Ordering::Relaxed);
        self.shared.with(|span| {
            span.count(semconv::UPSTREAM_REQUESTS, self.stats.requests().into());
            if tokens > 0 {
                span.count(semconv::GEN_AI_USAGE_INPUT_TOKENS, tokens);
            }
        });
        self.shared.end();
    }
}

/// Records the failure of an attempt in its span.
pub(super) fn attempt_failed(span: &mut Span, failure: &Upstream) {
    if !span.is_recorded() {
        return;
    }
    match failure.status {
        Some(status) if status >= 400 => span.fail(status.to_string()),
        _ => span.fail(failure.fault.row().kind),
    }
}
