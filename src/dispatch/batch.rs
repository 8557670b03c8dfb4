//! One call's walk: attempt → settle → hand out, or take apart, or go again.

use std::sync::{Arc, atomic::Ordering};

use tokio::time::Instant;

use super::{
    Bill, Queued, ReplyMetadata, Shared, Trip,
    apportion::apportion,
    breaker::{self, Pass},
    command::{Returned, Slot},
    isolate::{Verdict, judge},
    limit::{Class, Reservation},
    retry::{self, Retry},
};
use crate::{
    caller::Priority,
    embedding::{Input, Parameters},
    error::{Error, Fault, Upstream},
    tokens::Measure,
    upstream::Reply,
};

/// Items that leave in one call.
#[derive(Debug)]
pub(super) struct Batch {
    pub(super) parameters: Arc<Parameters>,
    pub(super) items: Vec<Queued>,
    trip: Arc<Trip>,
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
    pub(super) fn new(parameters: Arc<Parameters>, items: Vec<Queued>) -> Self {
        let trip = Arc::new(Trip::default());
        trip.items.store(count(&items), Ordering::Relaxed);
        Self { parameters, items, trip, attempts: 0, resent: false, rejections: 0 }
    }

    /// The same trip with other items.
    fn part(&self, items: Vec<Queued>) -> Self {
        Self {
            parameters: Arc::clone(&self.parameters),
            items,
            trip: Arc::clone(&self.trip),
            attempts: self.attempts,
            resent: self.resent,
            rejections: self.rejections,
        }
    }

    pub(super) fn tokens(&self) -> u64 {
        self.items.iter().map(|queued| queued.tokens).sum()
    }

    pub(super) fn class(&self) -> Class {
        let interactive =
            self.items.iter().any(|queued| queued.item.priority == Priority::Interactive);
        if interactive { Class::Interactive } else { Class::Batch }
    }

    /// Returns until when the last of those who wait still waits.
    fn wanted_until(&self) -> Option<Instant> {
        self.items.iter().filter_map(|queued| queued.item.waiter.wanted_until()).max()
    }

    pub(super) fn drop_abandoned(&mut self) {
        self.keep(|queued| queued.item.waiter.wanted_until().is_some());
    }

    /// Tells every item that it is being sent, and drops those nobody wants.
    pub(super) fn board(&mut self) {
        self.keep(|queued| queued.item.waiter.depart());
    }

    fn keep(&mut self, wanted: impl FnMut(&Queued) -> bool) {
        let (kept, gone): (Vec<Queued>, Vec<Queued>) =
            std::mem::take(&mut self.items).into_iter().partition(wanted_ref(wanted));
        self.items = kept;
        self.trip.items.fetch_sub(count(&gone), Ordering::Relaxed);
        for queued in gone {
            queued.item.waiter.abandon();
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

    pub(super) fn fail(self, error: &Error) {
        let Self { items, trip, attempts, rejections, .. } = self;
        let error = error.with_attempts((attempts + rejections).max(1));
        for queued in items {
            let bill = Bill { tokens: 0, guessed: false, trip: Arc::clone(&trip) };
            queued.item.waiter.land(Err(error.clone()), bill);
        }
    }
}

fn wanted_ref(mut wanted: impl FnMut(&Queued) -> bool) -> impl FnMut(&Queued) -> bool {
    move |queued| wanted(queued)
}

fn count(items: &[Queued]) -> u32 {
    u32::try_from(items.len()).unwrap_or(u32::MAX)
}

/// Makes one attempt and decides what comes of it; what goes again is handed to the scheduler.
pub(super) async fn run(shared: Arc<Shared>, call: Call) {
    let Call { mut batch, mut reservation, pass, mut slot } = call;
    batch.trip.requests.fetch_add(1, Ordering::Relaxed);
    let inputs: Vec<&Input> = batch.items.iter().map(|queued| &queued.item.input).collect();
    reservation.sent();
    if batch.attempts == 0 {
        shared.retries.earn(Instant::now());
    }
    let ((seat, key), sent_at) = (reservation.key(), Instant::now());
    let result = shared.upstream.call(&key, &batch.parameters, &inputs).await;
    drop(inputs);

    let now = Instant::now();
    match result {
        Ok(reply) => {
            pass.succeeded(now);
            reservation.settle(reply.total_tokens, now);
            shared.pool.accepted(seat, &key, sent_at);
            hand_out(&shared, batch, reply);
        }
        Err(Error::Upstream(failure)) => {
            batch.attempts += 1;
            shared.metrics.recent().upstream_error(&failure, None);
            let gate = settle_failure(&failure, reservation, now);
            if breaker::counts_as_failure(&failure.fault) {
                pass.failed(now);
            } else {
                pass.succeeded(now);
            }
            let another_key = failure.fault == Fault::Unauthenticated
                && shared.pool.rejected(seat, &key, sent_at).await
                // Each is set aside, so there are no more; but files may change as fast as they are read.
                && batch.rejections < shared.pool.most_rejections();
            slot.returned = if another_key {
                vec![batch.with_another_key(now)]
            } else {
                after(&shared, batch, &failure, gate, now)
            };
        }
        Err(other) => {
            reservation.failed(now);
            batch.fail(&other);
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
        batch.attempts -= 1;
        return vec![Returned::new(batch, now)];
    }
    if let Some(at) = retry_at(shared, &batch, &failure.fault, now) {
        shared.metrics.retry();
        return vec![Returned::new(batch, at)];
    }
    let items = std::mem::take(&mut batch.items);
    let parts = match judge(&error, items) {
        Verdict::FailAll(items) => {
            batch.part(items).fail(&error);
            return Vec::new();
        }
        Verdict::FailOne { guilty, rest } => {
            batch.part(vec![guilty]).fail(&error);
            vec![rest]
        }
        Verdict::Split(first, second) => vec![first, second],
    };
    // What was taken apart is no attempt of its own.
    batch.attempts -= 1;
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
    let wait = until.duration_since(Instant::now());
    let error = error.with_retry_after(wait).with_attempts(batch.attempts);
    if batch.attempts >= shared.max_attempts {
        batch.fail(&error);
        return Vec::new();
    }
    batch.excuse(until, &error);
    vec![Returned::new(batch, until)]
}

/// Returns when the batch goes again, if it does: attempts, the last waiter's time and the budget allow it.
fn retry_at(shared: &Shared, batch: &Batch, fault: &Fault, now: Instant) -> Option<Instant> {
    let retry = Retry::of(fault);
    if !retry.allows(batch.attempts, shared.max_attempts) {
        return None;
    }
    let retry_after = match retry {
        Retry::Backoff { retry_after } => retry_after,
        Retry::Never | Retry::Once | Retry::Gate => None,
    };
    let at = now + retry::backoff(batch.attempts, retry_after, retry::full_jitter);
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
    let Batch { parameters, items, trip, .. } = batch;
    // Only the first reply of a trip is kept: the id is told only when there was no other.
    let _ = trip.reply.set(ReplyMetadata { request_id: reply.request_id, warning: reply.warning });
    let measures = measures(&items);
    let weights: Vec<u64> =
        measures.iter().map(|measure| shared.counter.guess(&parameters.model, measure)).collect();
    let total = reply.total_tokens.unwrap_or_else(|| weights.iter().sum());
    let guessed = reply.total_tokens.is_none();
    if let Some(reported) = reply.total_tokens {
        shared.counter.learn(&parameters.model, &measures, reported);
    }

    // The upstream's contract is one answer an input, in order.
    for ((queued, answer), tokens) in
        items.into_iter().zip(reply.answers).zip(apportion(total, &weights))
    {
        queued.item.waiter.land(Ok(answer), Bill { tokens, guessed, trip: Arc::clone(&trip) });
    }
}
