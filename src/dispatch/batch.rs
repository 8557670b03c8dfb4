//! Items that are sent in one call.

use std::sync::{Arc, atomic::Ordering};

use tokio::time::Instant;

use super::{
    departure::{Departure, Holdups},
    isolate::apportion,
    limit::Class,
    pending::{Bill, Queued, Trip},
    spans::BatchSpan,
};
use crate::{
    caller::Priority,
    embedding::Parameters,
    error::{Error, Phase, Upstream},
    telemetry::Metrics,
    tokens::Measure,
};

/// Items that leave in one call.
#[derive(Debug)]
pub(super) struct Batch {
    pub(super) parameters: Arc<Parameters>,
    pub(super) items: Vec<Queued>,
    pub(super) trip: Arc<Trip>,
    pub(super) span: Arc<BatchSpan>,
    /// When it was sent for the first time.
    pub(super) first_at: Option<Instant>,
    /// When there was no budget for it.
    pub(super) holdups: Holdups,
    /// Attempts so far; resends of what was taken apart are none.
    pub(super) attempts: u32,
    /// Whether the one free resend over a fresh connection was used.
    pub(super) resent: bool,
    /// Keys that were rejected so far.
    pub(super) rejections: u32,
}

impl Batch {
    pub(super) fn new(parameters: Arc<Parameters>, items: Vec<Queued>, holdups: Holdups) -> Self {
        let trip = Arc::new(Trip::default());
        trip.items.store(count(&items), Ordering::Relaxed);
        Self {
            parameters,
            items,
            span: BatchSpan::new(Arc::clone(&trip)),
            trip,
            first_at: None,
            holdups,
            attempts: 0,
            resent: false,
            rejections: 0,
        }
    }

    /// The same trip with other items.
    pub(super) fn part(&self, items: Vec<Queued>) -> Self {
        Self {
            parameters: Arc::clone(&self.parameters),
            items,
            trip: Arc::clone(&self.trip),
            span: Arc::clone(&self.span),
            first_at: self.first_at,
            holdups: self.holdups.clone(),
            attempts: self.attempts,
            resent: self.resent,
            rejections: self.rejections,
        }
    }

    pub(super) fn tokens(&self) -> u64 {
        self.items.iter().map(|queued| queued.tokens).sum()
    }

    /// Returns the tokens expected in the reply.
    pub(super) fn expected(&self) -> u64 {
        self.items.iter().map(|queued| queued.expected).sum()
    }

    /// Tells whether it, or what it was a part of, has been sent before.
    pub(super) fn has_departed(&self) -> bool {
        self.first_at.is_some()
    }

    /// Returns its inputs, tokens and bytes.
    pub(super) fn extent(&self) -> (usize, u64, usize) {
        let bytes = self.items.iter().map(|queued| queued.item.input.size()).sum();
        (self.items.len(), self.tokens(), bytes)
    }

    /// Shares out the tokens of a reply of no use, as those of an answer would be; of one that does not say, by estimate.
    pub(super) fn waste(&mut self, failure: &Upstream) {
        let weights: Vec<u64> = self.items.iter().map(|queued| queued.expected).collect();
        let tokens = if failure.is_unmeasured() { weights.iter().sum() } else { failure.tokens };
        for (queued, share) in self.items.iter_mut().zip(apportion(tokens, &weights)) {
            queued.wasted = queued.wasted.saturating_add(share);
        }
    }

    pub(super) fn class(&self) -> Class {
        let interactive =
            self.items.iter().any(|queued| queued.item.priority == Priority::Interactive);
        if interactive { Class::Interactive } else { Class::Batch }
    }

    /// Returns until when the last of those who wait still waits.
    pub(super) fn wanted_until(&self) -> Option<Instant> {
        self.items
            .iter()
            .filter_map(|queued| queued.item.waiter.demand())
            .map(|demand| demand.until)
            .max()
    }

    pub(super) fn drop_abandoned(&mut self) {
        self.keep(|queued| queued.item.waiter.demand().is_some());
    }

    /// Tells every item that it is being sent, and drops those nobody wants.
    pub(super) fn board(&mut self, now: Instant) {
        self.holdups.end(now);
        let departure = Arc::new(Departure {
            first_at: *self.first_at.get_or_insert(now),
            at: now,
            batch: self.span.shared().clone(),
            holdups: self.holdups.clone(),
        });
        self.keep(|queued| queued.item.waiter.depart(&departure));
        if !self.items.is_empty() {
            self.span.begin(&self.parameters);
        }
    }

    /// Counts how long each item waited, when it has left for the first time.
    pub(super) fn count_waits(&self, metrics: &Metrics) {
        let Some(left_at) = self.first_at.filter(|_| self.trip.requests() == 0) else { return };
        for queued in &self.items {
            let limiter = self.holdups.within(queued.at, left_at);
            let queue = left_at.saturating_duration_since(queued.at).saturating_sub(limiter);
            metrics.queue_wait(&self.parameters.model, queue, limiter);
        }
    }

    fn keep(&mut self, mut wanted: impl FnMut(&Queued) -> bool) {
        let (kept, gone): (Vec<Queued>, Vec<Queued>) =
            std::mem::take(&mut self.items).into_iter().partition(|queued| wanted(queued));
        self.items = kept;
        self.trip.items.fetch_sub(count(&gone), Ordering::Relaxed);
        for queued in gone {
            queued.item.waiter.abandon(queued.wasted);
        }
    }

    pub(super) fn excuse(&mut self, until: Instant, refusal: &Error) {
        for queued in &self.items {
            queued.item.waiter.turn_back();
            queued.item.waiter.excuse(until, refusal);
        }
        self.drop_abandoned();
    }

    pub(super) fn measures(&self) -> Vec<Measure> {
        self.items.iter().map(|queued| queued.measure).collect()
    }

    /// Counts its end, so long after it was sent first; one that never was is none.
    pub(super) fn ended(&self, metrics: &Metrics, result: Result<Option<u64>, &'static str>) {
        if let Some(at) = self.first_at {
            metrics.embeddings(&self.parameters.model, at.elapsed(), result);
        }
    }

    /// Ends because nobody waits for any of its items any more.
    pub(super) fn give_up(self, metrics: &Metrics) {
        self.fail(&Error::DeadlineExceeded { phase: Phase::Queue }, metrics);
    }

    pub(super) fn fail(self, error: &Error, metrics: &Metrics) {
        self.ended(metrics, Err(error.row().kind));
        let Self { items, trip, span, attempts, rejections, .. } = self;
        let error = error.with_attempts((attempts + rejections).max(1));
        span.failed(&error);
        drop(span);
        for queued in items {
            let (wasted, trip) = (queued.wasted, Arc::clone(&trip));
            let bill = Bill { tokens: 0, wasted, guessed: false, trip };
            queued.item.waiter.land(Err(error.clone()), bill);
        }
    }
}

fn count(items: &[Queued]) -> u32 {
    u32::try_from(items.len()).unwrap_or(u32::MAX)
}
