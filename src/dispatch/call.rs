//! One upstream call: attempt, settle, then complete, split or repeat.

use std::sync::{Arc, atomic::Ordering};

use tokio::{sync::mpsc, time::Instant};

use super::{
    Shared,
    batch::Batch,
    breaker::BreakerPermit,
    is_truncated,
    isolate::{Split, apportion_usage, split},
    limit::Reservation,
    pending::{Bill, ReplyMetadata},
    retry,
    spans::attempt_failed,
};
use crate::{
    error::{Error, Fault, Upstream},
    item::{Input, Media, Parameters, Usage},
    telemetry::Replied,
    upstream::Reply,
};

/// A batch with its reservation and permits.
pub(super) struct Call {
    pub(super) batch: Batch,
    pub(super) reservation: Reservation,
    pub(super) permit: BreakerPermit,
    pub(super) guard: CallGuard,
}

/// The end of a call, with the batches to send again.
///
/// It has a channel of its own: the command channel closes with the dispatch, but accepted items must still
/// complete.
#[derive(Debug)]
pub(super) struct Finished {
    pub(super) parameters: Arc<Parameters>,
    pub(super) returned: Vec<Returned>,
}

/// A batch to send again.
#[derive(Debug)]
pub(super) struct Returned {
    pub(super) batch: Batch,
    /// The earliest time.
    pub(super) at: Instant,
    /// Whether it waits only for budget, which may be free earlier than estimated.
    pub(super) blocked: bool,
}

/// Reports the end of a call when dropped, also by a panic.
#[derive(Debug)]
pub(super) struct CallGuard {
    pub(super) finished: mpsc::UnboundedSender<Finished>,
    pub(super) parameters: Arc<Parameters>,
    /// Batches to send again.
    pub(super) returned: Vec<Returned>,
}

impl Drop for CallGuard {
    fn drop(&mut self) {
        let returned = std::mem::take(&mut self.returned);
        let parameters = Arc::clone(&self.parameters);
        // Without a scheduler, the dropped items report the failure.
        let _ = self.finished.send(Finished { parameters, returned });
    }
}

/// Makes one attempt and handles its result.
pub(super) async fn run(shared: Arc<Shared>, call: Call) {
    let Call { mut batch, reservation, permit, mut guard } = call;
    batch.count_waits(&shared.metrics);
    let earlier = batch.stats.requests.fetch_add(1, Ordering::Relaxed);
    let inputs: Vec<&Input> = batch.items.iter().map(|queued| &queued.item.input).collect();
    if batch.attempts == 0 {
        shared.retries.earn(Instant::now());
    }
    let (index, key, sent_at) = (reservation.index(), reservation.key(), Instant::now());
    let mut attempt = batch.span.attempt(key.alias(), earlier);
    let result = shared.upstream.call(&key, &batch.parameters, &inputs, &mut attempt).await;
    drop(inputs);

    let now = Instant::now();
    batch.stats.called(sent_at, now);
    if let Err(Error::Upstream(failure)) = &result {
        attempt_failed(&mut attempt, failure);
    }
    drop(attempt);
    match result {
        Ok(reply) => {
            permit.succeeded(now);
            reservation.settle(reply.usage.map(|usage| usage.tokens), now);
            shared.pool.accepted(index, &key, sent_at);
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
                permit.failed(now);
            } else {
                permit.succeeded(now);
            }
            let another_key = failure.fault == Fault::Unauthenticated
                && shared.pool.rejected(index, &key, sent_at).await
                // Key files may change while they are read, so the count is bounded.
                && batch.rejections < shared.pool.most_rejections();
            if failure.fault == Fault::Unauthenticated {
                batch.span.sets_aside(key.alias());
            }
            guard.returned = if another_key {
                vec![with_another_key(batch, now)]
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

/// Sends the batch again at once with another key; this is neither an attempt nor a retry.
fn with_another_key(mut batch: Batch, now: Instant) -> Returned {
    batch.attempts -= 1;
    batch.rejections += 1;
    Returned { batch, at: now, blocked: false }
}

/// Settles the reservation; returns until when a 429 closes the limit.
fn settle_failure(failure: &Upstream, reservation: Reservation, now: Instant) -> Option<Instant> {
    match failure.fault {
        Fault::RateLimited { retry_after, free_tier } => {
            return Some(reservation.rate_limited(retry_after, free_tier, now));
        }
        Fault::Unauthenticated => reservation.rejected(now),
        _ => reservation.failed(now),
    }
    None
}

/// Handles a failed attempt.
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
        // The pooled connection was stale; one resend is free.
        batch.resent = true;
        batch.span.resends();
        batch.attempts -= 1;
        return vec![Returned { batch, at: now, blocked: false }];
    }
    if let Some(at) = retry_at(shared, &batch, &failure.fault, now) {
        shared.metrics.retry();
        batch.span.backs_off(at.duration_since(now));
        return vec![Returned { batch, at, blocked: false }];
    }
    let bisects = !(batch.parameters.endpoint().fails_as_whole() && batch.is_of_one_request());
    let fault = believed(&batch, &failure.fault);
    let Split { failed, resend } = split(&fault, std::mem::take(&mut batch.items), bisects);
    if !failed.is_empty() {
        batch.part(failed).fail(&error, &shared.metrics);
    }
    if resend.is_empty() {
        return Vec::new();
    }
    // A resend after a split is not an attempt.
    batch.attempts -= 1;
    batch.span.splits(resend.iter().map(Vec::len).sum());
    let parts = resend.into_iter().map(|items| batch.part(items));
    parts.map(|batch| Returned { batch, at: now, blocked: false }).collect()
}

/// Returns the fault without the index of an input that Voyage may not have meant: an input is believed to be too long
/// only if it is expected to have more than half of the limit, where an index may count something else.
fn believed(batch: &Batch, fault: &Fault) -> Fault {
    if let Fault::InputTooLong { index, limit } = fault
        && !batch.parameters.endpoint().names_inputs()
        && let Some(queued) = batch.items.get(*index)
        && limit.is_some_and(|limit| queued.expected <= limit / 2)
    {
        return Fault::InputTooLong { index: usize::MAX, limit: *limit };
    }
    fault.clone()
}

/// Queues the items again after a 429, which costs no retry, and rejects late waiters.
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
    batch.throttled.note(now, until);
    let error = error.with_retry_after(wait).with_attempts(batch.attempts);
    if batch.attempts >= shared.max_attempts {
        batch.fail(&error, &shared.metrics);
        return Vec::new();
    }
    batch.reject_late(until, &error);
    if batch.items.is_empty() {
        batch.fail(&error, &shared.metrics);
        return Vec::new();
    }
    vec![Returned { batch, at: until, blocked: false }]
}

/// Returns when to retry, if attempts, deadlines and the retry budget allow it.
fn retry_at(shared: &Shared, batch: &Batch, fault: &Fault, now: Instant) -> Option<Instant> {
    if !retry::allows(fault.row().retry, batch.attempts, shared.max_attempts) {
        return None;
    }
    let at = now + retry::backoff(batch.attempts, fault.retry_after(), retry::full_jitter);
    let in_time = batch.wanted_until().is_some_and(|until| at < until);
    (in_time && shared.retries.spend(now)).then_some(at)
}

/// Updates the token estimate from a rejection that reports the number of tokens.
fn teach(shared: &Shared, batch: &Batch, fault: &Fault) {
    if let Fault::TooManyTokens { actual: Some(actual), .. } = fault {
        shared.counter.learn(&batch.parameters.model, &batch.measures(), *actual);
    }
}

fn hand_out(shared: &Shared, batch: Batch, reply: Reply) {
    batch.ended(&shared.metrics, Ok(reply.usage.map(|usage| usage.tokens)));
    let measures = batch.measures();
    let Batch { parameters, items, stats, span, .. } = batch;
    span.used(reply.usage.map_or(0, |usage| usage.tokens));
    // Settle before the waiters get the result.
    drop(span);
    // Keep only the first reply: its id is reported only if there was one request.
    let _ = stats.reply.set(ReplyMetadata { request_id: reply.request_id, warning: reply.warning });
    let weights: Vec<Usage> =
        items.iter().map(|queued| shared.guess(&parameters, queued)).collect();
    let guessed = reply.usage.is_none();
    let has_media = items.iter().any(|queued| queued.item.input.media() != Media::NONE);
    let usage = reply.usage.unwrap_or_else(|| {
        let sum: Usage = weights.iter().copied().sum();
        Usage { text_tokens: if has_media { sum.text_tokens } else { 0 }, ..sum }
    });
    let replied = if guessed { Replied::Guessed(usage) } else { Replied::Reported(usage) };
    shared.metrics.replied(&parameters.model, replied);
    if !guessed {
        let texts = if has_media { usage.text_tokens } else { usage.tokens };
        shared.counter.learn(&parameters.model, &measures, texts);
    }

    // The upstream returns one answer per input, in order.
    for ((queued, answer), usage) in
        items.into_iter().zip(reply.answers).zip(apportion_usage(&usage, &weights))
    {
        let (wasted, stats) = (queued.wasted, Arc::clone(&stats));
        let answer = if is_truncated(&parameters, &queued.measure) {
            answer.of_truncated_input()
        } else {
            answer
        };
        queued.item.owner.complete(Ok(answer), Bill { usage, wasted, guessed, stats });
    }
}
