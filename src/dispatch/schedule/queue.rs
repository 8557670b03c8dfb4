//! The order of service: interactive before batch, callers in proportion to their weights within a class.
//!
//! Start-time fair queueing (Goyal, Vin and Cheng, 1996): an item's tag is where its caller's last item of the class
//! ends on a virtual clock, or the clock itself for a caller that was idle; the smallest tag is served first. A
//! caller with a thousand items waiting delays another's first by one item, not by a thousand.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    sync::Arc,
};

use tokio::time::Instant;

use crate::{
    caller::{Caller, Priority},
    dispatch::pending::{Item, Queued},
};

/// Virtual time a token of weight 1 takes; leaves room for weights up to this.
const SCALE: u64 = 1 << 10;

/// Callers remembered between sweeps of those who have nothing waiting.
const REMEMBERED: usize = 1024;

/// Callers remembered at most: beyond that, all of them start at the clock again.
const MOST_REMEMBERED: usize = 64 * REMEMBERED;

/// The virtual clocks, shared by all lanes, so that callers are compared across them.
#[derive(Debug)]
pub(super) struct FairClock {
    now: [u64; 2],
    /// Where each caller's last item ends.
    ends: HashMap<(Priority, Arc<str>), u64>,
    /// How many callers make the next sweep due: sweeps are paid for by those who came since the last.
    sweep_at: usize,
}

impl Default for FairClock {
    fn default() -> Self {
        Self { now: [0; 2], ends: HashMap::new(), sweep_at: REMEMBERED }
    }
}

impl FairClock {
    /// Gives a caller's next item of `cost` tokens its tag.
    fn tag(&mut self, priority: Priority, caller: &Caller, cost: u64) -> u64 {
        let now = self.now[priority as usize];
        if self.ends.len() >= self.sweep_at {
            self.sweep();
        }
        let end = self.ends.entry((priority, Arc::clone(&caller.name))).or_insert(now);
        let tag = (*end).max(now);
        *end = tag + length(caller, cost);
        tag
    }

    /// Forgets callers whose state equals a new one.
    ///
    /// Callers who come once only never move the clock on, so those who were served can be many.
    fn sweep(&mut self) {
        let clocks = self.now;
        // Whoever ended in the past starts at the clock again, remembered or not.
        self.ends.retain(|(priority, _), end| *end > clocks[*priority as usize]);
        if self.ends.len() >= MOST_REMEMBERED / 2 {
            self.ends.clear();
        }
        self.sweep_at = (2 * self.ends.len()).max(REMEMBERED);
    }

    /// Takes back what an item was charged that is not served.
    pub(super) fn refund(&mut self, queued: &Queued) {
        let Item { priority, caller, .. } = &queued.item;
        if let Some(end) = self.ends.get_mut(&(*priority, Arc::clone(&caller.name))) {
            *end = end.saturating_sub(length(caller, queued.tokens));
        }
    }

    /// Moves the clock on to an item that is being served.
    fn serve(&mut self, priority: Priority, tag: u64) {
        let now = &mut self.now[priority as usize];
        *now = (*now).max(tag);
    }
}

/// Returns the virtual time that an item of `cost` tokens takes.
fn length(caller: &Caller, cost: u64) -> u64 {
    cost.max(1) * SCALE / u64::from(caller.weight())
}

/// Where an item stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Position {
    pub(super) priority: Priority,
    pub(super) tag: u64,
    id: u64,
}

/// The items of one lane, in the order of service.
#[derive(Debug, Default)]
pub(super) struct Queue {
    items: BTreeMap<Position, Queued>,
    positions: HashMap<u64, Position>,
    /// In the order of arrival; some have left since.
    arrivals: VecDeque<(Instant, u64)>,
    tokens: u64,
}

impl Queue {
    pub(super) fn push(&mut self, queued: Queued, clock: &mut FairClock) {
        let (id, at) = (queued.item.id, queued.at);
        let tag = clock.tag(queued.item.priority, &queued.item.caller, queued.tokens);
        let position = Position { priority: queued.item.priority, tag, id };
        self.tokens += queued.tokens;
        self.items.insert(position, queued);
        self.positions.insert(id, position);
        self.arrivals.push_back((at, id));
    }

    /// Puts items back that were not sent, at their positions.
    pub(super) fn put_back(&mut self, taken: Vec<(Position, Queued)>) {
        for (position, queued) in taken {
            self.tokens += queued.tokens;
            self.positions.insert(position.id, position);
            self.items.insert(position, queued);
        }
    }

    /// Makes a waiting batch item interactive.
    pub(super) fn lift(&mut self, id: u64, clock: &mut FairClock) {
        let Some(old) = self.positions.get(&id).copied() else { return };
        if old.priority == Priority::Interactive {
            return;
        }
        let Some(mut queued) = self.items.remove(&old) else { return };
        clock.refund(&queued);
        queued.item.priority = Priority::Interactive;
        let tag = clock.tag(Priority::Interactive, &queued.item.caller, queued.tokens);
        let position = Position { priority: Priority::Interactive, tag, id };
        self.items.insert(position, queued);
        self.positions.insert(id, position);
    }

    /// Takes the first items of at least the class of `from` while `fits` says so.
    pub(super) fn take_while(
        &mut self,
        from: Priority,
        mut fits: impl FnMut(&Queued) -> bool,
    ) -> Vec<(Position, Queued)> {
        let mut taken = Vec::new();
        let start = Position { priority: from, tag: 0, id: 0 };
        while let Some((&position, queued)) = self.items.range(start..).next() {
            if !fits(queued) {
                break;
            }
            taken.extend(self.remove(position).map(|queued| (position, queued)));
        }
        taken
    }

    /// Counts anew, to reserve and as expected, the items that are served next: the estimate may have learnt since they came.
    pub(super) fn recount(&mut self, items: usize, count: impl Fn(&Queued) -> (u64, u64)) {
        for queued in self.items.values_mut().take(items) {
            let (tokens, expected) = count(queued);
            self.tokens = self.tokens - queued.tokens + tokens;
            (queued.tokens, queued.expected) = (tokens, expected);
        }
    }

    /// Records that items were sent.
    pub(super) fn served(taken: &[(Position, Queued)], clock: &mut FairClock) {
        for (position, _) in taken {
            clock.serve(position.priority, position.tag);
        }
    }

    /// Takes out the items that `keep` refuses, in the order of service.
    pub(super) fn retain(&mut self, mut keep: impl FnMut(&mut Queued) -> bool) -> Vec<Queued> {
        let gone: Vec<Position> = self
            .items
            .iter_mut()
            .filter_map(|(position, queued)| (!keep(queued)).then_some(*position))
            .collect();
        gone.into_iter().filter_map(|position| self.remove(position)).collect()
    }

    fn remove(&mut self, position: Position) -> Option<Queued> {
        self.positions.remove(&position.id);
        let queued = self.items.remove(&position)?;
        self.tokens -= queued.tokens;
        Some(queued)
    }

    pub(super) fn contains(&self, id: u64) -> bool {
        self.positions.contains_key(&id)
    }

    /// Removes an item if it has no waiters.
    pub(super) fn remove_abandoned(&mut self, position: Position) -> Option<Queued> {
        if self.items.get(&position)?.is_wanted() {
            return None;
        }
        self.remove(position)
    }

    /// Returns the items and where they stand, in the order of service.
    pub(super) fn iter(&self) -> impl Iterator<Item = (Position, &Queued)> {
        self.items.iter().map(|(position, queued)| (*position, queued))
    }

    pub(super) fn get(&self, position: Position) -> Option<&Queued> {
        self.items.get(&position)
    }

    pub(super) fn len(&self) -> usize {
        self.items.len()
    }

    pub(super) fn tokens(&self) -> u64 {
        self.tokens
    }

    /// Returns the position of the item to be served first.
    pub(super) fn head(&self) -> Option<Position> {
        self.items.keys().next().copied()
    }

    /// Returns the item of a class to be served first.
    pub(super) fn first(&self, priority: Priority) -> Option<(Position, &Queued)> {
        let start = Position { priority, tag: 0, id: 0 };
        let (position, queued) = self.items.range(start..).next()?;
        (position.priority == priority).then_some((*position, queued))
    }

    /// Returns when the oldest item that still waits arrived.
    pub(super) fn oldest(&mut self) -> Option<Instant> {
        while let Some(&(at, id)) = self.arrivals.front() {
            if self.positions.contains_key(&id) {
                return Some(at);
            }
            self.arrivals.pop_front();
        }
        None
    }
}

#[cfg(test)]
mod tests;
