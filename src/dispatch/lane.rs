//! A lane: inputs that may share a call, because every parameter of theirs is equal.

use std::{sync::Arc, time::Duration};

use tokio::time::Instant;

use super::{
    Queued,
    limit::{Class, Need},
    queue::{FairClock, Position, Queue},
};
use crate::{
    caller::Priority,
    embedding::Parameters,
    error::Error,
    model::{self, MAX_UPSTREAM_INPUTS},
};

/// Bytes of inputs in one call; a larger input goes alone.
const MAX_BODY_BYTES: usize = 16 * 1024 * 1024;

/// Tokens a call of an unlisted model may have: the least of any listed model.
const UNLISTED_REQUEST_TOKENS: u64 = 120_000;

/// A batch item that has waited this long is owed a turn.
pub(super) const AGEING: Duration = Duration::from_secs(2);

/// What one call may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Caps {
    pub(super) inputs: usize,
    pub(super) tokens: u64,
    bytes: usize,
    /// The tokens for which a batch call leaves although more would wait for it: smaller calls would use up the
    /// requests, and waiting for a full one would leave tokens unused.
    pub(super) worth: u64,
}

impl Caps {
    /// Returns what one call to a model may hold, of a budget of requests and tokens; never more than all of them.
    pub(super) fn of(model: &str, max_inputs: usize, budget: (u64, u64)) -> Self {
        let (inputs, tokens) = model::find(model)
            .map_or((MAX_UPSTREAM_INPUTS, UNLISTED_REQUEST_TOKENS), |model| {
                (model.max_inputs as usize, u64::from(model.max_request_tokens))
            });
        let tokens = tokens.min(budget.1);
        let worth = (tokens / 4).max(budget.1 / budget.0.max(1)).min(tokens);
        Self { inputs: inputs.min(max_inputs), tokens, bytes: MAX_BODY_BYTES, worth }
    }

    /// Returns a filter that lets items through until the call is full; the first always passes.
    pub(super) fn filter(self) -> impl FnMut(&Queued) -> bool {
        let (mut inputs, mut tokens, mut bytes) = (0, 0, 0);
        move |queued: &Queued| {
            let size = queued.item.input.size();
            let fits = inputs == 0
                || (inputs < self.inputs
                    && tokens + queued.tokens <= self.tokens
                    && bytes + size <= self.bytes);
            inputs += 1;
            tokens += queued.tokens;
            bytes += size;
            fits
        }
    }
}

/// Where items of equal parameters gather.
#[derive(Debug)]
pub(super) struct Lane {
    pub(super) parameters: Arc<Parameters>,
    pub(super) queue: Queue,
    /// Calls of this lane in flight.
    pub(super) in_flight: usize,
    /// Until when there is known to be no budget for the lane's next call.
    pub(super) blocked_until: Option<Instant>,
    /// Until when there is known to be no budget for the turn of the batch items behind interactive ones.
    pub(super) no_turn_until: Option<Instant>,
    /// Whether somebody may be waiting who has not been told that there is no budget in time.
    pub(super) unexcused: bool,
    /// When they were last told.
    pub(super) excused_at: Instant,
}

impl Lane {
    pub(super) fn new(parameters: Arc<Parameters>) -> Self {
        Self {
            parameters,
            queue: Queue::default(),
            in_flight: 0,
            blocked_until: None,
            no_turn_until: None,
            unexcused: false,
            excused_at: Instant::now(),
        }
    }

    /// Returns when the lane's next call may leave, as far as gathering is concerned: now when it is full or idle,
    /// else when its oldest item has waited for `max_delay`.
    pub(super) fn ready_at(
        &mut self,
        now: Instant,
        max_delay: Duration,
        caps: Caps,
    ) -> Option<Instant> {
        let oldest = self.queue.oldest()?;
        let is_full = self.queue.len() >= caps.inputs || self.queue.tokens() >= caps.tokens;
        let at = if is_full || self.in_flight == 0 { now } else { oldest + max_delay };
        Some(self.blocked_until.map_or(at, |until| at.max(until)))
    }

    /// Returns whether the next batch item has waited long enough to be owed a turn.
    pub(super) fn is_owed(&self, now: Instant) -> bool {
        self.no_turn_until.is_none_or(|until| until <= now)
            && self.queue.head_arrival(Priority::Batch).is_some_and(|at| now >= at + AGEING)
    }

    /// Takes a call's items out of the queue, in the order of service.
    pub(super) fn take(&mut self, from: Priority, caps: Caps) -> Vec<(Position, Queued)> {
        self.queue.take_while(from, caps.filter())
    }

    /// Drops the items nobody waits for any more.
    pub(super) fn drop_abandoned(taken: &mut Vec<(Position, Queued)>) {
        let (wanted, gone) = std::mem::take(taken)
            .into_iter()
            .partition(|(_, queued)| queued.item.waiter.wanted_until().is_some());
        *taken = wanted;
        let gone: Vec<(Position, Queued)> = gone;
        for (_, queued) in gone {
            queued.item.waiter.abandon();
        }
    }

    /// Tells everyone who cannot wait as long as is known, and returns the items that nobody waits for any more;
    /// `free_at` says when there will be budget.
    pub(super) fn excuse(
        &mut self,
        now: Instant,
        caps: Caps,
        free_at: impl Fn(Class, Need) -> Instant,
    ) -> Vec<Queued> {
        let mut needs = self.needs(caps).into_iter();
        let mut last = None;
        self.queue.retain(|queued| {
            let Some(need) = needs.next() else { return true };
            // Items that leave together have one need: one look at the budget is enough.
            let until = match last {
                Some((looked_at, until)) if looked_at == need => until,
                _ => free_at(need.0, need.1),
            };
            last = Some((need, until));
            let refusal = Error::QueueTimeout { retry_after: until.duration_since(now) };
            queued.item.waiter.excuse(until, &refusal);
            queued.item.waiter.wanted_until().is_some()
        })
    }

    /// Returns what each item waits for: what goes before it and, for a batch item, the part of the call that is
    /// worth sending.
    fn needs(&self, caps: Caps) -> Vec<(Class, Need)> {
        let mut needs: Vec<(Class, Need)> = Vec::with_capacity(self.queue.len());
        let (mut requests, mut tokens, mut fits) = (1, 0, caps.filter());
        let (mut part, mut part_began_at) = (0, 0);
        for queued in self.queue.iter() {
            let call_is_full = !fits(queued);
            if call_is_full {
                requests += 1;
                fits = caps.filter();
                fits(queued);
            }
            if call_is_full || tokens - part_began_at >= caps.worth {
                raise(&mut needs[part..], tokens);
                (part, part_began_at) = (needs.len(), tokens);
            }
            tokens += queued.tokens;
            let class = match queued.item.priority {
                Priority::Interactive => Class::Interactive,
                Priority::Batch => Class::Batch,
            };
            needs.push((class, Need { requests, tokens }));
        }
        raise(&mut needs[part..], tokens);
        needs
    }

    /// Adds an item; an interactive one may fit where the lane's next batch does not.
    pub(super) fn push(&mut self, queued: Queued, clock: &mut FairClock) {
        if queued.item.priority == Priority::Interactive {
            self.blocked_until = None;
        }
        self.queue.push(queued, clock);
    }
}

/// Lets the batch items of a part need all of it.
fn raise(part: &mut [(Class, Need)], tokens: u64) {
    for (_, need) in part.iter_mut().filter(|(class, _)| *class == Class::Batch) {
        need.tokens = tokens;
    }
}
