//! Who is told that waiting does not help, and what nobody waits for.

use std::{collections::HashMap, sync::Arc, time::Duration};

use tokio::time::Instant;

use super::{
    Scheduler,
    ahead::{self, Known},
};
use crate::{
    caller::Priority,
    dispatch::{
        Bill, Shared,
        command::Returned,
        lane::Lane,
        limit::{Class, Need},
    },
    error::Error,
};

/// Items of a model that are looked through at once whenever somebody comes.
const LONG: usize = 1_000;

/// Time between two looks through more of them, for each.
const PAUSE: Duration = Duration::from_micros(20);

/// The longest such time.
const LONGEST_PAUSE: Duration = Duration::from_millis(500);

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

    /// Refuses, of models without budget, everyone who cannot wait as long as is known.
    fn excuse(&mut self, now: Instant) {
        let mut models: HashMap<Arc<str>, Vec<&mut Lane>> = HashMap::new();
        if self.lanes.values().any(|lane| lane.unexcused) {
            for lane in self.lanes.values_mut() {
                if lane.queue.len() > 0 {
                    models.entry(Arc::clone(&lane.parameters.model)).or_default().push(lane);
                } else {
                    lane.unexcused = false;
                }
            }
        }
        let all_busy = self.in_flight >= self.max_in_flight;
        for (model, mut lanes) in models {
            if !is_due(&mut lanes, now) {
                continue;
            }
            let is_blocked = is_blocked(&self.shared, &lanes, all_busy, now);
            for lane in &mut lanes {
                (lane.unexcused, lane.excused_at) = (false, now);
            }
            if !is_blocked {
                continue;
            }
            let of_model = |returned: &&Returned| returned.batch.parameters.model == model;
            let gone = ahead::tell(&Known {
                shared: &self.shared,
                model: &model,
                max_inputs: self.max_inputs,
                sent: self.shares.of(&model),
                interactive_run: self.interactive_run,
                calls_are_out: self.in_flight > 0,
                now,
                lanes: &lanes.iter().map(|lane| &**lane).collect::<Vec<_>>(),
                returned: &self.returned.iter().filter(of_model).collect::<Vec<_>>(),
            });
            for (lane, gone) in lanes.into_iter().zip(gone) {
                // Somebody may have joined in the meantime.
                for queued in gone.into_iter().filter_map(|id| lane.queue.remove_abandoned(id)) {
                    self.clock.refund(&queued);
                    queued.item.waiter.abandon(queued.wasted);
                }
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
            let need = Need { requests: 1, tokens: batch.tokens() };
            let model = &batch.parameters.model;
            let until = self.shared.limiter.free_at(model, batch.class(), need, now);
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
                queued.item.waiter.abandon(queued.wasted);
            }
        }
        for returned in &mut self.returned {
            returned.batch.drop_abandoned();
        }
        for given_up in self.returned.extract_if(.., |returned| returned.batch.items.is_empty()) {
            given_up.batch.give_up(&self.shared.metrics);
        }
    }

    /// Returns when one of these wants to look again.
    pub(super) fn next_refusal(&self) -> Option<Instant> {
        let queued = self.lanes.values().any(|lane| lane.queue.len() > 0);
        let waiting = queued || !self.returned.is_empty();
        let sweep = waiting.then(|| self.swept_at + SWEEP);
        let excuses = self.lanes.values().filter(|lane| lane.unexcused);
        excuses.map(|lane| lane.excuse_at).chain(sweep).min()
    }
}

/// Tells whether a model's lanes are to be looked through now; puts it off where they are not.
fn is_due(lanes: &mut [&mut Lane], now: Instant) -> bool {
    if !lanes.iter().any(|lane| lane.unexcused) {
        return false;
    }
    let items: usize = lanes.iter().map(|lane| lane.queue.len()).sum();
    let last = lanes.iter().map(|lane| lane.excused_at).max().unwrap_or(now);
    // A long queue is looked through now and then only: everyone in it waits long anyway.
    let pause = PAUSE * u32::try_from(items).unwrap_or(u32::MAX);
    let due = last + pause.min(LONGEST_PAUSE);
    let is_due = items <= LONG || now >= due;
    if !is_due {
        for lane in lanes {
            lane.excuse_at = due;
        }
    }
    is_due
}

/// Tells whether one of a model's lanes waits for budget.
fn is_blocked(shared: &Shared, lanes: &[&mut Lane], all_busy: bool, now: Instant) -> bool {
    let has_no_budget = |lane: &Lane| {
        let Some((position, queued)) = lane.queue.iter().next() else { return false };
        let class = match position.priority {
            Priority::Interactive => Class::Interactive,
            Priority::Batch => Class::Batch,
        };
        let need = Need { requests: 1, tokens: queued.tokens };
        shared.limiter.free_at(&lane.parameters.model, class, need, now) > now
    };
    lanes.iter().any(|lane| {
        // While no call is free nothing is tried, so nothing is learnt of the budget: it must be asked.
        lane.blocked_until.is_some_and(|until| until > now)
            || (all_busy && lane.unexcused && has_no_budget(lane))
    })
}
