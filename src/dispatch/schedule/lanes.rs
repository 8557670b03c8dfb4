//! All lanes, and their order of service.
//!
//! Every query of a reranking is a lane of its own, so there may be thousands. A call looks at the first lanes of each model
//! only; the order is kept up to date with every change of a queue.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use super::{
    lane::{Lane, Place},
    queue::Position,
};
use crate::item::Parameters;

/// Lanes of a model and class that are tried besides those with calls in flight, which may wait for further items: a lane
/// behind the first may need less budget, and is served then.
const TRIED: usize = 64;

/// The lanes with items or calls in flight.
#[derive(Debug, Default)]
pub(super) struct Lanes {
    lanes: HashMap<Arc<Parameters>, Lane>,
    index: Index,
}

/// What is kept about all lanes.
#[derive(Debug, Default)]
struct Index {
    orders: HashMap<Arc<str>, Order>,
    /// Items in all queues.
    items: usize,
    /// The lanes that are known to have no budget.
    blocked: Vec<Arc<Parameters>>,
    /// The lanes that may have nothing to do.
    idle: Vec<Arc<Parameters>>,
}

/// The lanes of a model in the order of service: by their next items, and by their next batch items.
#[derive(Debug, Default)]
struct Order {
    heads: BTreeMap<Position, Arc<Parameters>>,
    batches: BTreeMap<Position, Arc<Parameters>>,
}

impl Lanes {
    /// Returns the number of items that wait.
    pub(super) fn items(&self) -> usize {
        self.index.items
    }

    pub(super) fn values(&self) -> impl Iterator<Item = &Lane> {
        self.lanes.values()
    }

    /// Returns all lanes. Queues must not change, or [`Self::change_all`] must follow.
    pub(super) fn values_mut(&mut self) -> impl Iterator<Item = &mut Lane> {
        self.lanes.values_mut()
    }

    /// Returns the lane of these parameters, which is opened if there is none, after a change.
    pub(super) fn open<R>(
        &mut self,
        parameters: &Arc<Parameters>,
        change: impl FnOnce(&mut Lane) -> R,
    ) -> R {
        let open = || Lane::new(Arc::clone(parameters));
        let lane = self.lanes.entry(Arc::clone(parameters)).or_insert_with(open);
        let result = change(lane);
        self.place(parameters);
        result
    }

    /// Changes a lane; `None`: there is none of these parameters.
    pub(super) fn change<R>(
        &mut self,
        parameters: &Arc<Parameters>,
        change: impl FnOnce(&mut Lane) -> R,
    ) -> Option<R> {
        let result = change(self.lanes.get_mut(parameters)?);
        self.place(parameters);
        Some(result)
    }

    /// Changes every lane.
    pub(super) fn change_all(&mut self, mut change: impl FnMut(&mut Lane)) {
        for lane in self.lanes.values_mut() {
            change(lane);
            self.index.note(lane);
        }
    }

    /// Visits the lanes that the next call may serve: the first of each model, and the first with batch items. At most
    /// `in_flight` lanes have calls in flight.
    pub(super) fn visit(&mut self, in_flight: usize, mut visit: impl FnMut(&mut Lane)) {
        let most = in_flight + TRIED;
        for order in self.index.orders.values() {
            let tried = order.heads.values().take(most).chain(order.batches.values().take(most));
            for parameters in tried {
                let Some(lane) = self.lanes.get_mut(parameters) else { continue };
                visit(lane);
                self.index.blocked.extend(newly_blocked(lane));
            }
        }
    }

    /// Forgets which lanes had no budget.
    pub(super) fn unblock(&mut self) {
        for parameters in self.index.blocked.drain(..) {
            if let Some(lane) = self.lanes.get_mut(&parameters) {
                (lane.blocked_until, lane.no_turn_until, lane.is_listed) = (None, None, false);
            }
        }
    }

    /// Removes the lanes without items and calls.
    pub(super) fn remove_idle(&mut self) {
        let mut was_listed = false;
        for parameters in self.index.idle.drain(..) {
            let is_idle = |lane: &Lane| lane.in_flight == 0 && lane.queue.len() == 0;
            if self.lanes.get(&parameters).is_some_and(is_idle) {
                let lane = self.lanes.remove(&parameters);
                was_listed |= lane.is_some_and(|lane| lane.is_listed);
            }
        }
        if was_listed {
            self.index.blocked.retain(|parameters| self.lanes.contains_key(parameters));
        }
    }

    fn place(&mut self, parameters: &Arc<Parameters>) {
        if let Some(lane) = self.lanes.get_mut(parameters) {
            self.index.note(lane);
        }
    }
}

impl Index {
    /// Updates what is kept about a lane.
    fn note(&mut self, lane: &mut Lane) {
        self.blocked.extend(newly_blocked(lane));
        if lane.queue.len() == 0 && lane.in_flight == 0 {
            self.idle.push(Arc::clone(&lane.parameters));
        }
        let (before, after) = (lane.place, Place::of(lane));
        if before == after {
            return;
        }
        lane.place = after;
        self.items = self.items - before.items + after.items;
        let model = &lane.parameters.model;
        let order = self.orders.entry(Arc::clone(model)).or_default();
        move_lane(&mut order.heads, before.head, after.head, lane);
        move_lane(&mut order.batches, before.batch, after.batch, lane);
        if order.heads.is_empty() {
            self.orders.remove(&**model);
        }
    }
}

fn move_lane(
    order: &mut BTreeMap<Position, Arc<Parameters>>,
    before: Option<Position>,
    after: Option<Position>,
    lane: &Lane,
) {
    if before == after {
        return;
    }
    if let Some(before) = before {
        order.remove(&before);
    }
    if let Some(after) = after {
        order.insert(after, Arc::clone(&lane.parameters));
    }
}

/// Returns the lane's parameters if it has no budget and is not listed yet.
fn newly_blocked(lane: &mut Lane) -> Option<Arc<Parameters>> {
    let is_blocked = lane.blocked_until.is_some() || lane.no_turn_until.is_some();
    let is_new = is_blocked && !lane.is_listed;
    lane.is_listed |= is_blocked;
    is_new.then(|| Arc::clone(&lane.parameters))
}

#[cfg(test)]
mod tests;
