//! Single flight: identical inputs of concurrent requests are one upstream input.
//!
//! The dispatched item owns the flight, not the caller that opened it. Requests join it as waiters; a waiter that
//! leaves affects no other one. A flight lost to a panic fails its waiters and frees its key.

use std::{collections::HashMap, sync::Arc};

use tokio::time::Instant;

use super::{
    Cache, CacheMode,
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering},
    },
    waiter::{Waiter, debtor},
};
use crate::{
    cache::{Key, Stored},
    dispatch::{Bill, CallStats, Demand, FlightOwner, SendInfo},
    error::{Error, Phase},
    item::{Answer, CallGroup, Parameters},
    telemetry::Metrics,
};

/// Enough that two cores rarely meet at one lock.
const SHARDS: usize = 64;

/// Every flight that can be joined.
#[derive(Debug)]
pub(super) struct Flights {
    shards: [Mutex<HashMap<Key, Arc<Flight>>>; SHARDS],
    cache: Arc<Cache>,
    /// Numbers the flights.
    opened: AtomicU64,
    metrics: Metrics,
}

/// One input from its request to its answer.
#[derive(Debug)]
pub(super) struct Flight {
    key: Key,
    age: u64,
    /// The lane of its item, among those of the same parameters.
    call_group: CallGroup,
    state: Mutex<FlightState>,
}

#[derive(Debug, Default)]
struct FlightState {
    waiters: Vec<Waiter>,
    /// The first late waiter, if all were rejected: it pays for unusable replies.
    rejected: Option<Waiter>,
    sent: bool,
    send_info: Option<Arc<SendInfo>>,
    /// The calls it was part of, once completed.
    stats: Option<Arc<CallStats>>,
    stores: bool,
}

/// The outcome of joining a flight.
#[derive(Debug)]
pub(super) enum Join {
    /// A new flight; its owner belongs to the item.
    Opened(Box<dyn FlightOwner>),
    /// An existing flight.
    Joined,
    /// No flight needed: the answer is cached.
    Completed,
}

impl FlightState {
    /// Returns the combined demand of the active waiters.
    fn demand(&self, now: Instant) -> Option<Demand> {
        let taken = self.waiters.iter().filter(|waiter| waiter.is_waiting(now)).map(Waiter::demand);
        taken.reduce(|one, other| Demand {
            until: one.until.max(other.until),
            priority: one.priority.min(other.priority),
            least_patience: one.least_patience.min(other.least_patience),
            most_patience: one.most_patience.max(other.most_patience),
        })
    }

    /// Removes waiters that left before it grows, to bound memory. Keeps the first of them, as it may have to pay.
    fn make_room(&mut self) {
        if self.waiters.len() < self.waiters.capacity() {
            return;
        }
        let mut is_first = true;
        self.waiters.retain(|waiter| !waiter.has_left() || std::mem::take(&mut is_first));
        // At least as many again: clearing stays rare.
        self.waiters.reserve(self.waiters.len().max(4));
    }
}

impl Flight {
    fn new(key: Key, age: u64, call_group: CallGroup) -> Arc<Self> {
        Arc::new(Self { key, age, call_group, state: Mutex::default() })
    }

    /// Returns the flight's number, which is also its item's.
    pub(super) fn id(&self) -> u64 {
        self.age
    }

    /// Returns the parameters of the lane of its item, given those of its input.
    pub(super) fn lane(&self, parameters: &Arc<Parameters>) -> Arc<Parameters> {
        parameters.in_group(self.call_group)
    }

    /// Returns whether the flight's input has been sent.
    pub(super) fn was_sent(&self) -> bool {
        self.state.lock().sent
    }

    /// Returns when the flight's input was last sent, if it was.
    pub(super) fn send_info(&self) -> Option<Arc<SendInfo>> {
        self.state.lock().send_info.clone()
    }

    /// Returns the calls it was part of, once completed.
    pub(super) fn stats(&self) -> Option<Arc<CallStats>> {
        self.state.lock().stats.clone()
    }

    fn add_waiter(&self, waiter: Waiter) {
        let mut state = self.state.lock();
        if let Some(send_info) = &state.send_info {
            send_info.batch().waits(&waiter.requester.trace);
        }
        state.stores |= waiter.requester.stores;
        state.make_room();
        state.waiters.push(waiter);
    }
}

impl Flights {
    pub(super) fn new(cache: Arc<Cache>, metrics: Metrics) -> Arc<Self> {
        let shards = std::array::from_fn(|_| Mutex::default());
        Arc::new(Self { shards, cache, opened: AtomicU64::new(1), metrics })
    }

    /// Returns whether a request of this mode would join a flight now.
    pub(super) fn would_join(&self, key: &Key, mode: CacheMode) -> bool {
        if mode == CacheMode::Bypass {
            return false;
        }
        let flights = self.shard(key).lock();
        flights.get(key).is_some_and(|open| mode != CacheMode::Refresh || !open.was_sent())
    }

    /// Joins the key's flight, or opens one.
    pub(super) fn join(
        self: &Arc<Self>,
        key: Key,
        call_group: CallGroup,
        mode: CacheMode,
        waiter: Waiter,
    ) -> (Arc<Flight>, Join) {
        let age = self.opened.fetch_add(1, Ordering::Relaxed);
        let flight = Flight::new(key, age, call_group);
        if mode == CacheMode::Bypass {
            // Not shared: never put into the map.
            flight.add_waiter(waiter);
            return (Arc::clone(&flight), Join::Opened(self.owner(flight)));
        }

        let mut flights = self.shard(&key).lock();
        if let Some(open) = flights.get(&key)
            // A refresh needs an answer newer than itself: it joins only flights that were not sent.
            && (mode != CacheMode::Refresh || !open.was_sent())
        {
            open.add_waiter(waiter);
            return (Arc::clone(open), Join::Joined);
        }
        // A flight may have completed since this request's look-up; then its answer is in the cache.
        if mode != CacheMode::Refresh
            && let Some(stored) = self.cache.get(&key, Instant::now())
        {
            drop(flights);
            let model = &waiter.requester.parameters.model;
            self.metrics.saved(model, &stored.saves().times(waiter.copies.into()));
            // The receiver is the request itself, which is still here.
            let _ = waiter.send(Ok(stored.answer), None);
            return (flight, Join::Completed);
        }
        flight.add_waiter(waiter);
        flights.insert(key, Arc::clone(&flight));
        drop(flights);
        (Arc::clone(&flight), Join::Opened(self.owner(flight)))
    }

    /// Returns the number of waiters in all flights.
    #[cfg(test)]
    pub(super) fn waiters(&self) -> usize {
        let of = |flight: &Arc<Flight>| flight.state.lock().waiters.len();
        self.shards.iter().map(|shard| shard.lock().values().map(of).sum::<usize>()).sum()
    }

    fn owner(self: &Arc<Self>, flight: Arc<Flight>) -> Box<dyn FlightOwner> {
        Box::new(FlightGuard { flights: Arc::clone(self), flight: Some(flight) })
    }

    fn shard(&self, key: &Key) -> &Mutex<HashMap<Key, Arc<Flight>>> {
        &self.shards[key.shard() % SHARDS]
    }

    /// Closes the flight and stores its answer, in one atomic step, then sends the result to the waiters.
    fn complete(&self, flight: &Arc<Flight>, result: &Result<Answer, Error>, bill: Bill) {
        let mut flights = self.shard(&flight.key).lock();
        let stores = flight.state.lock().stores;
        if let Ok(answer) = result
            && stores
        {
            self.cache.store(flight.key, Stored::new(answer.clone(), &bill.usage), flight.age);
        }
        close(&mut flights, flight);
        drop(flights);

        // No waiter joins any more: the flight is closed.
        let (waiters, rejected) = {
            let mut state = flight.state.lock();
            state.stats = Some(Arc::clone(&bill.stats));
            (std::mem::take(&mut state.waiters), state.rejected.take())
        };
        let (cost, wasted) = (bill.usage, bill.wasted);
        // The metric counts reported tokens, never an estimate.
        let tokens = if bill.guessed { 0 } else { cost.tokens };
        let mut bill = Some(bill);
        let (mut payer, mut first_left) = (None::<Waiter>, None);
        let mut served = 0;
        for waiter in waiters {
            let copies = u64::from(waiter.copies);
            match waiter.send(result.clone(), bill.take()) {
                Ok(()) => {
                    served += copies;
                    // The first active waiter pays.
                    payer.get_or_insert(waiter);
                }
                Err(unsent) => {
                    bill = unsent.bill;
                    first_left.get_or_insert(waiter);
                }
            }
        }
        let requester = payer.as_ref().map(|waiter| &*waiter.requester);
        self.metrics.tokens(tokens, requester.map(|requester| &requester.caller));
        // All copies but one would have cost the same again.
        if let Some(requester) = requester.filter(|_| served > 1) {
            self.metrics.saved(&requester.parameters.model, &cost.times(served - 1));
        }
        // A quota pays even if all waiters left.
        if let Some(waiter) = debtor(payer, first_left).or(rejected) {
            waiter.charge.settle(cost.tokens.saturating_add(wasted));
        }
    }
}

/// Completes its flight, also when dropped.
#[derive(Debug)]
struct FlightGuard {
    flights: Arc<Flights>,
    /// `None` once completed.
    flight: Option<Arc<Flight>>,
}

impl FlightOwner for FlightGuard {
    fn demand(&self) -> Option<Demand> {
        let flight = self.flight.as_ref()?;
        let now = Instant::now();
        if let Some(demand) = flight.state.lock().demand(now) {
            return Some(demand);
        }
        // Again under the shard's lock: no request may join a flight that is about to close.
        let mut flights = self.flights.shard(&flight.key).lock();
        let demand = flight.state.lock().demand(now);
        if demand.is_none() {
            close(&mut flights, flight);
        }
        demand
    }

    fn send(&self, send_info: &Arc<SendInfo>) -> bool {
        let Some(flight) = &self.flight else { return false };
        let now = Instant::now();
        // Under the shard's lock: no request may join between the check and the closing.
        let mut flights = self.flights.shard(&flight.key).lock();
        let mut state = flight.state.lock();
        for waiter in state.waiters.iter().filter(|waiter| waiter.is_waiting(now)) {
            send_info.batch().waits(&waiter.requester.trace);
        }
        state.sent = state.waiters.iter().any(|waiter| waiter.is_waiting(now));
        if state.sent {
            state.send_info = Some(Arc::clone(send_info));
        } else {
            close(&mut flights, flight);
        }
        state.sent
    }

    fn requeue(&self) {
        if let Some(flight) = &self.flight {
            flight.state.lock().sent = false;
        }
    }

    fn reject_late(&self, until: Instant, refusal: &Error) {
        let Some(flight) = &self.flight else { return };
        let mut state = flight.state.lock();
        let rejected: Vec<_> =
            state.waiters.extract_if(.., |waiter| !waiter.can_wait(until)).collect();
        for waiter in &rejected {
            // A waiter that left needs no result.
            let _ = waiter.send(Err(refusal.clone()), None);
        }
        if state.waiters.is_empty() {
            state.rejected = state.rejected.take().or(rejected.into_iter().next());
        }
    }

    fn cancel(mut self: Box<Self>, wasted: u64) {
        let Some(flight) = self.flight.take() else { return };
        // The deadline of every remaining waiter has just passed.
        let late = Error::DeadlineExceeded { phase: Phase::Queue };
        self.flights.complete(&flight, &Err(late), Bill { wasted, ..Bill::default() });
    }

    fn complete(mut self: Box<Self>, result: Result<Answer, Error>, bill: Bill) {
        if let Some(flight) = self.flight.take() {
            self.flights.complete(&flight, &result, bill);
        }
    }
}

impl Drop for FlightGuard {
    fn drop(&mut self) {
        if let Some(flight) = self.flight.take() {
            let lost = Error::Internal { cause: "a flight was dropped before it completed" };
            self.flights.complete(&flight, &Err(lost), Bill::default());
        }
    }
}

/// Closes the flight to new waiters. A newer flight of the same key stays open.
fn close(open: &mut HashMap<Key, Arc<Flight>>, flight: &Arc<Flight>) {
    if open.get(&flight.key).is_some_and(|other| Arc::ptr_eq(other, flight)) {
        open.remove(&flight.key);
    }
}
