//! Single flight: identical inputs of concurrent requests are one upstream input.
//!
//! A flight is owned by the item behind the door, not by the caller who opened it. Whoever wants its answer
//! takes a seat; a passenger's deadline or departure hurts nobody else, and a flight that is lost to a panic
//! tells its passengers and frees its key.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use tokio::{sync::mpsc, time::Instant};

use super::{CacheMode, admission::Cargo};
use crate::{
    cache::{Cache, Key},
    dispatch::{Bill, Waiter},
    embedding::Answer,
    error::Error,
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
    departed: bool,
    stores: bool,
}

/// One request's wait for one flight.
#[derive(Debug)]
pub(super) struct Seat {
    /// The request's own number for the input.
    number: usize,
    landings: mpsc::UnboundedSender<Landed>,
    stores: bool,
}

/// What became of a flight, as told to one passenger.
#[derive(Debug)]
pub(super) struct Landed {
    /// The number given with the seat.
    pub(super) number: usize,
    pub(super) result: Result<Answer, Error>,
    /// The cost, for the one passenger who is billed.
    pub(super) bill: Option<Bill>,
}

impl Seat {
    pub(super) fn new(
        number: usize,
        landings: mpsc::UnboundedSender<Landed>,
        stores: bool,
    ) -> Self {
        Self { number, landings, stores }
    }
}

impl Flight {
    fn new(key: Key, age: u64) -> Arc<Self> {
        Arc::new(Self { key, age, state: Mutex::default() })
    }

    /// Returns whether the flight's input has been sent.
    pub(super) fn has_departed(&self) -> bool {
        locked(&self.state).departed
    }

    fn take_seat(&self, seat: Seat) {
        let mut state = locked(&self.state);
        state.stores |= seat.stores;
        state.seats.push(seat);
    }
}

impl Flights {
    pub(super) fn new(cache: Arc<Cache>, metrics: Metrics) -> Arc<Self> {
        let shards = std::array::from_fn(|_| Mutex::default());
        Arc::new(Self { shards, cache, opened: AtomicU64::new(1), metrics })
    }

    /// Takes a seat in the key's flight, or opens one.
    ///
    /// Returns the flight and, when it was opened, the waiter that must travel with its item, and takes the
    /// `cargo` with it.
    pub(super) fn board(
        self: &Arc<Self>,
        key: Key,
        mode: CacheMode,
        seat: Seat,
        cargo: &Arc<Cargo>,
    ) -> (Arc<Flight>, Option<Box<dyn Waiter>>) {
        let age = self.opened.fetch_add(1, Ordering::Relaxed);
        if mode == CacheMode::Bypass {
            // Never put where others would find it.
            let flight = Flight::new(key, age);
            flight.take_seat(seat);
            return (Arc::clone(&flight), Some(self.waiter(flight, cargo)));
        }

        let mut flights = locked(self.shard(&key));
        if let Some(flight) = flights.get(&key)
            // A refresh wants an answer newer than itself: it joins only what has not been sent.
            && (mode != CacheMode::Refresh || !flight.has_departed())
        {
            flight.take_seat(seat);
            return (Arc::clone(flight), None);
        }
        let flight = Flight::new(key, age);
        // A flight may have landed between this request's look-up and here; its answer is in the cache by now.
        if mode != CacheMode::Refresh
            && let Some(answer) = self.cache.get(&key, Instant::now())
        {
            drop(flights);
            // The receiver is the request itself, which is still here.
            let _ =
                seat.landings.send(Landed { number: seat.number, result: Ok(answer), bill: None });
            return (flight, None);
        }
        flight.take_seat(seat);
        flights.insert(key, Arc::clone(&flight));
        drop(flights);
        (Arc::clone(&flight), Some(self.waiter(flight, cargo)))
    }

    fn waiter(self: &Arc<Self>, flight: Arc<Flight>, cargo: &Arc<Cargo>) -> Box<dyn Waiter> {
        let flights = Arc::clone(self);
        Box::new(Landing { flights, flight: Some(flight), _cargo: Arc::clone(cargo) })
    }

    fn shard(&self, key: &Key) -> &Mutex<HashMap<Key, Arc<Flight>>> {
        &self.shards[key.shard() % SHARDS]
    }

    /// Closes the flight to newcomers and stores its answer, then tells the passengers.
    ///
    /// Closing and storing are one step for everybody else: whoever misses the flight finds the answer.
    fn land(&self, flight: &Arc<Flight>, result: &Result<Answer, Error>, bill: Bill) {
        let mut flights = locked(self.shard(&flight.key));
        let stores = locked(&flight.state).stores;
        if let Ok(answer) = result
            && stores
        {
            self.cache.store(flight.key, answer.clone(), flight.age);
        }
        close(&mut flights, flight);
        drop(flights);

        // Nobody takes a seat any more: the flight is closed.
        let seats = std::mem::take(&mut locked(&flight.state).seats);
        let (tokens, mut bill) = (bill.tokens, Some(bill));
        for Seat { number, landings, .. } in seats {
            let landed = Landed { number, result: result.clone(), bill: bill.take() };
            // The first passenger who is still here pays.
            if let Err(mpsc::error::SendError(landed)) = landings.send(landed) {
                bill = bill.or(landed.bill);
            }
        }
        self.metrics.tokens(tokens, bill.is_some());
    }
}

/// Travels with the item and lands its flight, also when it is dropped.
#[derive(Debug)]
struct Landing {
    flights: Arc<Flights>,
    /// `None` once landed.
    flight: Option<Arc<Flight>>,
    /// The item holds a text of the request it came from, whoever left.
    _cargo: Arc<Cargo>,
}

impl Waiter for Landing {
    fn depart(&self) -> bool {
        let Some(flight) = &self.flight else { return false };
        // Under the shard's lock, so that nobody boards between the look and the closing.
        let mut flights = locked(self.flights.shard(&flight.key));
        let mut state = locked(&flight.state);
        state.departed = state.seats.iter().any(|seat| !seat.landings.is_closed());
        if !state.departed {
            close(&mut flights, flight);
        }
        state.departed
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
            let nothing = Bill { tokens: 0, guessed: false, trip: Arc::default() };
            self.flights.land(&flight, &Err(lost), nothing);
        }
    }
}

/// Takes the flight away from newcomers. A newer flight of the same key stays open.
fn close(open: &mut HashMap<Key, Arc<Flight>>, flight: &Arc<Flight>) {
    if open.get(&flight.key).is_some_and(|other| Arc::ptr_eq(other, flight)) {
        open.remove(&flight.key);
    }
}

/// Locks; a panic while holding these locks leaves nothing half done, so poisoning means nothing.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
