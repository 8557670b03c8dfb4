//! When waiting items will have budget: an estimate for early rejection.
//!
//! The tokens and requests of a model's returned batches and queued items are added up in the order of service, on a
//! [`Forecast`] of the budget. Which lane is next and how many items fit in a call are decided by the scheduler's own
//! functions, [`choose`] and [`reserve_for`]. The estimate assumes that no other items come, that a call is always free
//! and that calls take no time, so it is early rather than late.

use std::{
    collections::{HashMap, VecDeque},
    time::Duration,
};

use tokio::time::Instant;

use super::{
    choice::{Candidate, TURN, choose},
    lane::{AGEING, Caps, Lane},
    queue::Position,
    reserve::{Terms, Wanted, reserve_for},
};
use crate::{
    caller::Priority,
    dispatch::{
        call::Returned,
        limit::{Class, Forecast, Planned},
        pending::{Patience, Queued},
    },
};

/// How much earlier than estimated an item may be sent where lanes or classes compete: a few tokens more or less decide
/// which of them is next. It matters after the first minute, when the budget of the first calls is free again.
const COMPETITION: Duration = Duration::from_mins(1);

/// Lanes compared in one estimate; the items that are left then are estimated as if each were next.
const MOST_COMPARED: usize = 200_000;

/// A model's waiting items, and what is known of its budget.
#[derive(Clone)]
pub(super) struct Estimate<'a> {
    forecast: Forecast,
    caps: Caps,
    now: Instant,
    /// The time reached.
    clock: Instant,
    lines: Vec<Line<'a>>,
    repeats: Vec<Repeat>,
    /// Interactive calls since the last batch call.
    interactive_run: u32,
    /// Whether several lanes or classes wait.
    competes: bool,
    /// Whether items that cannot wait keep their place.
    keeps_all: bool,
    late: Vec<Late>,
}

/// An item that not all of its waiters can wait for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Late {
    /// The number of its lane.
    pub(super) lane: usize,
    pub(super) position: Position,
    /// The earliest time at which it may be sent.
    pub(super) certain: Instant,
    /// When it will be sent, if all waiters stay.
    pub(super) told: Instant,
}

/// A batch that goes again.
#[derive(Clone)]
struct Repeat {
    at: Instant,
    class: Class,
    tokens: u64,
    expected: u64,
}

/// The items of a lane, in the order of service.
#[derive(Clone)]
struct Line<'a> {
    interactive: VecDeque<Standing<'a>>,
    batch: VecDeque<Standing<'a>>,
    blocked_until: Instant,
    no_turn_until: Instant,
}

#[derive(Clone, Copy)]
struct Standing<'a> {
    position: Position,
    queued: &'a Queued,
    patience: Patience,
}

impl<'a> Estimate<'a> {
    pub(super) fn new(forecast: Forecast, caps: Caps, interactive_run: u32, now: Instant) -> Self {
        Self {
            forecast,
            caps,
            now,
            clock: now,
            lines: Vec::new(),
            repeats: Vec::new(),
            interactive_run,
            competes: false,
            keeps_all: false,
            late: Vec::new(),
        }
    }

    /// Adds the items of a lane.
    pub(super) fn add_lane(&mut self, lane: &'a Lane) {
        let waiting = lane.queue.iter().filter_map(|(position, queued)| {
            let patience = queued.item.waiter.demand()?.patience;
            Some(Standing { position, queued, patience })
        });
        let (interactive, batch): (VecDeque<_>, VecDeque<_>) =
            waiting.partition(|standing| standing.position.priority == Priority::Interactive);
        self.competes |= !self.lines.is_empty() || (!interactive.is_empty() && !batch.is_empty());
        let (blocked_until, no_turn_until) = (self.now, self.now);
        self.lines.push(Line { interactive, batch, blocked_until, no_turn_until });
    }

    /// Adds a batch that goes again.
    pub(super) fn add_returned(&mut self, returned: &Returned) {
        let Returned { batch, at, blocked } = returned;
        let at = if *blocked { self.now } else { (*at).max(self.now) };
        let (tokens, expected) = (batch.tokens(), batch.expected());
        self.repeats.push(Repeat { at, class: batch.class(), tokens, expected });
    }

    /// Returns the items that not all of their waiters can wait for.
    ///
    /// A waiter that cannot wait is not ahead of others. But it is told the time at which its item would be sent if all
    /// stayed, since the other items of its own request come again with it.
    pub(super) fn late(self) -> Vec<Late> {
        // An item is rejected only if it would not be sent in time for certain.
        let mut late = self.clone().run();
        if !late.is_empty() {
            let all = Self { keeps_all: true, ..self }.run();
            let told: HashMap<Position, Instant> =
                all.into_iter().map(|late| (late.position, late.told)).collect();
            for item in &mut late {
                item.told = told.get(&item.position).map_or(item.told, |told| item.told.max(*told));
            }
        }
        late
    }

    /// Sends all items in turn; returns those that not all of their waiters can wait for.
    fn run(mut self) -> Vec<Late> {
        for _ in 0..MOST_COMPARED / self.lines.len().max(1) {
            if let Some(due) = self.repeats.iter().position(|repeat| repeat.at <= self.clock) {
                self.repeat(due);
            } else if let Some((lane, from)) = self.choose() {
                self.send(lane, from);
            } else if let Some(at) = self.next_change() {
                self.clock = at;
                self.forecast.advance(at);
            } else {
                return self.late;
            }
        }
        for lane in 0..self.lines.len() {
            while let Some(rest) = self.lines[lane].take(Priority::Interactive) {
                let class = rest.position.priority.into();
                let at = self.forecast.free_at(class, rest.queued.tokens);
                self.note(lane, rest, at);
            }
        }
        self.late
    }

    fn choose(&self) -> Option<(usize, Priority)> {
        let lines = self.lines.iter().enumerate();
        let free = lines.filter(|(_, line)| line.blocked_until <= self.clock);
        let candidates = free.filter_map(|(lane, line)| {
            let has_turn = |head: &&Standing<'_>| {
                self.clock >= line.no_turn_until.max(head.queued.at + AGEING)
            };
            let owed = line.batch.front().filter(has_turn).map(|head| head.position);
            Some(Candidate { lane, head: line.head()?.position, owed })
        });
        choose(candidates, self.interactive_run)
    }

    /// Sends a lane's next call, or notes when it has budget.
    fn send(&mut self, lane: usize, from: Priority) {
        let cutoff = self.cutoff();
        if self.drop_late_heads(lane) {
            return;
        }
        // Whether interactive calls used most of the minute is not known at a later time: early rather than late.
        let starved = from == Priority::Batch && self.interactive_run >= TURN;
        let room = self.forecast.token_room();
        let terms = Terms { room, starved, worth: self.caps.worth, now: self.clock };
        let mut fits = self.caps.filter();
        let items = self.lines[lane]
            .items(from)
            .filter(move |standing| standing.can_wait(cutoff))
            .take_while(move |&&Standing { queued, .. }| {
                fits(queued.tokens, queued.item.input.size())
            })
            .map(|&Standing { position, queued, .. }| Wanted {
                priority: position.priority,
                tokens: queued.tokens,
            });
        match reserve_for(items, terms, |class, tokens| self.forecast.reserve(class, tokens)) {
            Ok((planned, mut count)) => {
                let mut expected = 0;
                while count > 0
                    && let Some(standing) = self.lines[lane].take(from)
                {
                    if standing.can_wait(cutoff) {
                        count -= 1;
                        expected += standing.queued.expected;
                    }
                    self.note(lane, standing, self.clock);
                }
                self.end(planned, expected);
                let is_batch = from == Priority::Batch;
                self.interactive_run = if is_batch { 0 } else { self.interactive_run + 1 };
            }
            Err(blocked) => {
                let until = later(blocked.until, self.clock);
                let blocked = &mut self.lines[lane];
                if from == Priority::Batch && !blocked.interactive.is_empty() {
                    blocked.no_turn_until = until;
                } else {
                    blocked.blocked_until = until;
                }
            }
        }
    }

    /// Sends a batch again, or notes when it has budget.
    fn repeat(&mut self, index: usize) {
        let Repeat { class, tokens, expected, .. } = self.repeats[index];
        match self.forecast.reserve(class, tokens) {
            Ok(planned) => {
                self.repeats.swap_remove(index);
                self.end(planned, expected);
            }
            Err(blocked) => self.repeats[index].at = later(blocked.until, self.clock),
        }
    }

    /// Ends a call; all others are tried again then.
    fn end(&mut self, planned: Planned, tokens: u64) {
        self.forecast.settle(planned, tokens);
        for line in &mut self.lines {
            (line.blocked_until, line.no_turn_until) = (self.clock, self.clock);
        }
    }

    /// Returns the earliest time at which a call may have budget.
    fn next_change(&self) -> Option<Instant> {
        let waiting = self.lines.iter().filter(|line| line.head().is_some());
        let lanes = waiting.map(|line| line.blocked_until);
        lanes.chain(self.repeats.iter().map(|repeat| repeat.at)).min()
    }

    /// Takes the first items of a lane out that no waiter can wait for; tells whether there were any.
    fn drop_late_heads(&mut self, lane: usize) -> bool {
        let Some(cutoff) = self.cutoff() else { return false };
        let mut dropped = false;
        for class in [Priority::Interactive, Priority::Batch] {
            while let Some(head) = self.lines[lane].take_late_head(class, cutoff) {
                self.note(lane, head, self.clock);
                dropped = true;
            }
        }
        dropped
    }

    /// Returns the time that waiters must be able to wait until; what is sent at once needs no patience.
    fn cutoff(&self) -> Option<Instant> {
        (!self.keeps_all && self.clock > self.now).then(|| self.certain(self.clock))
    }

    /// Returns the earliest time at which an item may be sent that is estimated to be sent at `at`.
    fn certain(&self, at: Instant) -> Instant {
        let first_minute = self.now + COMPETITION;
        if self.competes && at > first_minute { first_minute.max(at - COMPETITION) } else { at }
    }

    /// Notes when an item is sent, if not all of its waiters can wait until then.
    fn note(&mut self, lane: usize, standing: Standing<'_>, at: Instant) {
        let certain = self.certain(at);
        if at > self.now && standing.patience.least <= certain {
            self.late.push(Late { lane, position: standing.position, certain, told: at });
        }
    }
}

impl<'a> Line<'a> {
    fn head(&self) -> Option<&Standing<'a>> {
        self.items(Priority::Interactive).next()
    }

    /// Returns the items that a call is filled with, from a class on.
    fn items(&self, from: Priority) -> impl Iterator<Item = &Standing<'a>> + Clone {
        let interactive = if from == Priority::Interactive { self.interactive.len() } else { 0 };
        self.interactive.iter().take(interactive).chain(&self.batch)
    }

    /// Takes the next of these items out.
    fn take(&mut self, from: Priority) -> Option<Standing<'a>> {
        let interactive =
            if from == Priority::Interactive { self.interactive.pop_front() } else { None };
        interactive.or_else(|| self.batch.pop_front())
    }

    /// Takes the next item of a class out if no waiter can wait for it.
    fn take_late_head(&mut self, class: Priority, cutoff: Instant) -> Option<Standing<'a>> {
        let items = match class {
            Priority::Interactive => &mut self.interactive,
            Priority::Batch => &mut self.batch,
        };
        if items.front()?.can_wait(Some(cutoff)) { None } else { items.pop_front() }
    }
}

impl Standing<'_> {
    fn can_wait(&self, cutoff: Option<Instant>) -> bool {
        cutoff.is_none_or(|cutoff| cutoff < self.patience.most)
    }
}

/// Returns when to try again; a time that has not moved on would be tried for ever.
fn later(until: Instant, now: Instant) -> Instant {
    until.max(now + Duration::from_millis(1))
}
