//! What goes before whom: a model's calls as they would leave from now on, if nobody else came.
//!
//! The budget is a model's, so everything that waits for the model is ahead of somebody: other lanes, and batches that
//! wait to go again. What the scheduler does is done here once more, on an [`Outlook`] instead of the budget and with a
//! clock that jumps to the next time at which something is free: the same choice among the lanes, the same turns, the same
//! parts of calls. Whoever cannot wait until their call leaves is taken out, and those behind move up.
//!
//! Free calls are taken for granted: how long a call takes is no known wait, so where `batch.max_in_flight` binds, items
//! leave later than is said here. That a call lands after as long as calls took lately decides only when its budget is
//! free again. What is reserved and what is reported are guesses of tokens, too: where a token more or less decides
//! what still fits into a minute, so it does here.
//!
//! The next lane is found on a heap, so n items in m lanes take about n·log m steps. Lanes that outdo each other may take
//! more; beyond [`LOOKS`] those who are left are told the time that was reached.

mod line;

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, HashMap, HashSet, VecDeque},
    time::Duration,
};

use tokio::time::Instant;

use super::{
    TURN, caps,
    reserve::{Terms, reserve},
};
use crate::{
    caller::Priority,
    dispatch::{
        Patience, Queued, Shared,
        command::Returned,
        lane::{AGEING, Caps, Lane},
        limit::{Outlook, Planned},
        queue::Position,
        shares::Sent,
    },
    error::Error,
};
use line::{Line, Standing};

/// Looks at who is next, in vain or not: at most so many, and so many more for each item.
const LOOKS: usize = 10_000;
const LOOKS_AN_ITEM: usize = 16;

/// Lanes that are all tried again whenever a call has landed; of more, each is when its own time has come.
const FEW: usize = 64;

/// What is known when the view begins.
#[derive(Clone)]
pub(super) struct Known<'a> {
    pub(super) shared: &'a Shared,
    pub(super) model: &'a str,
    pub(super) max_inputs: usize,
    /// What was sent to the model lately, by class.
    pub(super) sent: Sent,
    /// Interactive calls since the last batch call.
    pub(super) interactive_run: u32,
    /// Whether calls are out, of whatever model.
    pub(super) calls_are_out: bool,
    pub(super) now: Instant,
    pub(super) lanes: &'a [&'a Lane],
    pub(super) returned: &'a [&'a Returned],
}

/// Tells everyone who cannot wait until their call leaves; returns, for each lane in turn, the ids of the items that nobody
/// waits for any more.
///
/// Who is refused does not stand before others, but each is told when they would leave if they stayed, together with all
/// that they came with. The last to leave is told first: a request fails with the first of its inputs, and could not be
/// answered before the last.
pub(super) fn tell(known: &Known<'_>) -> Vec<Vec<u64>> {
    let Found { late, gone, left } = Ahead::new(known.clone(), None).look();
    if late.is_empty() {
        return gone;
    }
    let ids = late.iter().map(|(_, queued)| queued.id()).collect();
    let mut all = Ahead::new(known.clone(), Some(ids));
    all.left = left;
    let staying = all.look().late;
    let staying: HashMap<u64, Instant> =
        staying.into_iter().map(|(at, queued)| (queued.id(), at)).collect();
    let would_leave =
        |at: Instant, queued: &Queued| staying.get(&queued.id()).copied().unwrap_or(at);
    let mut late: Vec<_> =
        late.into_iter().map(|(at, queued)| (would_leave(at, queued), at, queued)).collect();
    late.sort_by_key(|(would_leave, ..)| Reverse(*would_leave));
    for (would_leave, at, queued) in late {
        let retry_after = would_leave.duration_since(known.now);
        queued.item.waiter.excuse(at, &Error::QueueTimeout { retry_after });
    }
    gone
}

/// What a look brings.
struct Found<'a> {
    /// The items that not everyone can wait for, and when they leave.
    late: Vec<(Instant, &'a Queued)>,
    /// Of each lane, those that nobody can wait for.
    gone: Vec<Vec<u64>>,
    left: HashSet<u64>,
}

/// The view of one model.
struct Ahead<'a> {
    known: Known<'a>,
    outlook: Outlook,
    caps: Caps,
    /// How far the view has come.
    clock: Instant,
    lines: Vec<Line<'a>>,
    /// Those who stay whether or not they can wait; unless these are known, nobody does.
    staying: Option<HashSet<u64>>,
    /// The lines by the item to be served next, and by the batch item that is owed a turn. An entry whose item is
    /// not at the head any more, or that must wait, is stale.
    ready: BinaryHeap<Reverse<(Position, usize)>>,
    turns: BinaryHeap<Reverse<(Position, usize)>>,
    /// When lines and returned batches are to be looked at again.
    later: BinaryHeap<Reverse<(Instant, Who)>>,
    /// The items that nobody waits for any more, however soon they leave.
    left: HashSet<u64>,
    /// Calls that are out, and what they will be settled with, in the order in which they land.
    out: VecDeque<(Planned, u64)>,
    late: Vec<(Instant, &'a Queued)>,
}

/// Returned batches go first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Who {
    /// The first call that is out, which lands.
    Call,
    Returned(usize),
    Line(usize),
}

impl<'a> Ahead<'a> {
    fn new(known: Known<'a>, staying: Option<HashSet<u64>>) -> Self {
        let outlook = known.shared.limiter.outlook(known.model, known.now);
        // Nobody knows until when a probe stands in the way; and a call that lands, as those that are out do here at
        // once, has everyone tried again.
        let is_known = !outlook.trusts_a_probe() && !known.calls_are_out;
        let line = |lane: &&'a Lane| Line::new(lane, is_known, known.now);
        let mut ahead = Self {
            outlook,
            caps: caps(known.shared, known.model, known.max_inputs),
            clock: known.now,
            lines: known.lanes.iter().map(line).collect(),
            staying,
            ready: BinaryHeap::new(),
            turns: BinaryHeap::new(),
            later: BinaryHeap::new(),
            left: HashSet::new(),
            out: VecDeque::new(),
            late: Vec::new(),
            known,
        };
        for index in 0..ahead.lines.len() {
            let until = ahead.lines[index].blocked_until;
            ahead.later.push(Reverse((until.max(ahead.clock), Who::Line(index))));
        }
        for (index, returned) in ahead.known.returned.iter().enumerate() {
            let at = if returned.blocked { ahead.clock } else { returned.at.max(ahead.clock) };
            ahead.later.push(Reverse((at, Who::Returned(index))));
        }
        ahead
    }

    /// Lets all calls leave in turn.
    fn look(mut self) -> Found<'a> {
        let items: usize = self.lines.iter().map(|line| line.urgent.len() + line.batch.len()).sum();
        for _ in 0..LOOKS + items * LOOKS_AN_ITEM {
            if let Some(&Reverse((at, who))) = self.later.peek()
                && at <= self.clock
            {
                self.later.pop();
                match who {
                    Who::Call => self.land(),
                    Who::Returned(index) => self.repeat(index),
                    Who::Line(index) => self.line_up(index),
                }
            } else if let Some((index, from)) = self.choose() {
                self.depart(index, from);
            } else if let Some(&Reverse((at, _))) = self.later.peek() {
                self.clock = at;
            } else {
                break;
            }
        }
        for index in 0..self.lines.len() {
            let count = self.lines[index].urgent.len() + self.lines[index].batch.len();
            let rest = self.lines[index].take(Priority::Interactive, count);
            self.excuse(index, rest);
        }
        let gone = self.lines.into_iter().map(|line| line.gone).collect();
        Found { late: self.late, gone, left: self.left }
    }

    /// Lets a call go.
    fn send(&mut self, planned: Planned, tokens: u64) {
        self.out.push_back((planned, tokens));
        self.later.push(Reverse((self.clock + self.outlook.latency(), Who::Call)));
    }

    /// As the scheduler tries everyone again when a call has ended.
    fn land(&mut self) {
        if let Some((planned, tokens)) = self.out.pop_front() {
            self.outlook.settle(planned, tokens, self.clock);
        }
        if self.lines.len() <= FEW {
            for index in 0..self.lines.len() {
                let line = &mut self.lines[index];
                (line.blocked_until, line.no_turn_until) = (self.clock, self.clock);
                self.line_up(index);
            }
        }
    }

    /// Enters a line's heads where they will be looked for.
    fn line_up(&mut self, index: usize) {
        let line = &self.lines[index];
        if let Some(head) = line.head().filter(|_| line.blocked_until <= self.clock) {
            self.ready.push(Reverse((head.position, index)));
            if let Some(batch) = line.batch.front() {
                let owed_at = line.no_turn_until.max(batch.queued.at + AGEING);
                if owed_at > self.clock {
                    self.later.push(Reverse((owed_at, Who::Line(index))));
                } else {
                    self.turns.push(Reverse((batch.position, index)));
                }
            }
        }
    }

    /// As the scheduler chooses: the lane to be served, and the class its call is filled from.
    fn choose(&mut self) -> Option<(usize, Priority)> {
        let Self { lines, ready, turns, clock, .. } = self;
        let best = first(ready, |position, index| {
            let line = &lines[index];
            line.blocked_until <= *clock
                && line.head().is_some_and(|head| head.position == position)
        });
        let owed = first(turns, |position, index| {
            let line = &lines[index];
            line.blocked_until.max(line.no_turn_until) <= *clock
                && line.batch.front().is_some_and(|head| head.position == position)
        });
        let turn = owed.filter(|_| self.known.interactive_run >= TURN);
        let (position, index) = turn.or(best)?;
        Some((index, position.priority))
    }

    /// As the scheduler lets a lane's next call go, or notes until when it cannot.
    fn depart(&mut self, index: usize, from: Priority) {
        let clock = self.clock;
        let starved = from == Priority::Batch
            && self.known.interactive_run >= TURN
            && self.known.sent.is_mostly_interactive(clock);
        let line = &mut self.lines[index];
        let terms = Terms { starved, worth: self.caps.worth };
        match reserve(&mut self.outlook, line.call(from, self.caps), terms, clock) {
            Ok((planned, count)) => {
                let taken = line.take(from, count);
                let taken = self.excuse(index, taken);
                if taken.len() < count {
                    // Those who are left make room: the call is put together anew.
                    self.outlook.give_back(planned);
                    self.lines[index].put_back(taken);
                } else {
                    let reported = taken.iter().map(|standing| standing.queued.expected).sum();
                    self.send(planned, reported);
                    self.note(&taken, from);
                }
                self.line_up(index);
            }
            Err(blocked) => {
                // A time that has not moved on would spin.
                let until = blocked.until.max(clock + Duration::from_millis(1));
                if from == Priority::Batch && !line.urgent.is_empty() && !starved {
                    line.no_turn_until = until;
                } else {
                    line.blocked_until = until;
                }
                self.later.push(Reverse((until, Who::Line(index))));
            }
        }
    }

    /// As the scheduler notes what a call takes of whose share.
    fn note(&mut self, taken: &[Standing<'_>], from: Priority) {
        for class in [Priority::Interactive, Priority::Batch] {
            let of_class = taken.iter().filter(|standing| standing.position.priority == class);
            let tokens = of_class.map(|standing| standing.queued.tokens).sum();
            self.known.sent.note(class, tokens, self.clock);
        }
        let run = self.known.interactive_run;
        self.known.interactive_run = if from == Priority::Batch { 0 } else { run + 1 };
    }

    /// As the scheduler sends a batch again.
    fn repeat(&mut self, index: usize) {
        let returned = self.known.returned[index];
        let (class, tokens) = (returned.batch.class(), returned.batch.tokens());
        match self.outlook.reserve(class, tokens, self.clock) {
            Ok(planned) => {
                let items = &returned.batch.items;
                let stay = items.iter().filter(|queued| !returned.blocked || self.stays(queued));
                if stay.count() > 0 {
                    self.send(planned, items.iter().map(|queued| queued.expected).sum());
                } else {
                    self.outlook.give_back(planned);
                }
            }
            Err(blocked) => {
                let until = blocked.until.max(self.clock + Duration::from_millis(1));
                self.later.push(Reverse((until, Who::Returned(index))));
            }
        }
    }

    /// Notes who cannot wait until now; returns the items that somebody waits for.
    fn excuse(&mut self, index: usize, mut taken: Vec<Standing<'a>>) -> Vec<Standing<'a>> {
        taken.retain_mut(|standing| {
            let is_known = standing.looked_at.replace(self.clock) == Some(self.clock);
            let stays = is_known || self.stays(standing.queued);
            if !stays {
                self.lines[index].gone.push(standing.queued.id());
            }
            stays
        });
        taken
    }

    /// Returns whether somebody waits for an item until now, and notes it if not everyone does.
    fn stays(&mut self, queued: &'a Queued) -> bool {
        // What leaves at once is no wait.
        if self.clock <= self.known.now {
            return true;
        }
        let patience = match &self.staying {
            None => queued.item.waiter.patience(self.clock),
            Some(staying) if staying.contains(&queued.id()) => Patience::Some,
            Some(_) => Patience::All,
        };
        if patience == Patience::None && queued.item.waiter.wanted_until().is_none() {
            self.left.insert(queued.id());
        }
        if self.left.contains(&queued.id()) {
            return false;
        }
        if patience != Patience::All {
            self.late.push((self.clock, queued));
        }
        patience != Patience::None
    }
}

/// Returns the first entry that is not stale, and forgets the stale ones before it.
fn first(
    heap: &mut BinaryHeap<Reverse<(Position, usize)>>,
    is_valid: impl Fn(Position, usize) -> bool,
) -> Option<(Position, usize)> {
    while let Some(&Reverse((position, index))) = heap.peek() {
        if is_valid(position, index) {
            return Some((position, index));
        }
        heap.pop();
    }
    None
}
