//! One call's walk: attempt → settle → hand out, or take apart, or go again.

use std::sync::{Arc, atomic::Ordering};

use tokio::time::Instant;

use super::{
    Bill, Departure, Queued, ReplyMetadata, Shared, Trip,
    apportion::apportion,
    breaker::Pass,
    command::{Returned, Slot},
    departure::Holdups,
    isolate::{Verdict, judge},
    limit::{Class, Reservation},
    retry,
    spans::{BatchSpan, attempt_failed},
};
use crate::{
    caller::Priority,
    embedding::{Input, Parameters},
    error::{Error, Fault, Phase, Upstream},
    telemetry::{Metrics, Replied},
    tokens::Measure,
    upstream::Reply,
};

/// Items that leave in one call.
#[derive(Debug)]
pub(super) struct Batch {
    pub(super) parameters: Arc<Parameters>,
    pub(super) items: Vec<Queued>,
    trip: Arc<Trip>,
    span: Arc<BatchSpan>,
    /// When it was sent for the first time.
    first_at: Option<Instant>,
    /// When there was no budget for it.
    pub(super) holdups: Holdups,
    /// Attempts so far; resends of what was taken apart are none.
    attempts: u32,
    /// Whether the one free resend over a fresh connection was used.
    resent: bool,
    /// Keys that were rejected so far.
    rejections: u32,
}

/// A batch on its way, with all it needs.
pub(super) struct Call {
    pub(super) batch: Batch,
    pub(super) reservation: Reservation,
    pub(super) pass: Pass,
    pub(super) slot: Slot,
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
    fn part(&self, items: Vec<Queued>) -> Self {
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
    fn waste(&mut self, failure: &Upstream) {
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
    fn wanted_until(&self) -> Option<Instant> {
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
    fn count_waits(&self, metrics: &Metrics) {
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

    /// Goes again at once, with a key that was not rejected: no attempt, and no retry.
    fn with_another_key(mut self, now: Instant) -> Returned {
        self.attempts -= 1;
        self.rejections += 1;
        Returned::new(self, now)
    }

    /// Counts its end, so long after it was sent first; one that never was is none.
    fn ended(&self, metrics: &Metrics, result: Result<Option<u64>, &'static str>) {
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

/// Makes one attempt and decides what comes of it; what goes again is handed to the scheduler.
pub(super) async fn run(shared: Arc<Shared>, call: Call) {
    let Call { mut batch, reservation, pass, mut slot } = call;
    batch.count_waits(&shared.metrics);
    let earlier = batch.trip.requests.fetch_add(1, Ordering::Relaxed);
    let inputs: Vec<&Input> = batch.items.iter().map(|queued| &queued.item.input).collect();
    if batch.attempts == 0 {
        shared.retries.earn(Instant::now());
    }
    let ((seat, key), sent_at) = (reservation.key(), Instant::now());
    let mut attempt = batch.span.attempt(key.alias(), earlier);
    let result = shared.upstream.call(&key, &batch.parameters, &inputs, &mut attempt).await;
    drop(inputs);

    let now = Instant::now();
    batch.trip.called(sent_at, now);
    if let Err(Error::Upstream(failure)) = &result {
        attempt_failed(&mut attempt, failure);
    }
    drop(attempt);
    match result {
        Ok(reply) => {
            pass.succeeded(now);
            reservation.settle(reply.total_tokens, now);
            shared.pool.accepted(seat, &key, sent_at);
            hand_out(&shared, batch, reply);
        }
        Err(Error::Upstream(failure)) => {
            batch.attempts += 1;
            batch.waste(&failure);
            if let Some(recent) = shared.metrics.recent() {
                recent.upstream_error(&failure, batch.span.trace_id());
            }
            let gate = settle_failure(&failure, reservation, now);
            if failure.fault.row().trips_breaker {
                pass.failed(now);
            } else {
                pass.succeeded(now);
            }
            let another_key = failure.fault == Fault::Unauthenticated
                && shared.pool.rejected(seat, &key, sent_at).await
                // Each is set aside, so there are no more; but files may change as fast as they are read.
                && batch.rejections < shared.pool.most_rejections();
            if failure.fault == Fault::Unauthenticated {
                batch.span.sets_aside(key.alias());
            }
            slot.returned = if another_key {
                vec![batch.with_another_key(now)]
            } else {
                after(&shared, batch, &failure, gate, now)
            };
        }
        Err(other) => {
            reservation.failed(now);
            batch.fail(&other, &shared.metrics);
        }
    }
}

/// Gives the budget what it must know; returns until when a 429 closes it.
fn settle_failure(failure: &Upstream, reservation: Reservation, now: Instant) -> Option<Instant> {
    if let Fault::RateLimited { retry_after, free_tier } = failure.fault {
        return Some(reservation.rate_limited(retry_after, free_tier, now));
    }
    if failure.fault == Fault::Unauthenticated {
        reservation.rejected(now);
        return None;
    }
    reservation.failed(now);
    None
}

/// Decides what becomes of a batch whose attempt failed.
fn after(
    shared: &Shared,
    mut batch: Batch,
    failure: &Arc<Upstream>,
    gate: Option<Instant>,
    now: Instant,
) -> Vec<Returned> {
    let error = Error::Upstream(Arc::clone(failure));
    teach(shared, &batch, &failure.fault);
    if let Some(until) = gate {
        return behind_the_gate(shared, batch, &error, until);
    }
    if failure.fault == Fault::ConnectionLost && !batch.resent {
        // The pool's connection was stale; a fresh one is due at once, and free.
        batch.resent = true;
        batch.span.resends();
        batch.attempts -= 1;
        return vec![Returned::new(batch, now)];
    }
    if let Some(at) = retry_at(shared, &batch, &failure.fault, now) {
        shared.metrics.retry();
        batch.span.backs_off(at.duration_since(now));
        return vec![Returned::new(batch, at)];
    }
    let items = std::mem::take(&mut batch.items);
    let parts = match judge(&error, items) {
        Verdict::FailAll(items) => {
            batch.part(items).fail(&error, &shared.metrics);
            return Vec::new();
        }
        Verdict::FailOne { guilty, rest } => {
            batch.part(vec![guilty]).fail(&error, &shared.metrics);
            vec![rest]
        }
        Verdict::Split(first, second) => vec![first, second],
    };
    // What was taken apart is no attempt of its own.
    batch.attempts -= 1;
    batch.span.splits(parts.iter().map(Vec::len).sum());
    let parts = parts.into_iter().filter(|items| !items.is_empty());
    parts.map(|items| Returned::new(batch.part(items), now)).collect()
}

/// A 429 costs no retry: the items wait behind the gate, except those who cannot.
fn behind_the_gate(
    shared: &Shared,
    mut batch: Batch,
    error: &Error,
    until: Instant,
) -> Vec<Returned> {
    shared.metrics.rate_limited();
    let now = Instant::now();
    let wait = until.duration_since(now);
    batch.span.rate_limited(wait);
    batch.holdups.note(now, until);
    let error = error.with_retry_after(wait).with_attempts(batch.attempts);
    if batch.attempts >= shared.max_attempts {
        batch.fail(&error, &shared.metrics);
        return Vec::new();
    }
    batch.excuse(until, &error);
    if batch.items.is_empty() {
        batch.fail(&error, &shared.metrics);
        return Vec::new();
    }
    vec![Returned::new(batch, until)]
}

/// Returns when the batch goes again, if it does: attempts, the last waiter's time and the budget allow it.
fn retry_at(shared: &Shared, batch: &Batch, fault: &Fault, now: Instant) -> Option<Instant> {
    if !retry::allows(fault.row().retry, batch.attempts, shared.max_attempts) {
        return None;
    }
    let at = now + retry::backoff(batch.attempts, fault.retry_after(), retry::full_jitter);
    let in_time = batch.wanted_until().is_some_and(|until| at < until);
    (in_time && shared.retries.spend(now)).then_some(at)
}

/// A refusal that tells the number of tokens teaches the estimate as well as a reply does.
fn teach(shared: &Shared, batch: &Batch, fault: &Fault) {
    if let Fault::TooManyTokens { actual: Some(actual), .. } = fault {
        shared.counter.learn(&batch.parameters.model, &measures(&batch.items), *actual);
    }
}

fn measures(items: &[Queued]) -> Vec<Measure> {
    items.iter().map(|queued| queued.measure).collect()
}

fn hand_out(shared: &Shared, batch: Batch, reply: Reply) {
    batch.ended(&shared.metrics, Ok(reply.total_tokens));
    let Batch { parameters, items, trip, span, .. } = batch;
    span.used(reply.total_tokens.unwrap_or_default());
    // What is paid for has come to its end when those who wait hear of it.
    drop(span);
    // Only the first reply of a trip is kept: the id is told only when there was no other.
    let _ = trip.reply.set(ReplyMetadata { request_id: reply.request_id, warning: reply.warning });
    let measures = measures(&items);
    let weights: Vec<u64> =
        measures.iter().map(|measure| shared.counter.guess(&parameters.model, measure)).collect();
    let total = reply.total_tokens.unwrap_or_else(|| weights.iter().sum());
    let guessed = reply.total_tokens.is_none();
    let replied = if guessed { Replied::Guessed(total) } else { Replied::Reported(total) };
    shared.metrics.replied(&parameters.model, replied);
    if let Some(reported) = reply.total_tokens {
        shared.counter.learn(&parameters.model, &measures, reported);
    }

    // The upstream's contract is one answer an input, in order.
    for ((queued, answer), tokens) in
        items.into_iter().zip(reply.answers).zip(apportion(total, &weights))
    {
        let (wasted, trip) = (queued.wasted, Arc::clone(&trip));
        queued.item.waiter.land(Ok(answer), Bill { tokens, wasted, guessed, trip });
    }
}
