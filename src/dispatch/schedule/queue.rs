//! The order of service: interactive items before batch items, and fair shares of callers by weight within a class.
//!
//! Start-time fair queueing (Goyal, Vin and Cheng, 1996): an item's tag is the end of its caller's previous item of the
//! class on a virtual clock, or the clock's time if the caller was idle; the smallest tag is served first. A caller
//! with a thousand waiting items delays another caller by one item.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    sync::Arc,
};

use tokio::time::Instant;

use crate::{
    caller::{Caller, Priority},
    dispatch::pending::{Item, Queued},
    item::Size,
};

/// The virtual time of a token of weight 1, and the largest effective weight.
const SCALE: u64 = 1 << 10;

/// Callers kept between two sweeps of idle callers.
const KEPT_CALLERS: usize = 1024;

/// The most callers kept: beyond that, all of them are removed and start at the clock.
const MOST_KEPT_CALLERS: usize = 64 * KEPT_CALLERS;

/// The virtual clocks, shared by all lanes, so that callers are compared across them.
#[derive(Debug)]
pub(super) struct FairClock {
    now: [u64; 2],
    /// The end of each caller's last item.
    ends: HashMap<(Priority, Arc<str>), u64>,
    /// The number of callers at which the next sweep is due, so that sweeps cost a constant for each new caller.
    sweep_at: usize,
}

impl Default for FairClock {
    fn default() -> Self {
        Self { now: [0; 2], ends: HashMap::new(), sweep_at: KEPT_CALLERS }
    }
}

impl FairClock {
    /// Returns the tag of a caller's next item of `cost` tokens.
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

    /// Removes callers whose state equals that of a new caller.
    ///
    /// Callers with a single item do not advance the clock, so many can be left.
    fn sweep(&mut self) {
        let clocks = self.now;
        // A caller whose items ended in the past starts at the clock, known or not.
        self.ends.retain(|(priority, _), end| *end > clocks[*priority as usize]);
        if self.ends.len() >= MOST_KEPT_CALLERS / 2 {
            self.ends.clear();
        }
        self.sweep_at = (2 * self.ends.len()).max(KEPT_CALLERS);
    }

    /// Refunds the virtual time of an item that is not served.
    pub(super) fn refund(&mut self, queued: &Queued) {
        let Item { priority, caller, .. } = &queued.item;
        if let Some(end) = self.ends.get_mut(&(*priority, Arc::clone(&caller.name))) {
            *end = end.saturating_sub(length(caller, queued.size.tokens));
        }
    }

    /// Advances the clock to the tag of an item that is served.
    fn serve(&mut self, priority: Priority, tag: u64) {
        let now = &mut self.now[priority as usize];
        *now = (*now).max(tag);
    }
}

/// Returns the virtual time of an item of `cost` tokens.
fn length(caller: &Caller, cost: u64) -> u64 {
    cost.max(1) * SCALE / u64::from(caller.weight())
}

/// The position of an item in the order of service.
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
    /// In the order of arrival, with items that were removed since.
    arrivals: VecDeque<(Instant, u64)>,
    size: Size,
}

impl Queue {
    pub(super) fn push(&mut self, queued: Queued, clock: &mut FairClock) {
        let (id, at) = (queued.item.id, queued.at);
        let tag = clock.tag(queued.item.priority, &queued.item.caller, queued.size.tokens);
        let position = Position { priority: queued.item.priority, tag, id };
        self.size += queued.size;
        self.items.insert(position, queued);
        self.positions.insert(id, position);
        self.arrivals.push_back((at, id));
    }

    /// Puts items back that were not sent.
    pub(super) fn put_back(&mut self, taken: Vec<(Position, Queued)>) {
        for (position, queued) in taken {
            self.size += queued.size;
            self.positions.insert(position.id, position);
            self.items.insert(position, queued);
        }
    }

    /// Raises a batch item to interactive priority.
    pub(super) fn lift(&mut self, id: u64, clock: &mut FairClock) {
        let Some(old) = self.positions.get(&id).copied() else { return };
        if old.priority == Priority::Interactive {
            return;
        }
        let Some(mut queued) = self.items.remove(&old) else { return };
        clock.refund(&queued);
        queued.item.priority = Priority::Interactive;
        let tag = clock.tag(Priority::Interactive, &queued.item.caller, queued.size.tokens);
        let position = Position { priority: Priority::Interactive, tag, id };
        self.items.insert(position, queued);
        self.positions.insert(id, position);
    }

    /// Removes the first items from the class `from` on, while they fit.
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

    /// Updates the reserved and expected tokens of the next items: the counter may have learnt since they arrived.
    pub(super) fn recount(&mut self, items: u64, count: impl Fn(&Queued) -> (u64, u64)) {
        for queued in self.items.values_mut().take(usize::try_from(items).unwrap_or(usize::MAX)) {
            let (tokens, expected) = count(queued);
            self.size.tokens = self.size.tokens - queued.size.tokens + tokens;
            (queued.size.tokens, queued.expected) = (tokens, expected);
        }
    }

    /// Records that items were sent.
    pub(super) fn served(taken: &[(Position, Queued)], clock: &mut FairClock) {
        for (position, _) in taken {
            clock.serve(position.priority, position.tag);
        }
    }

    /// Removes and returns the items that `keep` rejects, in the order of service.
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
        self.size -= queued.size;
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

    /// Returns the items with their positions, in the order of service.
    pub(super) fn iter(&self) -> impl Iterator<Item = (Position, &Queued)> {
        self.items.iter().map(|(position, queued)| (*position, queued))
    }

    pub(super) fn get(&self, position: Position) -> Option<&Queued> {
        self.items.get(&position)
    }

    pub(super) fn len(&self) -> usize {
        self.items.len()
    }

    pub(super) fn size(&self) -> Size {
        self.size
    }

    /// Returns the position of the next item.
    pub(super) fn head(&self) -> Option<Position> {
        self.items.keys().next().copied()
    }

    /// Returns the next item of a class.
    pub(super) fn first(&self, priority: Priority) -> Option<(Position, &Queued)> {
        let start = Position { priority, tag: 0, id: 0 };
        let (position, queued) = self.items.range(start..).next()?;
        (position.priority == priority).then_some((*position, queued))
    }

    /// Returns the arrival of the oldest item.
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
