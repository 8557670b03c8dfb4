//! Early rejection of waiters that cannot wait long enough, and removal of items without waiters.

use std::{cmp::Reverse, collections::HashMap, sync::Arc, time::Duration};

use tokio::time::Instant;

use super::{
    Scheduler,
    estimate::{Estimate, Late},
    lane::Lane,
};
use crate::{
    caller::Priority,
    dispatch::{call::Returned, pending::Bill},
    error::Error,
};

/// Waiting items up to which estimates are made after every event.
const LONG: usize = 1_000;

/// Time between two estimates of more items, for each.
const PAUSE: Duration = Duration::from_micros(20);

/// The longest such time.
const LONGEST_PAUSE: Duration = Duration::from_millis(500);

/// Time between two removals of items without waiters.
const SWEEP: Duration = Duration::from_secs(1);

impl Scheduler {
    /// Removes items without waiters, and rejects waiters that cannot wait for the budget.
    pub(super) fn refuse(&mut self, now: Instant) {
        self.sweep(now);
        if self.unestimated && self.is_due(now) {
            (self.unestimated, self.estimated_at) = (false, now);
            self.reject_late(now);
        }
    }

    /// Rejects all queued items while nothing is sent: the circuit breaker is open, or Voyage rejects every key.
    pub(super) fn refuse_if_closed(&mut self, now: Instant) {
        let Self { lanes, shared, clock, .. } = self;
        let is_closed = |lane: &Lane| shared.refusal(&lane.parameters, now).is_some();
        if !lanes.values().next().is_some_and(is_closed) {
            return;
        }
        lanes.change_all(|lane| {
            let Some(refusal) = shared.refusal(&lane.parameters, now) else { return };
            for queued in lane.queue.retain(|_| false) {
                clock.refund(&queued);
                queued.item.owner.complete(Err(refusal.clone()), Bill::default());
            }
        });
    }

    /// Returns whether estimates are to be made now; postpones them if not.
    fn is_due(&mut self, now: Instant) -> bool {
        let items = self.lanes.items();
        // In a long queue the wait is long anyway.
        let pause = PAUSE * u32::try_from(items).unwrap_or(u32::MAX);
        self.estimate_at = self.estimated_at + pause.min(LONGEST_PAUSE);
        items <= LONG || now >= self.estimate_at
    }

    /// Rejects, for models without budget, the waiters that cannot wait until their items will be sent.
    fn reject_late(&mut self, now: Instant) {
        let all_busy = self.in_flight >= self.max_in_flight;
        let mut is_changed = false;
        let mut models: HashMap<Arc<str>, Vec<&mut Lane>> = HashMap::new();
        if all_busy || self.lanes.values().any(|lane| lane.is_blocked(now)) {
            for lane in self.lanes.values_mut().filter(|lane| lane.queue.len() > 0) {
                models.entry(Arc::clone(&lane.parameters.model)).or_default().push(lane);
            }
        }
        for (model, mut lanes) in models {
            let limiter = &self.shared.limiter;
            // While no call is free nothing is tried, so lanes are not known to be blocked.
            let has_no_budget = |lane: &Lane| {
                lane.queue.iter().next().is_some_and(|(position, queued)| {
                    limiter.free_at(&model, position.priority, queued.size.tokens, now) > now
                })
            };
            let is_blocked =
                |lane: &&mut Lane| lane.is_blocked(now) || (all_busy && has_no_budget(lane));
            if !lanes.iter().any(is_blocked) {
                continue;
            }
            let Some(first) = lanes.first() else { continue };
            let caps = self.caps.of(&first.parameters);
            let forecast = limiter.forecast(&model, now);
            let mut estimate = Estimate::new(forecast, caps, &lanes, now);
            for returned in &self.returned {
                if returned.batch.parameters.model.as_ref() == model.as_ref() {
                    estimate.add_returned(returned);
                }
            }
            let mut late = estimate.late();
            // A request fails with its first failed item, and gets the time of its last.
            late.sort_by_key(|late| Reverse(late.expected));
            for Late { lane, position, earliest, expected } in late {
                let queue = &mut lanes[lane].queue;
                let Some(queued) = queue.get(position) else { continue };
                let retry_after = expected.duration_since(now);
                queued.item.owner.reject_late(earliest, &Error::QueueTimeout { retry_after });
                if let Some(queued) = queue.remove_abandoned(position) {
                    self.clock.refund(&queued);
                    queued.cancel();
                    is_changed = true;
                }
            }
        }
        if is_changed {
            self.lanes.change_all(|_| {});
        }
    }

    /// Raises the priority of an item of a returned batch, and rejects late waiters.
    pub(super) fn joined_returned(&mut self, id: u64, priority: Priority, now: Instant) {
        for Returned { batch, at, blocked } in &mut self.returned {
            let Some(joined) = batch.items.iter_mut().find(|queued| queued.item.id == id) else {
                continue;
            };
            if priority < joined.item.priority {
                joined.item.priority = priority;
                // There may be budget for this priority now.
                *at = if *blocked { now } else { *at };
            }
            let (limiter, model) = (&self.shared.limiter, &batch.parameters.model);
            let until = limiter.free_at(model, batch.priority(), batch.tokens(), now);
            if until > now {
                let retry_after = until.duration_since(now);
                batch.reject_late(until, &Error::QueueTimeout { retry_after });
            }
            return;
        }
    }

    /// Removes items without waiters.
    fn sweep(&mut self, now: Instant) {
        if now < self.swept_at + SWEEP {
            return;
        }
        self.swept_at = now;
        let clock = &mut self.clock;
        self.lanes.change_all(|lane| {
            for queued in lane.queue.retain(|queued| queued.is_wanted()) {
                clock.refund(&queued);
                queued.cancel();
            }
        });
        for returned in &mut self.returned {
            returned.batch.drop_cancelled();
        }
        for given_up in self.returned.extract_if(.., |returned| returned.batch.items.is_empty()) {
            given_up.batch.give_up(&self.shared.metrics);
        }
    }

    /// Returns when items are to be removed or estimates to be made.
    pub(super) fn next_refusal(&self) -> Option<Instant> {
        let waiting = self.lanes.items() > 0 || !self.returned.is_empty();
        let sweep = waiting.then(|| self.swept_at + SWEEP);
        let estimate = self.unestimated.then_some(self.estimate_at);
        sweep.into_iter().chain(estimate).min()
    }
}
