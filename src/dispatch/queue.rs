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

use super::{Item, Queued};
use crate::caller::{Caller, Priority};

/// Virtual time a token of weight 1 takes; leaves room for weights up to this.
const SCALE: u64 = 1 << 10;

/// Callers remembered between sweeps of those who have nothing waiting.
const REMEMBERED: usize = 1024;

/// The virtual clocks, shared by all lanes, so that callers are compared across them.
#[derive(Debug, Default)]
pub(super) struct FairClock {
    now: [u64; 2],
    /// Where each caller's last item ends.
    ends: HashMap<(Priority, Arc<str>), u64>,
}

impl FairClock {
    /// Gives a caller's next item of `cost` tokens its tag.
    fn tag(&mut self, priority: Priority, caller: &Caller, cost: u64) -> u64 {
        let now = self.now[priority as usize];
        if self.ends.len() >= REMEMBERED {
            // Whoever ended in the past starts at the clock again, remembered or not.
            let clocks = self.now;
            self.ends.retain(|(priority, _), end| *end > clocks[*priority as usize]);
        }
        let end = self.ends.entry((priority, Arc::clone(&caller.name))).or_insert(now);
        let tag = (*end).max(now);
        *end = tag + length(caller, cost);
        tag
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
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
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
        let (id, at) = (queued.id(), queued.at);
        let tag = clock.tag(queued.item.priority, &queued.item.caller, queued.tokens);
        let position = Position { priority: queued.item.priority, tag, id };
        self.tokens += queued.tokens;
        self.items.insert(position, queued);
        self.positions.insert(id, position);
        self.arrivals.push_back((at, id));
    }

    /// Puts items back that could not leave, where they stood.
    pub(super) fn put_back(&mut self, taken: Vec<(Position, Queued)>) {
        for (position, queued) in taken {
            self.tokens += queued.tokens;
            self.positions.insert(position.id, position);
            self.items.insert(position, queued);
        }
    }

    /// Makes a waiting batch item interactive: somebody is waiting for it now.
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
            if let Some(queued) = self.items.remove(&position) {
                self.positions.remove(&position.id);
                self.tokens -= queued.tokens;
                taken.push((position, queued));
            }
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

    /// Notes that items have left for good.
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
        gone.into_iter()
            .filter_map(|position| {
                self.positions.remove(&position.id);
                let queued = self.items.remove(&position)?;
                self.tokens -= queued.tokens;
                Some(queued)
            })
            .collect()
    }

    pub(super) fn contains(&self, id: u64) -> bool {
        self.positions.contains_key(&id)
    }

    /// Takes an item out if nobody waits for it.
    pub(super) fn remove_abandoned(&mut self, id: u64) -> Option<Queued> {
        let position = self.positions.get(&id)?;
        let is_wanted = |queued: &Queued| queued.item.waiter.wanted_until().is_some();
        if self.items.get(position).is_none_or(is_wanted) {
            return None;
        }
        let queued = self.items.remove(position)?;
        self.positions.remove(&id);
        self.tokens -= queued.tokens;
        Some(queued)
    }

    /// Returns the items and where they stand, in the order of service.
    pub(super) fn iter(&self) -> impl Iterator<Item = (Position, &Queued)> {
        self.items.iter().map(|(position, queued)| (*position, queued))
    }

    pub(super) fn len(&self) -> usize {
        self.items.len()
    }

    pub(super) fn tokens(&self) -> u64 {
        self.tokens
    }

    /// Returns the position of the item to be served first in a class, or in any.
    pub(super) fn head(&self, class: Option<Priority>) -> Option<Position> {
        match class {
            None => self.items.keys().next().copied(),
            Some(priority) => {
                let start = Position { priority, tag: 0, id: 0 };
                let head = self.items.range(start..).next().map(|(position, _)| *position);
                head.filter(|position| position.priority == priority)
            }
        }
    }

    /// Returns when the item of a class to be served next arrived.
    pub(super) fn head_arrival(&self, priority: Priority) -> Option<Instant> {
        let head = self.head(Some(priority))?;
        self.items.get(&head).map(|queued| queued.at)
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
