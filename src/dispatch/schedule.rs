//! The scheduler: one task that owns all lanes.
//!
//! After every event, [`Scheduler::pump`] sends calls. A call needs a ready lane, a closed circuit breaker and budget.
//! Interactive lanes go first; after [`TURN`] such calls in a row, a batch lane that has waited too long gets a turn.

mod blocks;
mod choice;
mod command;
mod estimate;
mod lane;
mod lanes;
mod plan;
mod queue;
mod refusals;
mod reserve;
mod shares;

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use tokio::{
    sync::mpsc,
    time::{Instant, sleep_until},
};

use super::{
    Config, Shared,
    batch::Batch,
    call::{self, Call, CallGuard, Finished, Returned},
    limit::{Blocked, Cause, Reservation},
    pending::Queued,
};
use crate::{caller::Priority, error::Error, item::Parameters};
use blocks::{Blocks, Need};
use choice::{Choice, TURN};
pub(super) use command::Command;
use lane::CapsByModel;
use lanes::Lanes;
pub(super) use plan::Planned;
use queue::{FairClock, Position, Queue};
use reserve::{Terms, Wanted, reserve_for};
use shares::Shares;

/// Commands handled before lanes are served, so that concurrent callers share calls.
const COMMANDS_AT_ONCE: usize = 256;

pub(super) struct Scheduler {
    shared: Arc<Shared>,
    /// Sender for calls to report their end.
    finished: mpsc::UnboundedSender<Finished>,
    ended: mpsc::UnboundedReceiver<Finished>,
    max_delay: Duration,
    max_in_flight: usize,
    lanes: Lanes,
    clock: FairClock,
    shares: Shares,
    returned: Vec<Returned>,
    in_flight: usize,
    swept_at: Instant,
    /// Whether a waiter may have to be rejected since the last estimate.
    unestimated: bool,
    estimated_at: Instant,
    /// When postponed estimates are made.
    estimate_at: Instant,
    caps: CapsByModel,
    blocks: Blocks,
    /// Interactive calls since the last batch call.
    interactive_run: u32,
}

impl Scheduler {
    pub(super) fn new(config: &Config, shared: Arc<Shared>) -> Self {
        let (finished, ended) = mpsc::unbounded_channel();
        let now = Instant::now();
        let caps = CapsByModel::new(config.max_inputs as usize, Arc::clone(&shared.limiter));
        Self {
            shared,
            finished,
            ended,
            max_delay: config.max_delay.get(),
            max_in_flight: config.max_in_flight as usize,
            lanes: Lanes::default(),
            clock: FairClock::default(),
            shares: Shares::default(),
            returned: Vec::new(),
            in_flight: 0,
            swept_at: now,
            unestimated: false,
            estimated_at: now,
            estimate_at: now,
            caps,
            blocks: Blocks::default(),
            interactive_run: 0,
        }
    }

    /// Runs until the dispatch is dropped and all items are completed.
    pub(super) async fn run(mut self, mut received: mpsc::UnboundedReceiver<Command>) {
        let (mut commands, mut finished) = (Vec::new(), Vec::new());
        let mut is_open = true;
        while is_open || !self.is_idle() {
            let wake = self.next_wake(Instant::now());
            tokio::select! {
                _ = self.ended.recv_many(&mut finished, COMMANDS_AT_ONCE) => {}
                count = received.recv_many(&mut commands, COMMANDS_AT_ONCE), if is_open => {
                    is_open = count > 0;
                }
                () = sleep_until(wake.unwrap_or_else(Instant::now)), if wake.is_some() => {}
            }
            // Handle all pending messages of both channels first.
            while let Ok(ended) = self.ended.try_recv() {
                finished.push(ended);
            }
            while commands.len() < COMMANDS_AT_ONCE
                && let Ok(command) = received.try_recv()
            {
                commands.push(command);
            }
            let now = Instant::now();
            for finished in finished.drain(..) {
                self.take_back(finished, now);
            }
            for command in commands.drain(..) {
                self.obey(command, now);
            }
            self.pump(now);
        }
    }

    fn is_idle(&self) -> bool {
        self.in_flight == 0 && self.returned.is_empty() && self.lanes.items() == 0
    }

    fn take_back(&mut self, finished: Finished, now: Instant) {
        self.in_flight -= 1;
        self.shared.calls.store(self.in_flight, Ordering::Relaxed);
        self.lanes.change(&finished.parameters, |lane| lane.in_flight -= 1);
        self.returned.extend(finished.returned);
        // Settling may have freed budget; a 429 may have closed it.
        self.lanes.unblock();
        self.unestimated = true;
        for returned in self.returned.iter_mut().filter(|returned| returned.blocked) {
            returned.at = now;
        }
    }

    /// Sends calls while a lane is ready and a call is free.
    fn pump(&mut self, now: Instant) {
        self.refuse_if_closed(now);
        self.caps.clear();
        self.blocks.clear();
        while self.in_flight < self.max_in_flight {
            if let Some(index) = self.returned.iter().position(|returned| returned.at <= now) {
                let returned = self.returned.swap_remove(index);
                self.repeat(returned.batch, now);
            } else if let Some((parameters, from)) = self.choose(now) {
                self.send_next(&parameters, from, now);
            } else {
                break;
            }
        }
        self.refuse(now);
        self.lanes.remove_idle();
    }

    /// Chooses the lane to serve, and the class to fill its call from.
    fn choose(&mut self, now: Instant) -> Option<(Arc<Parameters>, Priority)> {
        let Self { lanes, caps, blocks, max_delay, unestimated, .. } = self;
        let mut choice = Choice::default();
        lanes.visit(self.in_flight, |lane| {
            let ready_at = lane.ready_at(now, *max_delay, caps.of(&lane.parameters));
            let Some(head) = lane.queue.head().filter(|_| ready_at.is_some_and(|at| at <= now))
            else {
                return;
            };
            let owed = lane.owed(now);
            if owed.is_none()
                && let Some(need) = Need::of(lane, head)
                && let Some(until) = blocks.until(&lane.parameters.model, head.priority, need)
            {
                lane.blocked(now, until);
                *unestimated = true;
                return;
            }
            choice.add(&lane.parameters, head, owed);
        });
        choice.made(self.interactive_run)
    }

    /// Sends the lane's next call, or notes until when it is blocked.
    fn send_next(&mut self, parameters: &Arc<Parameters>, from: Priority, now: Instant) {
        let caps = self.caps.of(parameters);
        let shared = &self.shared;
        let count = |Queued { measure, .. }: &Queued| {
            let expected = shared.counter.guess(&parameters.model, measure);
            (shared.tokens_to_reserve(parameters, measure), expected)
        };
        let taken = self.lanes.change(parameters, |lane| {
            lane.queue.recount(caps.size.inputs, count);
            lane.take(from, caps)
        });
        let Some(mut taken) = taken else { return };
        let is_cancelled = |(_, queued): &mut (Position, Queued)| !queued.is_wanted();
        taken.extract_if(.., is_cancelled).for_each(|(_, queued)| queued.cancel());
        if taken.is_empty() {
            return;
        }
        // A batch starved by interactive calls may use the budget reserved for them.
        let starved = from == Priority::Batch
            && self.interactive_run >= TURN
            && self.shares.is_mostly_interactive(&parameters.model, now);
        match self.reserve(&taken, parameters, starved, now) {
            Ok((reservation, fit)) => {
                let throttled = self.lanes.change(parameters, |lane| {
                    lane.queue.put_back(taken.split_off(fit));
                    lane.freed(now)
                });
                Queue::served(&taken, &mut self.clock);
                for class in [Priority::Interactive, Priority::Batch] {
                    let of_class = taken.iter().filter(|(position, _)| position.priority == class);
                    let tokens = of_class.map(|(_, queued)| queued.size.tokens).sum();
                    self.shares.note(&parameters.model, class, tokens, now);
                }
                let items = taken.into_iter().map(|(_, queued)| queued).collect();
                self.interactive_run =
                    if from == Priority::Batch { 0 } else { self.interactive_run + 1 };
                let throttled = throttled.unwrap_or_default();
                let batch = Batch::new(Arc::clone(parameters), items, throttled);
                self.send(batch, reservation, now);
            }
            Err(blocked) => {
                self.lanes.change(parameters, |lane| {
                    lane.queue.put_back(taken);
                    if starved {
                        lane.blocked(now, blocked.until);
                    }
                });
                if starved {
                    self.unestimated = true;
                } else {
                    self.note_blocked(parameters, from, &blocked, now);
                }
            }
        }
    }

    /// Notes that the lane's next call, or a turn of its batch items, has no budget.
    fn note_blocked(
        &mut self,
        parameters: &Arc<Parameters>,
        from: Priority,
        blocked: &Blocked,
        now: Instant,
    ) {
        let blocks = &mut self.blocks;
        let is_blocked = self.lanes.change(parameters, |lane| {
            let Some(head) = lane.queue.head() else { return false };
            if from == Priority::Batch && head.priority == Priority::Interactive {
                // The batch class has no budget; interactive items continue.
                lane.no_turn_until = Some(blocked.until);
                return false;
            }
            if head.priority == from
                && let Some(need) = Need::of(lane, head)
            {
                blocks.note(&parameters.model, from, need, blocked);
            }
            lane.blocked(now, blocked.until);
            true
        });
        self.unestimated |= is_blocked.unwrap_or(false);
    }

    /// Reserves budget for the items, or for as many as are worth a call; returns the number of items that fit.
    fn reserve(
        &mut self,
        taken: &[(Position, Queued)],
        parameters: &Parameters,
        starved: bool,
        now: Instant,
    ) -> Result<(Reservation, usize), Blocked> {
        let items = taken.iter().map(|(position, queued)| Wanted {
            priority: position.priority,
            tokens: queued.size.tokens,
        });
        let worth = self.caps.of(parameters).worth;
        let (limiter, model) = (&self.shared.limiter, &parameters.model);
        let terms = Terms { room: limiter.token_room(model, now), starved, worth, now };
        reserve_for(items, terms, |priority, tokens| limiter.reserve(model, priority, tokens, now))
    }

    /// Sends a returned batch again.
    fn repeat(&mut self, mut batch: Batch, now: Instant) {
        batch.drop_cancelled();
        if batch.items.is_empty() {
            return batch.give_up(&self.shared.metrics);
        }
        if let Some(refusal) = self.shared.pool.refusal(&batch.parameters, now) {
            return batch.fail(&refusal, &self.shared.metrics);
        }
        let (limiter, model) = (&self.shared.limiter, &batch.parameters.model);
        match limiter.reserve(model, batch.priority(), batch.tokens(), now) {
            Ok(reservation) => self.send(batch, reservation, now),
            Err(blocked) => {
                if blocked.cause != Cause::InFlight {
                    let retry_after = blocked.until.duration_since(now);
                    batch.reject_late(blocked.until, &Error::QueueTimeout { retry_after });
                }
                if batch.items.is_empty() {
                    return batch.give_up(&self.shared.metrics);
                }
                // A time that is not later would loop.
                let at = blocked.until.max(now + Duration::from_millis(1));
                batch.throttled.note(now, at);
                self.returned.push(Returned { batch, at, blocked: true });
            }
        }
    }

    fn send(&mut self, mut batch: Batch, mut reservation: Reservation, now: Instant) {
        let permit = match self.shared.breaker.admit(now) {
            Ok(permit) => permit,
            // Dropping the unsent reservation refunds it.
            Err(open) => return batch.fail(&open, &self.shared.metrics),
        };
        let is_first = !batch.was_sent();
        batch.mark_sent(now);
        if batch.items.is_empty() {
            if !is_first {
                batch.give_up(&self.shared.metrics);
            }
            return;
        }
        if is_first {
            let fill = batch.size().fill(&self.caps.of(&batch.parameters).size);
            self.shared.metrics.batch(&batch.parameters.model, batch.stats.items(), fill);
        }
        reservation.sent(batch.expected());
        self.in_flight += 1;
        self.shared.calls.store(self.in_flight, Ordering::Relaxed);
        let parameters = Arc::clone(&batch.parameters);
        self.lanes.open(&parameters, |lane| lane.in_flight += 1);
        let guard = CallGuard { finished: self.finished.clone(), parameters, returned: Vec::new() };
        let call = Call { batch, reservation, permit, guard };
        // Detached: calls complete even if their callers leave.
        tokio::spawn(call::run(Arc::clone(&self.shared), call));
    }

    fn next_wake(&mut self, now: Instant) -> Option<Instant> {
        if self.in_flight >= self.max_in_flight {
            return self.next_refusal();
        }
        let mut soonest = self.returned.iter().map(|returned| returned.at).min();
        let (caps, max_delay) = (&mut self.caps, self.max_delay);
        self.lanes.visit(self.in_flight, |lane| {
            let ready_at = lane.ready_at(now, max_delay, caps.of(&lane.parameters));
            soonest = soonest.into_iter().chain(ready_at).min();
        });
        soonest.into_iter().chain(self.next_refusal()).min()
    }
}
