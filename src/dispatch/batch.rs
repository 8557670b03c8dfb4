//! Items that are sent in one call.

use std::sync::{Arc, atomic::Ordering};

use tokio::time::Instant;

use super::{
    isolate::apportion,
    pending::{Bill, CallStats, Queued},
    send_info::{SendInfo, ThrottledIntervals},
    spans::BatchSpan,
};
use crate::{
    caller::Priority,
    error::{Error, Phase, Upstream},
    item::{Parameters, Size, Usage},
    telemetry::Metrics,
    tokens::Measure,
};

/// Items that are sent in one call.
#[derive(Debug)]
pub(super) struct Batch {
    pub(super) parameters: Arc<Parameters>,
    pub(super) items: Vec<Queued>,
    pub(super) stats: Arc<CallStats>,
    pub(super) span: Arc<BatchSpan>,
    /// When it was first sent.
    pub(super) first_at: Option<Instant>,
    pub(super) throttled: ThrottledIntervals,
    /// Attempts so far, without resends after a split.
    pub(super) attempts: u32,
    /// Whether the free resend over a new connection was used.
    pub(super) resent: bool,
    /// Keys rejected so far.
    pub(super) rejections: u32,
}

impl Batch {
    pub(super) fn new(
        parameters: Arc<Parameters>,
        items: Vec<Queued>,
        throttled: ThrottledIntervals,
    ) -> Self {
        let stats = Arc::new(CallStats::default());
        stats.items.store(count(&items), Ordering::Relaxed);
        Self {
            parameters,
            items,
            span: BatchSpan::new(Arc::clone(&stats)),
            stats,
            first_at: None,
            throttled,
            attempts: 0,
            resent: false,
            rejections: 0,
        }
    }

    /// Returns a part of the batch, with the same statistics and span.
    pub(super) fn part(&self, items: Vec<Queued>) -> Self {
        Self {
            parameters: Arc::clone(&self.parameters),
            items,
            stats: Arc::clone(&self.stats),
            span: Arc::clone(&self.span),
            first_at: self.first_at,
            throttled: self.throttled.clone(),
            attempts: self.attempts,
            resent: self.resent,
            rejections: self.rejections,
        }
    }

    pub(super) fn size(&self) -> Size {
        self.items.iter().fold(Size::default(), |mut sum, queued| {
            sum += queued.size;
            sum
        })
    }

    pub(super) fn tokens(&self) -> u64 {
        self.size().tokens
    }

    /// Returns whether all of its items were first needed for the same request.
    pub(super) fn is_of_one_request(&self) -> bool {
        self.items.windows(2).all(|pair| pair[0].item.request == pair[1].item.request)
    }

    /// Returns the tokens expected in the reply.
    pub(super) fn expected(&self) -> u64 {
        self.items.iter().map(|queued| queued.expected).sum()
    }

    /// Returns whether it, or the batch it was split from, was sent before.
    pub(super) fn was_sent(&self) -> bool {
        self.first_at.is_some()
    }

    /// Apportions the tokens of an unusable reply, estimated if it reports none.
    pub(super) fn waste(&mut self, failure: &Upstream) {
        let weights: Vec<u64> = self.items.iter().map(|queued| queued.expected).collect();
        let tokens = if failure.is_unmeasured() { weights.iter().sum() } else { failure.tokens };
        for (queued, share) in self.items.iter_mut().zip(apportion(tokens, &weights)) {
            queued.wasted = queued.wasted.saturating_add(share);
        }
    }

    /// Returns the highest priority of its items.
    pub(super) fn priority(&self) -> Priority {
        let priorities = self.items.iter().map(|queued| queued.item.priority);
        priorities.min().unwrap_or(Priority::Batch)
    }

    /// Returns the latest deadline of the waiters.
    pub(super) fn wanted_until(&self) -> Option<Instant> {
        self.items
            .iter()
            .filter_map(|queued| queued.item.owner.demand())
            .map(|demand| demand.until)
            .max()
    }

    pub(super) fn drop_cancelled(&mut self) {
        self.keep(Queued::is_wanted);
    }

    /// Marks its items as sent, and drops those without waiters.
    pub(super) fn mark_sent(&mut self, now: Instant) {
        self.throttled.end(now);
        let send_info = Arc::new(SendInfo {
            first_at: *self.first_at.get_or_insert(now),
            at: now,
            batch: self.span.shared().clone(),
            throttled: self.throttled.clone(),
        });
        self.keep(|queued| queued.item.owner.send(&send_info));
        if !self.items.is_empty() {
            self.span.begin(&self.parameters);
        }
    }

    /// Counts the wait of each item before the first request.
    pub(super) fn count_waits(&self, metrics: &Metrics) {
        let Some(left_at) = self.first_at.filter(|_| self.stats.requests() == 0) else { return };
        for queued in &self.items {
            let limiter = self.throttled.within(queued.at, left_at);
            let queue = left_at.saturating_duration_since(queued.at).saturating_sub(limiter);
            metrics.queue_wait(&self.parameters.model, queue, limiter);
        }
    }

    fn keep(&mut self, mut wanted: impl FnMut(&Queued) -> bool) {
        for queued in self.items.extract_if(.., |queued| !wanted(queued)) {
            self.stats.items.fetch_sub(1, Ordering::Relaxed);
            queued.cancel();
        }
    }

    pub(super) fn reject_late(&mut self, until: Instant, refusal: &Error) {
        for queued in &self.items {
            queued.item.owner.requeue();
            queued.item.owner.reject_late(until, refusal);
        }
        self.drop_cancelled();
    }

    pub(super) fn measures(&self) -> Vec<Measure> {
        self.items.iter().map(|queued| queued.measure).collect()
    }

    /// Counts its end, if it was sent.
    pub(super) fn ended(&self, metrics: &Metrics, result: Result<Option<u64>, &'static str>) {
        if let Some(at) = self.first_at {
            metrics.operation(&self.parameters, at.elapsed(), result);
        }
    }

    /// Ends it, because its items have no waiters.
    pub(super) fn give_up(self, metrics: &Metrics) {
        self.fail(&Error::DeadlineExceeded { phase: Phase::Queue }, metrics);
    }

    pub(super) fn fail(self, error: &Error, metrics: &Metrics) {
        self.ended(metrics, Err(error.row().kind));
        let Self { items, stats, span, attempts, rejections, .. } = self;
        let error = error.with_attempts((attempts + rejections).max(1));
        span.failed(&error);
        drop(span);
        for queued in items {
            let (wasted, stats) = (queued.wasted, Arc::clone(&stats));
            let bill = Bill { usage: Usage::default(), wasted, guessed: false, stats };
            queued.item.owner.complete(Err(error.clone()), bill);
        }
    }
}

fn count(items: &[Queued]) -> u32 {
    u32::try_from(items.len()).unwrap_or(u32::MAX)
}
