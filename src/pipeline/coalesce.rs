//! Single flight: identical inputs of concurrent requests are one upstream input.
//!
//! A flight is owned by the item behind the door, not by the caller who opened it. Whoever wants its answer
//! takes a seat; a passenger's deadline or departure hurts nobody else, and a flight that is lost to a panic
//! tells its passengers and frees its key.

use std::{collections::HashMap, sync::Arc};

use tokio::time::Instant;

use super::{
    Cache, CacheMode,
    seat::{Seat, debtor},
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering},
    },
};
use crate::{
    cache::{Key, Stored},
    dispatch::{Bill, Demand, Departure, Patience, Trip, Waiter},
    embedding::Answer,
    error::{Error, Phase},
    telemetry::Metrics,
};

/// Enough that two cores rarely meet at one lock.
const SHARDS: usize = 64;

/// Every flight that can be joined.
#[derive(Debug)]
pub(super) struct Flights {
    shards: [Mutex<HashMap<Key, Arc<Flight>>>; SHARDS],
    cache: Arc<Cache>,
    /// Gives every flight its age.
    opened: AtomicU64,
    metrics: Metrics,
}

/// One input on its way to Voyage and back.
#[derive(Debug)]
pub(super) struct Flight {
    key: Key,
    age: u64,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    seats: Vec<Seat>,
    /// The first of those who could not wait, when nobody else was left: who pays for replies of no use.
    excused: Option<Seat>,
    departed: bool,
    /// Its last departure.
    departure: Option<Arc<Departure>>,
    /// The calls it was part of, when it has landed.
    trip: Option<Arc<Trip>>,
    stores: bool,
}

/// How a seat was found.
#[derive(Debug)]
pub(super) enum Boarding {
    /// In a flight that was opened for it; the waiter must travel with the item.
    Opened(Box<dyn Waiter>),
    /// In a flight that others had opened.
    Joined,
    /// None was needed: the answer is there.
    Landed,
}

impl State {
    /// Returns what those who still wait need.
    fn demand(&self, now: Instant) -> Option<Demand> {
        let taken = self.seats.iter().filter(|seat| seat.is_taken(now)).map(Seat::demand);
        taken.reduce(|one, other| Demand {
            until: one.until.max(other.until),
            priority: one.priority.min(other.priority),
            patience: Patience {
                least: one.patience.least.min(other.patience.least),
                most: one.patience.most.max(other.patience.most),
            },
        })
    }

    /// Clears the seats of those who have left before there are more seats: whoever comes and leaves again and again
    /// must not fill the memory. The first who left stays, as it may have to pay.
    fn make_room(&mut self) {
        if self.seats.len() < self.seats.capacity() {
            return;
        }
        let mut is_first = true;
        self.seats.retain(|seat| !seat.landings.is_closed() || std::mem::take(&mut is_first));
        // At least as many again: clearing stays rare.
        self.seats.reserve(self.seats.len().max(4));
    }
}

impl Flight {
    fn new(key: Key, age: u64) -> Arc<Self> {
        Arc::new(Self { key, age, state: Mutex::default() })
    }

    /// Returns the flight's number, which is also its item's.
    pub(super) fn id(&self) -> u64 {
        self.age
    }

    /// Returns whether the flight's input has been sent.
    pub(super) fn has_departed(&self) -> bool {
        self.state.lock().departed
    }

    /// Returns how the flight's input was sent last, if it was.
    pub(super) fn departure(&self) -> Option<Arc<Departure>> {
        self.state.lock().departure.clone()
    }

    /// Returns the calls it was part of, if it has landed.
    pub(super) fn trip(&self) -> Option<Arc<Trip>> {
        self.state.lock().trip.clone()
    }

    fn take_seat(&self, seat: Seat) {
        let mut state = self.state.lock();
        if let Some(departure) = &state.departure {
            departure.batch().waits(&seat.trace);
        }
        state.stores |= seat.stores;
        state.make_room();
        state.seats.push(seat);
    }
}

impl Flights {
    pub(super) fn new(cache: Arc<Cache>, metrics: Metrics) -> Arc<Self> {
        let shards = std::array::from_fn(|_| Mutex::default());
        Arc::new(Self { shards, cache, opened: AtomicU64::new(1), metrics })
    }

    /// Tells whether a request of this mode would join a flight; by the time it boards, that may have changed.
    pub(super) fn would_join(&self, key: &Key, mode: CacheMode) -> bool {
        if mode == CacheMode::Bypass {
            return false;
        }
        let flights = self.shard(key).lock();
        flights.get(key).is_some_and(|open| mode != CacheMode::Refresh || !open.has_departed())
    }

    /// Takes a seat in the key's flight, or opens one.
    pub(super) fn board(
        self: &Arc<Self>,
        key: Key,
        mode: CacheMode,
        seat: Seat,
    ) -> (Arc<Flight>, Boarding) {
        let flight = Flight::new(key, self.opened.fetch_add(1, Ordering::Relaxed));
        if mode == CacheMode::Bypass {
            // Never put where others would find it.
            flight.take_seat(seat);
            return (Arc::clone(&flight), Boarding::Opened(self.waiter(flight)));
        }

        let mut flights = self.shard(&key).lock();
        if let Some(open) = flights.get(&key)
            // A refresh wants an answer newer than itself: it joins only what has not been sent.
            && (mode != CacheMode::Refresh || !open.has_departed())
        {
            open.take_seat(seat);
            return (Arc::clone(open), Boarding::Joined);
        }
        // A flight may have landed between this request's look-up and here; its answer is in the cache by now.
        if mode != CacheMode::Refresh
            && let Some(Stored { answer, tokens }) = self.cache.get(&key, Instant::now())
        {
            drop(flights);
            self.metrics.saved(&seat.parameters.model, u64::from(tokens) * u64::from(seat.places));
            // The receiver is the request itself, which is still here.
            let _ = seat.tell(Ok(answer), None);
            return (flight, Boarding::Landed);
        }
        flight.take_seat(seat);
        flights.insert(key, Arc::clone(&flight));
        drop(flights);
        (Arc::clone(&flight), Boarding::Opened(self.waiter(flight)))
    }

    /// Returns how many seats there are in all flights.
    #[cfg(test)]
    pub(super) fn seats(&self) -> usize {
        let of = |flight: &Arc<Flight>| flight.state.lock().seats.len();
        self.shards.iter().map(|shard| shard.lock().values().map(of).sum::<usize>()).sum()
    }

    fn waiter(self: &Arc<Self>, flight: Arc<Flight>) -> Box<dyn Waiter> {
        Box::new(Landing { flights: Arc::clone(self), flight: Some(flight) })
    }

    fn shard(&self, key: &Key) -> &Mutex<HashMap<Key, Arc<Flight>>> {
        &self.shards[key.shard() % SHARDS]
    }

    /// Closes the flight to newcomers and stores its answer, then tells the passengers.
    ///
    /// Closing and storing are one step for everybody else: whoever misses the flight finds the answer.
    fn land(&self, flight: &Arc<Flight>, result: &Result<Answer, Error>, bill: Bill) {
        let mut flights = self.shard(&flight.key).lock();
        let stores = flight.state.lock().stores;
        if let Ok(answer) = result
            && stores
        {
            let tokens = u32::try_from(bill.tokens).unwrap_or(u32::MAX);
            self.cache.store(flight.key, Stored { answer: answer.clone(), tokens }, flight.age);
        }
        close(&mut flights, flight);
        drop(flights);

        // Nobody takes a seat any more: the flight is closed.
        let (seats, excused) = {
            let mut state = flight.state.lock();
            state.trip = Some(Arc::clone(&bill.trip));
            (std::mem::take(&mut state.seats), state.excused.take())
        };
        let (cost, wasted) = (bill.tokens, bill.wasted);
        // The metric counts what Voyage reported, never a guess.
        let tokens = if bill.guessed { 0 } else { cost };
        let mut bill = Some(bill);
        let (mut payer, mut first_who_left) = (None, None);
        let (mut served, model) = (0, seats.first().map(|seat| Arc::clone(&seat.parameters.model)));
        for seat in seats {
            let places = u64::from(seat.places);
            // The first passenger who is still here pays.
            let pays = bill.is_some();
            match seat.tell(result.clone(), bill.take()) {
                Ok(()) => {
                    served += places;
                    payer = if pays { Some(seat) } else { payer };
                }
                Err(landed) => {
                    bill = landed.bill;
                    first_who_left.get_or_insert(seat);
                }
            }
        }
        self.metrics.tokens(tokens, payer.as_ref().map(|seat| &seat.caller));
        // All places but one would have cost a text of their own.
        if let Some(model) = model.filter(|_| served > 1) {
            self.metrics.saved(&model, cost.saturating_mul(served - 1));
        }
        // Leaving is no way to be served for nothing: somebody's quota pays, even if nobody is left.
        if let Some(seat) = debtor(payer, first_who_left).or(excused) {
            seat.charge.settle(cost.saturating_add(wasted));
        }
    }
}

/// Travels with the item and lands its flight, also when it is dropped.
#[derive(Debug)]
struct Landing {
    flights: Arc<Flights>,
    /// `None` once landed.
    flight: Option<Arc<Flight>>,
}

impl Waiter for Landing {
    fn demand(&self) -> Option<Demand> {
        let flight = self.flight.as_ref()?;
        let now = Instant::now();
        if let Some(demand) = flight.state.lock().demand(now) {
            return Some(demand);
        }
        // Again under the shard's lock, so that nobody joins a flight that is about to be given up.
        let mut flights = self.flights.shard(&flight.key).lock();
        let demand = flight.state.lock().demand(now);
        if demand.is_none() {
            close(&mut flights, flight);
        }
        demand
    }

    fn depart(&self, departure: &Arc<Departure>) -> bool {
        let Some(flight) = &self.flight else { return false };
        let now = Instant::now();
        // Under the shard's lock, so that nobody boards between the look and the closing.
        let mut flights = self.flights.shard(&flight.key).lock();
        let mut state = flight.state.lock();
        for seat in state.seats.iter().filter(|seat| seat.is_taken(now)) {
            departure.batch().waits(&seat.trace);
        }
        state.departed = state.seats.iter().any(|seat| seat.is_taken(now));
        if state.departed {
            state.departure = Some(Arc::clone(departure));
        } else {
            close(&mut flights, flight);
        }
        state.departed
    }

    fn turn_back(&self) {
        if let Some(flight) = &self.flight {
            flight.state.lock().departed = false;
        }
    }

    fn excuse(&self, until: Instant, refusal: &Error) {
        let Some(flight) = &self.flight else { return };
        let mut state = flight.state.lock();
        let excused: Vec<_> = state.seats.extract_if(.., |seat| !seat.can_wait(until)).collect();
        for seat in &excused {
            // Whoever has left does not need to be told.
            let _ = seat.tell(Err(refusal.clone()), None);
        }
        if state.seats.is_empty() {
            state.excused = state.excused.take().or(excused.into_iter().next());
        }
    }

    fn abandon(mut self: Box<Self>, wasted: u64) {
        let Some(flight) = self.flight.take() else { return };
        // Whoever still sits there has run out of time just now.
        let late = Error::DeadlineExceeded { phase: Phase::Queue };
        self.flights.land(&flight, &Err(late), Bill { wasted, ..Bill::nothing() });
    }

    fn land(mut self: Box<Self>, result: Result<Answer, Error>, bill: Bill) {
        if let Some(flight) = self.flight.take() {
            self.flights.land(&flight, &result, bill);
        }
    }
}

impl Drop for Landing {
    fn drop(&mut self) {
        if let Some(flight) = self.flight.take() {
            let lost = Error::Internal { cause: "a flight was dropped before it landed" };
            self.flights.land(&flight, &Err(lost), Bill::nothing());
        }
    }
}

/// Takes the flight away from newcomers. A newer flight of the same key stays open.
fn close(open: &mut HashMap<Key, Arc<Flight>>, flight: &Arc<Flight>) {
    if open.get(&flight.key).is_some_and(|other| Arc::ptr_eq(other, flight)) {
        open.remove(&flight.key);
    }
}
