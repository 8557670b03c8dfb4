//! Who is told that waiting does not help, and what nobody waits for.

use std::{sync::Arc, time::Duration};

use tokio::time::Instant;

use super::{Scheduler, caps};
use crate::{
    caller::Priority,
    dispatch::{Bill, command::Returned},
    error::Error,
};

/// Items in a lane that are looked through at once whenever somebody comes.
const LONG: usize = 1_000;

/// Time between two looks through a longer lane.
const PAUSE: Duration = Duration::from_millis(20);

/// How often what nobody waits for is given up before its turn.
const SWEEP: Duration = Duration::from_secs(1);

impl Scheduler {
    /// Tells all who need to know.
    pub(super) fn refuse(&mut self, now: Instant) {
        self.sweep(now);
        self.excuse(now);
    }

    /// Refuses what waits for budget or company while nothing is sent: Voyage is given a rest, or rejects every key.
    pub(super) fn refuse_if_closed(&mut self, now: Instant) {
        for lane in self.lanes.values_mut() {
            let Some(refusal) = self.shared.refusal(&lane.parameters, now) else { return };
            for queued in lane.queue.retain(|_| false) {
                self.clock.refund(&queued);
                queued.item.waiter.land(Err(refusal.clone()), Bill::nothing());
            }
        }
    }

    /// Refuses, in lanes without budget, everyone who cannot wait as long as is known.
    fn excuse(&mut self, now: Instant) {
        for lane in self.lanes.values_mut().filter(|lane| lane.unexcused) {
            // A long queue is looked through now and then only: everyone in it waits long anyway.
            if lane.queue.len() > LONG && now < lane.excused_at + PAUSE {
                continue;
            }
            (lane.unexcused, lane.excused_at) = (false, now);
            let Some(blocked_until) = lane.blocked_until.filter(|until| *until > now) else {
                continue;
            };
            let caps = caps(&self.shared, &lane.parameters.model, self.max_inputs);
            let model = Arc::clone(&lane.parameters.model);
            let limiter = &self.shared.limiter;
            // Together the keys may have room that no single call can use yet.
            let gone = lane.excuse(now, caps, |class, need| {
                limiter.free_at(&model, class, need, now).max(blocked_until)
            });
            for queued in gone {
                self.clock.refund(&queued);
                queued.item.waiter.abandon();
            }
        }
    }

    /// Lifts an item of a returned batch, and refuses whoever joined it and cannot wait for the budget.
    pub(super) fn joined_returned(&mut self, id: u64, priority: Priority, now: Instant) {
        for Returned { batch, .. } in &mut self.returned {
            let Some(joined) = batch.items.iter_mut().find(|queued| queued.id() == id) else {
                continue;
            };
            joined.item.priority = joined.item.priority.min(priority);
            let (model, tokens) = (&batch.parameters.model, batch.tokens());
            let until = self.shared.limiter.free_for_call(model, batch.class(), tokens, now);
            if until > now {
                let retry_after = until.duration_since(now);
                batch.excuse(until, &Error::QueueTimeout { retry_after });
            }
            return;
        }
    }

    /// Gives up what nobody waits for any more: it takes room, and its caller's share.
    fn sweep(&mut self, now: Instant) {
        if now < self.swept_at + SWEEP {
            return;
        }
        self.swept_at = now;
        for lane in self.lanes.values_mut() {
            for queued in lane.queue.retain(|queued| queued.item.waiter.wanted_until().is_some()) {
                self.clock.refund(&queued);
                queued.item.waiter.abandon();
            }
        }
    }

    /// Returns when one of these wants to look again.
    pub(super) fn next_refusal(&self) -> Option<Instant> {
        let waiting = self.lanes.values().any(|lane| lane.queue.len() > 0);
        let sweep = waiting.then(|| self.swept_at + SWEEP);
        let excuses = self.lanes.values().filter(|lane| lane.unexcused);
        excuses.map(|lane| lane.excused_at + PAUSE).chain(sweep).min()
    }
}
