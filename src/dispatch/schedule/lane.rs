//! A lane: items that may share a call, because all their parameters are equal.

use std::{sync::Arc, time::Duration};

use tokio::time::Instant;

use super::queue::{FairClock, Position, Queue};
use crate::{
    caller::Priority,
    dispatch::{
        limit::{Limiter, PerMinute},
        pending::Queued,
        send_info::ThrottledIntervals,
    },
    item::{Endpoint, Parameters, Size},
};

/// The most tokens of a call to an unlisted model: the least of any listed model.
const UNLISTED_REQUEST_TOKENS: u64 = 120_000;

/// A batch item that has waited this long is owed a turn.
pub(super) const AGEING: Duration = Duration::from_secs(2);

/// The bounds of one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Caps {
    pub(super) size: Size,
    /// The least tokens of a batch call when the budget lacks tokens for a full one: smaller calls would use up the
    /// requests, and waiting for a full one would leave tokens unused.
    pub(super) worth: u64,
}

impl Caps {
    /// Returns the bounds of a call within the limits of a minute: those of the endpoint and of the model.
    pub(super) fn of(parameters: &Parameters, max_inputs: usize, budget: PerMinute) -> Self {
        let bounds = parameters.endpoint().bounds();
        let (inputs, tokens) =
            parameters.model.listed().map_or((bounds.inputs, UNLISTED_REQUEST_TOKENS), |model| {
                (model.max_inputs.into(), model.max_request_tokens.into())
            });
        let inputs = bounds.inputs.min(inputs).min(max_inputs as u64);
        let tokens = bounds.tokens.min(tokens).min(budget.tokens);
        let worth = (tokens / 4).max(budget.tokens / budget.requests.max(1)).min(tokens);
        Self { size: Size { inputs, tokens, ..bounds }, worth }
    }

    /// Returns a filter that accepts items, by their size, until the call is full; the first one always fits.
    pub(super) fn filter(self) -> impl FnMut(&Size) -> bool + Clone {
        let mut taken = Size::default();
        move |more| {
            let fits = taken.inputs == 0 || taken.fits(more, &self.size);
            taken += *more;
            fits
        }
    }
}

/// The bounds of a call to each endpoint and model, computed once a round. There are few models and may be many lanes.
#[derive(Debug)]
pub(super) struct CapsByModel {
    known: Vec<Known>,
    max_inputs: usize,
    limiter: Arc<Limiter>,
}

#[derive(Debug)]
struct Known {
    endpoint: Endpoint,
    model: Arc<str>,
    caps: Caps,
}

impl CapsByModel {
    pub(super) fn new(max_inputs: usize, limiter: Arc<Limiter>) -> Self {
        Self { known: Vec::new(), max_inputs, limiter }
    }

    /// Begins a new round.
    pub(super) fn clear(&mut self) {
        self.known.clear();
    }

    pub(super) fn of(&mut self, parameters: &Parameters) -> Caps {
        let (endpoint, model) = (parameters.endpoint(), &*parameters.model);
        let is_same = |known: &&Known| known.endpoint == endpoint && known.model == *model;
        if let Some(known) = self.known.iter().find(is_same) {
            return known.caps;
        }
        let caps = Caps::of(parameters, self.max_inputs, self.limiter.for_batch(model));
        self.known.push(Known { endpoint, model: Arc::clone(model), caps });
        caps
    }
}

/// Where a lane stands in the order of service: its next item, its next batch item, and the number of its items.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) head: Option<Position>,
    pub(super) batch: Option<Position>,
    pub(super) items: usize,
}

impl Place {
    pub(super) fn of(lane: &Lane) -> Self {
        let batch = lane.queue.first(Priority::Batch).map(|(position, _)| position);
        Self { head: lane.queue.head(), batch, items: lane.queue.len() }
    }
}

/// A queue of items with equal parameters.
#[derive(Debug)]
pub(super) struct Lane {
    pub(super) parameters: Arc<Parameters>,
    pub(super) queue: Queue,
    /// Calls of this lane in flight.
    pub(super) in_flight: usize,
    /// The time before which the lane's next call has no budget.
    pub(super) blocked_until: Option<Instant>,
    /// When it had no budget.
    pub(super) throttled: ThrottledIntervals,
    /// The time before which a turn of the batch items behind interactive ones has no budget.
    pub(super) no_turn_until: Option<Instant>,
    /// Whether it is among the lanes without budget (`lanes`).
    pub(super) is_listed: bool,
    /// Where it stands in the order of service (`lanes`).
    pub(super) place: Place,
}

impl Lane {
    pub(super) fn new(parameters: Arc<Parameters>) -> Self {
        Self {
            parameters,
            queue: Queue::default(),
            in_flight: 0,
            blocked_until: None,
            throttled: ThrottledIntervals::default(),
            no_turn_until: None,
            is_listed: false,
            place: Place::default(),
        }
    }

    /// Returns when the lane's next call may be sent: now if the call is full or the lane idle, else when the oldest
    /// item has waited for `max_delay`; not before a known lack of budget ends.
    pub(super) fn ready_at(
        &mut self,
        now: Instant,
        max_delay: Duration,
        caps: Caps,
    ) -> Option<Instant> {
        let oldest = self.queue.oldest()?;
        let is_full = self.queue.size().fills(&caps.size);
        let at = if is_full || self.in_flight == 0 { now } else { oldest + max_delay };
        Some(self.blocked_until.map_or(at, |until| at.max(until)))
    }

    /// Returns whether the next call is known to have no budget now.
    pub(super) fn is_blocked(&self, now: Instant) -> bool {
        self.blocked_until.is_some_and(|until| until > now)
    }

    /// Notes that the next call has no budget before `until`.
    pub(super) fn blocked(&mut self, now: Instant, until: Instant) {
        self.blocked_until = Some(until);
        let oldest = self.queue.oldest().unwrap_or(now);
        self.throttled.forget(oldest);
        self.throttled.note(now, until);
    }

    /// Notes that there is budget; returns the intervals without.
    pub(super) fn freed(&mut self, now: Instant) -> ThrottledIntervals {
        self.throttled.end(now);
        self.throttled.clone()
    }

    /// Returns the position of the next batch item if it is owed a turn.
    pub(super) fn owed(&self, now: Instant) -> Option<Position> {
        if self.no_turn_until.is_some_and(|until| until > now) {
            return None;
        }
        let (head, queued) = self.queue.first(Priority::Batch)?;
        (now >= queued.at + AGEING).then_some(head)
    }

    /// Removes a call's items from the queue, in the order of service.
    pub(super) fn take(&mut self, from: Priority, caps: Caps) -> Vec<(Position, Queued)> {
        let mut fits = caps.filter();
        self.queue.take_while(from, |queued| fits(&queued.size))
    }

    /// Adds an item; an interactive one may fit where the lane's next batch does not.
    pub(super) fn push(&mut self, queued: Queued, clock: &mut FairClock) {
        if queued.item.priority == Priority::Interactive {
            self.blocked_until = None;
        }
        self.queue.push(queued, clock);
    }
}
