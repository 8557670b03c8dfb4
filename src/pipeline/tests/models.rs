//! Flights and permits under shuttle: thousands of orders of the steps of callers and calls.
//!
//! The two rooms are compiled a second time here, with shuttle's locks and atomics in the place of std's; at each of
//! them, and before each look into the cache, shuttle decides which thread goes next. Channels, the cache and the
//! metrics are what they always are: a step of theirs is never taken apart. A schedule that fails is printed, and
//! `shuttle::replay` repeats it.

#[expect(clippy::duplicate_mod, unreachable_pub, reason = "the second time with shuttle's atomics")]
#[path = "../admission.rs"]
mod admission;
#[expect(
    clippy::duplicate_mod,
    dead_code,
    reason = "the second time with shuttle's locks and atomics, and in part"
)]
#[path = "../coalesce.rs"]
mod coalesce;
#[expect(
    clippy::duplicate_mod,
    dead_code,
    reason = "the second time with shuttle's locks, and in part"
)]
#[path = "../quota/account.rs"]
mod quota;
#[expect(clippy::duplicate_mod, reason = "the second time with that quota")]
#[path = "../waiter.rs"]
mod waiter;

/// Shuttle's locks in the shape of `crate::sync`.
mod sync {
    pub(super) use shuttle::sync::{MutexGuard, atomic};

    #[derive(Debug, Default)]
    pub(super) struct Mutex<T>(shuttle::sync::Mutex<T>);

    impl<T> Mutex<T> {
        pub(super) fn new(value: T) -> Self {
            Self(shuttle::sync::Mutex::new(value))
        }

        pub(super) fn lock(&self) -> MutexGuard<'_, T> {
            self.0.lock().unwrap()
        }
    }
}

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
};

use shuttle::{
    Runner,
    rand::{Rng, thread_rng},
    scheduler::{PctScheduler, RandomScheduler},
    thread,
};
use tokio::{sync::mpsc, time::Instant};

use super::{MINUTE, fake::vector_of, parameters};
use crate::{
    cache::{self, Key, KeyDeriver},
    caller::{Caller, Priority},
    dispatch::{Bill, FlightOwner, SendInfo},
    embedding::{Answer, Input},
    error::{Error, Phase},
    pipeline::{
        CacheMode, Config,
        quota::{bucket, sliding},
    },
    telemetry::{Metrics, trace::TraceContext},
    units::Size,
};
use admission::Admission;
use coalesce::{Flights, Join};
use quota::{Account, Charge};
use waiter::{FlightResult, Requester, Waiter};

/// Schedules tried of each kind.
const SCHEDULES: usize = 3_000;

/// Runs `model` in random orders, and in orders that hold few threads back at a few steps.
fn explore(model: impl Fn() + Clone + Send + Sync + 'static) {
    let mut config = shuttle::Config::new();
    // The metrics and the cache need more than shuttle's 32 KiB.
    config.stack_size = 1 << 20;
    Runner::new(RandomScheduler::new(SCHEDULES), config.clone()).run(model.clone());
    Runner::new(PctScheduler::new(3, SCHEDULES), config).run(model);
}

/// The cache behind a lock of shuttle's, so that other threads may come between it and the step before.
#[derive(Debug)]
struct Cache(sync::Mutex<cache::Cache>);

impl Cache {
    fn get(&self, key: &Key, now: Instant) -> Option<cache::Stored> {
        self.0.lock().get(key, now)
    }

    fn store(&self, key: Key, stored: cache::Stored, flight: u64) {
        self.0.lock().store(key, stored, flight);
    }
}

/// How a passenger behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Habit {
    /// Waits for the answer.
    Stays,
    /// Goes away at any moment.
    Leaves,
    /// Stays unless the way to the door takes long.
    IsImpatient,
    /// Has no time left from the start.
    IsLate,
}
use Habit::{IsImpatient, IsLate, Leaves, Stays};

/// What the calls may do beside departing, turning back and landing.
#[derive(Clone, Copy, Debug, Default)]
struct Calls {
    reject_late: bool,
    panic: bool,
}

/// The tokens of all schedules, to be held against the metric.
#[derive(Debug, Default)]
struct Tokens {
    billed: AtomicU64,
    abandoned: AtomicU64,
}

/// What is tried in one schedule, and what came of it. Its own locks and atomics are std's: they add no steps.
struct World {
    flights: Arc<Flights>,
    key: Key,
    callers: &'static [(CacheMode, Habit)],
    calls: Calls,
    /// Numbers departures and boardings in their order.
    clock: AtomicUsize,
    /// Flights that have departed and not turned back or landed.
    sent: AtomicUsize,
    /// The numbers of the flights that landed with an answer.
    landed: Mutex<Vec<u64>>,
    running: Mutex<Vec<thread::JoinHandle<()>>>,
    /// Pays for every flight.
    account: Arc<Account>,
    passengers: Mutex<Vec<Passenger>>,
}

/// One who boarded.
struct Passenger {
    habit: Habit,
    mode: CacheMode,
    /// The clock's number before boarding, which is the seat's as well.
    boarded: usize,
    /// The flight's number; `None`: the answer was there.
    flight: Option<u64>,
    results: mpsc::UnboundedReceiver<FlightResult>,
}

fn refusal() -> Error {
    Error::Overloaded { what: "patience" }
}

/// A cache that remembers everything, or nothing.
fn cache(remembers: bool) -> Arc<Cache> {
    let max_bytes = Size::from_mib(u64::from(remembers));
    let cache = cache::Cache::new(
        &cache::Config { max_bytes, ..cache::Config::default() },
        &Metrics::off(),
    );
    Arc::new(Cache(sync::Mutex::new(cache)))
}

impl World {
    fn new(
        flights: Arc<Flights>,
        callers: &'static [(CacheMode, Habit)],
        calls: Calls,
    ) -> Arc<Self> {
        Arc::new(Self {
            flights,
            callers,
            key: KeyDeriver::new(&[7; 32])
                .prefix("", &parameters())
                .key(&Input::Text("a".to_owned())),
            calls,
            clock: AtomicUsize::new(0),
            sent: AtomicUsize::new(0),
            landed: Mutex::default(),
            running: Mutex::default(),
            account: Account::new([MINUTE, 60 * MINUTE], Instant::now()),
            passengers: Mutex::default(),
        })
    }

    /// Boards; a flight that is opened by it goes its way on a thread of its own.
    fn join(self: &Arc<Self>, mode: CacheMode, habit: Habit) -> Passenger {
        let boarded = self.clock.fetch_add(1, Ordering::Relaxed);
        let (sender, results) = mpsc::unbounded_channel();
        let now = Instant::now();
        let deadline = if habit == IsLate { now } else { now + 10 * MINUTE };
        let patience = if habit == IsImpatient { now } else { deadline };
        let requester = Arc::new(Requester {
            trace: TraceContext::none(),
            parameters: parameters(),
            caller: Caller::anonymous(),
            priority: Priority::Interactive,
            stores: mode.stores(),
            deadline,
            patience,
            results: sender,
        });
        let waiter = Waiter { requester, number: boarded, places: 1, charge: self.charge(mode) };
        let (flight, join) = self.flights.join(self.key, mode, waiter);
        let flight = (!matches!(join, Join::Completed)).then(|| flight.id());
        if let (Join::Opened(owner), Some(id)) = (join, flight) {
            let world = Arc::clone(self);
            let call = thread::spawn(move || world.fly(id, owner));
            self.running.lock().unwrap().push(call);
        }
        Passenger { habit, mode, boarded, flight, results }
    }

    /// Holds what a caller does that finds no flight; by the time it boards, there may be one, or none any more.
    fn charge(&self, mode: CacheMode) -> Charge {
        let mut charge = Charge::default();
        if self.flights.would_join(&self.key, mode) {
            charge.name(&self.account, [None; 2]);
        } else {
            charge.reserve(&self.account, [None; 2], 3, Instant::now()).unwrap();
        }
        charge
    }

    /// What the dispatch does with an item, in any order that it may.
    fn fly(&self, id: u64, owner: Box<dyn FlightOwner>) {
        loop {
            match thread_rng().gen_range(0..6) {
                0 if owner.demand().is_none() => return owner.cancel(0),
                1 if self.calls.reject_late => {
                    owner.reject_late(Instant::now() + MINUTE, &refusal());
                }
                // Dropped before it departs, as by a panic.
                2 if self.calls.panic => return,
                0..=2 => {}
                _ if !owner.send(&SendInfo::now()) => return owner.cancel(0),
                step => {
                    let departed = self.clock.fetch_add(1, Ordering::Relaxed);
                    let others = self.sent.fetch_add(1, Ordering::Relaxed);
                    let alone = self.callers.iter().all(|(mode, _)| *mode == READ_WRITE);
                    assert!(others == 0 || !alone, "one key is in flight twice");
                    thread::yield_now();
                    self.sent.fetch_sub(1, Ordering::Relaxed);
                    if step == 3 {
                        owner.requeue();
                        continue;
                    }
                    if step == 4 && self.calls.panic {
                        return;
                    }
                    self.landed.lock().unwrap().push(id);
                    let bill = Bill { tokens: 1, ..Bill::default() };
                    return owner.complete(Ok(vector_of(&departed.to_string())), bill);
                }
            }
        }
    }

    /// Lets everyone board at once and waits until all has come to its end.
    fn run(self: &Arc<Self>) {
        let join: Vec<_> = self
            .callers
            .iter()
            .map(|&(mode, habit)| {
                let world = Arc::clone(self);
                thread::spawn(move || {
                    let mut passenger = world.join(mode, habit);
                    if habit == Leaves {
                        thread::yield_now();
                        passenger.results.close();
                    }
                    world.passengers.lock().unwrap().push(passenger);
                })
            })
            .collect();
        for caller in join {
            caller.join().unwrap();
        }
        self.wait_for_calls();
    }

    fn wait_for_calls(&self) {
        loop {
            let Some(call) = self.running.lock().unwrap().pop() else { return };
            call.join().unwrap();
        }
    }

    /// Asserts what every passenger may count on, and that the key is free again.
    fn check(self: &Arc<Self>, tokens: &Tokens) {
        let mut told = HashMap::<u64, (usize, usize)>::new();
        for mut passenger in self.passengers.lock().unwrap().drain(..) {
            let Ok(landed) = passenger.results.try_recv() else {
                assert_eq!(passenger.habit, Leaves, "who stays is told");
                continue;
            };
            assert!(passenger.results.try_recv().is_err(), "told twice");
            assert_eq!(landed.number, passenger.boarded);
            self.check_result(&passenger, &landed.result);
            match passenger.flight {
                Some(flight) if landed.result.is_ok() => {
                    let (waiters, bills) = told.entry(flight).or_default();
                    *waiters += 1;
                    *bills += usize::from(landed.bill.is_some_and(|bill| bill.tokens == 1));
                }
                // An answer from the cache and a failure cost nothing.
                _ => assert!(landed.bill.is_none_or(|bill| bill.tokens == 0)),
            }
        }
        let landed = self.landed.lock().unwrap().len() as u64;
        let used = self.account.used(Instant::now());
        assert_eq!(used, [landed; 2], "held for ever, or not paid");
        for flight in self.landed.lock().unwrap().drain(..) {
            let billed = told.remove(&flight).map(|(_, bills)| bills);
            assert!(billed.is_none_or(|bills| bills == 1), "{billed:?} bills for one flight");
            let count = if billed.is_some() { &tokens.billed } else { &tokens.abandoned };
            count.fetch_add(1, Ordering::Relaxed);
        }
        assert!(told.is_empty(), "an answer that no call brought");

        let next = self.join(CacheMode::ReadWrite, Leaves);
        drop(next.results);
        let boarded_anew = !self.running.lock().unwrap().is_empty();
        assert!(boarded_anew || next.flight.is_none(), "a flight that has ended can be joined");
        self.wait_for_calls();
        for flight in self.landed.lock().unwrap().drain(..) {
            assert_eq!(Some(flight), next.flight);
            tokens.abandoned.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn check_result(&self, passenger: &Passenger, result: &Result<Answer, Error>) {
        match result {
            Ok(Answer::Vector(vector)) => {
                let departed =
                    std::str::from_utf8(vector.bytes()).unwrap().parse::<usize>().unwrap();
                assert!(
                    passenger.mode != CacheMode::Refresh || passenger.boarded < departed,
                    "a refresh was given an answer older than itself"
                );
            }
            Err(Error::Overloaded { .. }) => assert_ne!(passenger.habit, Stays),
            Err(Error::DeadlineExceeded { phase: Phase::Queue }) => {
                assert_eq!(passenger.habit, IsLate, "given up though somebody waits");
            }
            Err(Error::Internal { .. }) => assert!(self.calls.panic, "dropped"),
            Err(other) => panic!("{other}"),
        }
    }
}

/// Explores `callers` and holds the metric against what was billed.
fn explore_flights(callers: &'static [(CacheMode, Habit)], remembers: bool, calls: Calls) {
    let (metrics, tokens) = (Metrics::new().unwrap(), Arc::<Tokens>::default());
    let (counted, total) = (metrics.clone(), Arc::clone(&tokens));
    explore(move || {
        let flights = Flights::new(cache(remembers), metrics.clone());
        let world = World::new(flights, callers, calls);
        world.run();
        world.check(&tokens);
    });
    let page = counted.render().unwrap();
    for (billed_to, tokens) in [("anonymous", &total.billed), ("abandoned", &total.abandoned)] {
        let name = format!("voyage_gateway_tokens_total{{billed_to=\"{billed_to}\"}} ");
        let counted = page.lines().find_map(|line| line.strip_prefix(&name)).unwrap_or("0");
        assert_eq!(counted, tokens.load(Ordering::Relaxed).to_string(), "{billed_to}");
    }
    assert!(total.billed.load(Ordering::Relaxed) > 0, "no flight has landed");
}

const READ_WRITE: CacheMode = CacheMode::ReadWrite;
const REFRESH: CacheMode = CacheMode::Refresh;

#[test]
fn who_stays_is_told_once_and_one_pays_in_any_order_of_steps() {
    const CALLERS: &[(CacheMode, Habit)] =
        &[(READ_WRITE, Stays), (READ_WRITE, Leaves), (READ_WRITE, Leaves), (READ_WRITE, IsLate)];
    explore_flights(CALLERS, false, Calls::default());
}

#[test]
fn who_is_excused_is_told_once_and_the_patient_fly_on_in_any_order_of_steps() {
    const CALLERS: &[(CacheMode, Habit)] =
        &[(READ_WRITE, IsImpatient), (READ_WRITE, Stays), (READ_WRITE, Leaves)];
    explore_flights(CALLERS, true, Calls { reject_late: true, panic: false });
}

#[test]
fn a_refresh_is_newer_than_itself_in_any_order_of_steps() {
    const CALLERS: &[(CacheMode, Habit)] =
        &[(READ_WRITE, Stays), (REFRESH, Stays), (REFRESH, Leaves), (READ_WRITE, IsImpatient)];
    explore_flights(CALLERS, true, Calls { reject_late: true, panic: false });
}

#[test]
fn a_call_that_panics_leaves_nobody_waiting_in_any_order_of_steps() {
    const CALLERS: &[(CacheMode, Habit)] =
        &[(READ_WRITE, Stays), (REFRESH, Stays), (CacheMode::Bypass, Stays), (READ_WRITE, Leaves)];
    explore_flights(CALLERS, false, Calls { reject_late: false, panic: true });
}

#[test]
fn callers_who_stay_share_one_call_in_any_order_of_steps() {
    let metrics = Metrics::new().unwrap();
    explore(move || {
        let flights = Flights::new(cache(true), metrics.clone());
        let world = World::new(flights, &[(READ_WRITE, Stays); 3], Calls::default());
        world.run();
        assert_eq!(world.landed.lock().unwrap().len(), 1);
        world.check(&Tokens::default());
    });
}

/// Counts what is inside by other means than the permits'.
#[derive(Default)]
struct Inside {
    requests: AtomicUsize,
    bytes: AtomicUsize,
}

impl Inside {
    fn enter(&self, bytes: usize) {
        let requests = self.requests.fetch_add(1, Ordering::Relaxed) + 1;
        let together = self.bytes.fetch_add(bytes, Ordering::Relaxed) + bytes;
        assert!(requests <= 2, "{requests} requests where 2 may be");
        assert!(together == bytes || together <= 10, "{together} bytes where 10 may be");
    }

    fn leave(&self, bytes: usize) {
        self.requests.fetch_sub(1, Ordering::Relaxed);
        self.bytes.fetch_sub(bytes, Ordering::Relaxed);
    }
}

#[test]
fn permits_stay_within_the_bounds_and_come_back_in_any_order_of_steps() {
    use Priority::{Batch, Interactive};
    explore(|| {
        let bounds = Config { max_in_flight: 2, max_bytes: Size::from_bytes(10) };
        let admission = Admission::new(&bounds, Metrics::new().unwrap());
        let inside = Arc::new(Inside::default());
        let requests = [(3, Interactive), (3, Batch), (4, Interactive), (20, Batch)].map(
            |(bytes, priority)| {
                let (admission, inside) = (admission.clone(), Arc::clone(&inside));
                thread::spawn(move || {
                    // The message counts as it comes, and the request in its place.
                    let permit = admission.permit();
                    if permit.count(1).is_err() || permit.count(1).is_err() {
                        return;
                    }
                    if permit.enter(bytes, priority).is_err() {
                        return;
                    }
                    inside.enter(bytes);
                    // Its reply's bearer has the permit last.
                    let bearer = permit.clone();
                    drop(permit);
                    thread::yield_now();
                    inside.leave(bytes);
                    drop(bearer);
                })
            },
        );
        for request in requests {
            request.join().unwrap();
        }
        // All of it can be had again.
        let permits = [admission.permit(), admission.permit(), admission.permit()];
        assert!(permits[0].enter(5, Interactive).is_ok());
        assert!(permits[1].enter(5, Interactive).is_ok());
        assert!(permits[2].enter(0, Interactive).is_err());
        assert!(permits[2].count(1).is_err());
    });
}

#[test]
fn messages_that_arrive_together_stay_within_the_bound_in_any_order_of_steps() {
    explore(|| {
        let bounds = Config { max_in_flight: 2, max_bytes: Size::from_bytes(10) };
        let admission = Admission::new(&bounds, Metrics::new().unwrap());
        let received = Arc::new(AtomicUsize::new(0));
        let messages = [(); 3].map(|()| {
            let (admission, received) = (admission.clone(), Arc::clone(&received));
            thread::spawn(move || {
                let permit = admission.permit();
                for frame in 1..=4 {
                    if permit.count(2).is_err() {
                        received.fetch_sub(2 * (frame - 1), Ordering::Relaxed);
                        return;
                    }
                    let together = received.fetch_add(2, Ordering::Relaxed) + 2;
                    assert!(together <= 10, "{together} bytes where 10 may be");
                }
                received.fetch_sub(8, Ordering::Relaxed);
            })
        });
        for message in messages {
            message.join().unwrap();
        }
        let permits = [admission.permit(), admission.permit()];
        assert!(permits[0].count(10).is_ok());
        assert!(permits[1].count(1).is_err());
    });
}
