//! When waiting items will have budget: an estimate for early rejection.
//!
//! The tokens and requests of a model's returned batches and queued items are added up in the order of service, on a
//! [`Forecast`] of the budget. The estimate assumes that no other items come, that a call is always free and that calls
//! take no time. Within one lane and class this is the order in which items are sent. Between several, a single token
//! can decide which is next: there an item is rejected only if it could not be sent in time although it were next.

use std::{
    collections::{HashMap, VecDeque},
    time::Duration,
};

use tokio::time::Instant;

use super::{
    lane::{Caps, Lane},
    queue::Position,
    reserve::{Terms, Wanted, reserve_for},
};
use crate::{
    caller::Priority,
    dispatch::{
        call::Returned,
        limit::Forecast,
        pending::{Demand, Queued},
    },
};

/// The most changes of the budget in one estimate; later items get the time of the last change.
const MOST_CHANGES: usize = 100_000;

/// A model's waiting items and the forecast of its budget.
#[derive(Clone)]
pub(super) struct Estimate<'a> {
    forecast: Forecast,
    caps: Caps,
    now: Instant,
    /// The simulated time.
    clock: Instant,
    /// In the order of service.
    items: VecDeque<Waiting<'a>>,
    repeats: Vec<Repeat>,
    /// Whether items that cannot wait keep their place.
    keeps_all: bool,
    late: Vec<Late>,
}

/// An item with waiters that cannot wait for it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Late {
    /// The number of its lane.
    pub(super) lane: usize,
    pub(super) position: Position,
    /// The earliest time at which it may be sent.
    pub(super) earliest: Instant,
    /// The estimated time at which it is sent, if all waiters stay.
    pub(super) expected: Instant,
}

/// A batch that is sent again.
#[derive(Clone)]
struct Repeat {
    at: Instant,
    priority: Priority,
    tokens: u64,
    expected: u64,
}

/// A waiting item.
#[derive(Clone, Copy)]
struct Waiting<'a> {
    lane: usize,
    position: Position,
    queued: &'a Queued,
    demand: Demand,
    /// When it would have budget if it were next; only where several lanes or classes wait.
    if_next: Option<Instant>,
}

impl<'a> Estimate<'a> {
    pub(super) fn new(
        forecast: Forecast,
        caps: Caps,
        lanes: &'a [&mut Lane],
        now: Instant,
    ) -> Self {
        let mut items = Vec::new();
        for (lane, of_lane) in lanes.iter().enumerate() {
            items.extend(of_lane.queue.iter().filter_map(|(position, queued)| {
                let demand = queued.item.owner.demand()?;
                Some(Waiting { lane, position, queued, demand, if_next: None })
            }));
        }
        items.sort_by_key(|waiting| waiting.position);
        let kind = |waiting: &Waiting<'_>| (waiting.lane, waiting.position.priority);
        if items.iter().any(|waiting| kind(waiting) != kind(&items[0])) {
            for waiting in &mut items {
                let at = forecast.free_at(Priority::Interactive, waiting.queued.size.tokens);
                waiting.if_next = Some(at);
            }
        }
        Self {
            forecast,
            caps,
            now,
            clock: now,
            items: items.into(),
            repeats: Vec::new(),
            keeps_all: false,
            late: Vec::new(),
        }
    }

    /// Adds a batch that is sent again.
    pub(super) fn add_returned(&mut self, returned: &Returned) {
        let Returned { batch, at, blocked } = returned;
        let at = if *blocked { self.now } else { (*at).max(self.now) };
        let (tokens, expected) = (batch.tokens(), batch.expected());
        self.repeats.push(Repeat { at, priority: batch.priority(), tokens, expected });
    }

    /// Returns the items with waiters that cannot wait for them.
    ///
    /// An item that cannot wait does not delay others. But its waiters get the time at which it would be sent if all
    /// stayed, since the other items of its request are sent again with it.
    pub(super) fn late(self) -> Vec<Late> {
        let mut late = self.clone().run();
        if !late.is_empty() {
            let all = Self { keeps_all: true, ..self }.run();
            let all: HashMap<Position, Instant> =
                all.into_iter().map(|late| (late.position, late.expected)).collect();
            for Late { position, expected, .. } in &mut late {
                *expected = all.get(position).map_or(*expected, |at| (*expected).max(*at));
            }
        }
        late
    }

    /// Returns when the last of these calls, given by their tokens, can be sent after all items that are not less urgent.
    pub(super) fn after(mut self, priority: Priority, calls: &[u64]) -> Instant {
        self.keeps_all = true;
        self.items.retain(|waiting| waiting.position.priority <= priority);
        self.simulate();
        for &tokens in calls {
            let at = self.forecast.free_at(priority, tokens).max(self.clock);
            self.clock = at;
            self.forecast.advance(at);
            if let Ok(planned) = self.forecast.reserve(priority, tokens) {
                self.forecast.settle(planned, tokens);
            }
        }
        self.clock
    }

    /// Simulates sending all items in turn; returns those with waiters that cannot wait.
    fn run(mut self) -> Vec<Late> {
        self.simulate();
        while let Some(rest) = self.items.pop_front() {
            self.note(rest);
        }
        self.late
    }

    fn simulate(&mut self) {
        for _ in 0..MOST_CHANGES {
            let changes = [self.send_again(), self.send_next()];
            if self.items.is_empty() {
                break;
            }
            // A time that is not later would loop.
            let next = changes.into_iter().flatten().min().unwrap_or(self.clock);
            self.clock = next.max(self.clock + Duration::from_millis(1));
            self.forecast.advance(self.clock);
        }
    }

    /// Sends the returned batches that have budget; returns when the next of the others may have it.
    fn send_again(&mut self) -> Option<Instant> {
        let Self { forecast, repeats, clock, .. } = self;
        repeats.retain_mut(|repeat| {
            if repeat.at <= *clock {
                match forecast.reserve(repeat.priority, repeat.tokens) {
                    Ok(planned) => {
                        forecast.settle(planned, repeat.expected);
                        return false;
                    }
                    Err(blocked) => repeat.at = blocked.until,
                }
            }
            true
        });
        repeats.iter().map(|repeat| repeat.at).min()
    }

    /// Sends the items that have budget; returns when the next of the others may have it.
    fn send_next(&mut self) -> Option<Instant> {
        let cutoff = (!self.keeps_all && self.clock > self.now).then_some(self.clock);
        loop {
            while self.items.front()?.cannot_wait(cutoff) {
                let head = self.items.pop_front()?;
                self.note(head);
            }
            // Batch calls may use the whole budget when interactive calls starve them, which is unknown at later times:
            // early rather than late.
            let starved = self.items.front()?.position.priority == Priority::Batch;
            let Self { forecast, items, caps, .. } = self;
            let mut fits = caps.filter();
            let wanted = items
                .iter()
                .filter(move |waiting| !waiting.cannot_wait(cutoff))
                .take_while(move |Waiting { queued, .. }| fits(&queued.size))
                .map(|&Waiting { position, queued, .. }| Wanted {
                    priority: position.priority,
                    tokens: queued.size.tokens,
                });
            let room = forecast.token_room();
            let terms = Terms { room, starved, worth: caps.worth, now: self.clock };
            let reserve = |priority, tokens| forecast.reserve(priority, tokens);
            let (planned, mut count) = match reserve_for(wanted, terms, reserve) {
                Ok(reserved) => reserved,
                Err(blocked) => return Some(blocked.until),
            };
            let mut expected = 0;
            while count > 0
                && let Some(waiting) = self.items.pop_front()
            {
                if !waiting.cannot_wait(cutoff) {
                    count -= 1;
                    expected += waiting.queued.expected;
                }
                self.note(waiting);
            }
            self.forecast.settle(planned, expected);
        }
    }

    /// Records an item that is sent at the simulated time, if a waiter cannot wait until then.
    fn note(&mut self, Waiting { lane, position, demand, if_next, .. }: Waiting<'_>) {
        let earliest = if_next.unwrap_or(self.clock);
        if earliest > self.now && demand.least_patience <= earliest {
            let expected = earliest.max(self.clock);
            self.late.push(Late { lane, position, earliest, expected });
        }
    }
}

impl Waiting<'_> {
    /// Returns whether no waiter can wait until `at`; items that are sent at once need not wait.
    fn cannot_wait(&self, at: Option<Instant>) -> bool {
        at.is_some_and(|at| self.demand.most_patience <= self.if_next.unwrap_or(at))
    }
}
