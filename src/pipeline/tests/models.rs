//! Flights and permits under shuttle: thousands of orders of the steps of callers and calls.
//!
//! The modules are compiled a second time here, with shuttle's locks and atomics: at each of them, and before each
//! look-up in the cache, shuttle chooses the next thread. Channels, the cache and the metrics are the usual ones, and
//! each of their operations is one step. A failing schedule is printed, and `shuttle::replay` repeats it.
//!
//! `#[path]` and `super::sync` instead of a `cfg(shuttle)` in `src/sync.rs`: shuttle's locks panic outside of its
//! runner, so that the configuration would need a second build of the whole crate and its tests.

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
    error::{Error, Phase},
    item::{Answer, CallGroup, Input, Usage},
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

/// The behaviour of a waiter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Habit {
    /// Waits for the answer.
    Stays,
    /// Leaves at any moment.
    Leaves,
    /// Cannot wait to be sent.
    IsImpatient,
    /// Its deadline has passed from the start.
    IsLate,
}
use Habit::{IsImpatient, IsLate, Leaves, Stays};

/// The steps of calls besides sending, requeueing and completing.
#[derive(Clone, Copy, Debug, Default)]
struct Calls {
    reject_late: bool,
    panic: bool,
}

/// The tokens of all schedules, to be compared with the metric.
#[derive(Debug, Default)]
struct Tokens {
    billed: AtomicU64,
    abandoned: AtomicU64,
}

/// One schedule and its results. Its own locks and atomics are std's: they add no steps.
struct World {
    flights: Arc<Flights>,
    key: Key,
    callers: &'static [(CacheMode, Habit)],
    calls: Calls,
    /// Numbers joins and sends in their order.
    clock: AtomicUsize,
    /// Flights that were sent, and neither requeued nor completed.
    sent: AtomicUsize,
    /// The numbers of the flights that completed with an answer.
    completed: Mutex<Vec<u64>>,
    running: Mutex<Vec<thread::JoinHandle<()>>>,
    /// Pays for every flight.
    account: Arc<Account>,
    waiters: Mutex<Vec<JoinedWaiter>>,
}

/// A waiter of a flight.
struct JoinedWaiter {
    habit: Habit,
    mode: CacheMode,
    /// The clock's number before it joined, which is also the waiter's.
    joined_at: usize,
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
            completed: Mutex::default(),
            running: Mutex::default(),
            account: Account::new([MINUTE, 60 * MINUTE], Instant::now()),
            waiters: Mutex::default(),
        })
    }

    /// Joins; a flight that it opens runs on a thread of its own.
    fn join(self: &Arc<Self>, mode: CacheMode, habit: Habit) -> JoinedWaiter {
        let joined_at = self.clock.fetch_add(1, Ordering::Relaxed);
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
        let waiter = Waiter { requester, number: joined_at, copies: 1, charge: self.charge(mode) };
        let (flight, join) = self.flights.join(self.key, CallGroup::Any, mode, waiter);
        let flight = (!matches!(join, Join::Completed)).then(|| flight.id());
        if let (Join::Opened(owner), Some(id)) = (join, flight) {
            let world = Arc::clone(self);
            let call = thread::spawn(move || world.run_flight(id, owner));
            self.running.lock().unwrap().push(call);
        }
        JoinedWaiter { habit, mode, joined_at, flight, results }
    }

    /// Reserves as the pipeline does if there is no flight; when the caller joins, that may have changed.
    fn charge(&self, mode: CacheMode) -> Charge {
        let mut charge = Charge::default();
        if self.flights.would_join(&self.key, mode) {
            charge.name(&self.account, [None; 2]);
        } else {
            charge.reserve(&self.account, [None; 2], 3, Instant::now()).unwrap();
        }
        charge
    }

    /// Performs the dispatch's steps with an item, in any permitted order.
    fn run_flight(&self, id: u64, owner: Box<dyn FlightOwner>) {
        loop {
            match thread_rng().gen_range(0..6) {
                0 if owner.demand().is_none() => return owner.cancel(0),
                1 if self.calls.reject_late => {
                    owner.reject_late(Instant::now() + MINUTE, &refusal());
                }
                // Dropped before it is sent, as by a panic.
                2 if self.calls.panic => return,
                0..=2 => {}
                _ if !owner.send(&SendInfo::now()) => return owner.cancel(0),
                step => {
                    let sent_at = self.clock.fetch_add(1, Ordering::Relaxed);
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
                    self.completed.lock().unwrap().push(id);
                    let bill = Bill { usage: Usage::of_tokens(1), ..Bill::default() };
                    return owner.complete(Ok(vector_of(&sent_at.to_string())), bill);
                }
            }
        }
    }

    /// Lets all callers join concurrently and waits for the end of all flights.
    fn run(self: &Arc<Self>) {
        let join: Vec<_> = self
            .callers
            .iter()
            .map(|&(mode, habit)| {
                let world = Arc::clone(self);
                thread::spawn(move || {
                    let mut waiter = world.join(mode, habit);
                    if habit == Leaves {
                        thread::yield_now();
                        waiter.results.close();
                    }
                    world.waiters.lock().unwrap().push(waiter);
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

    /// Asserts the promises to every waiter, and that the key is free again.
    fn check(self: &Arc<Self>, tokens: &Tokens) {
        let mut results = HashMap::<u64, (usize, usize)>::new();
        for mut waiter in self.waiters.lock().unwrap().drain(..) {
            let Ok(result) = waiter.results.try_recv() else {
                assert_eq!(waiter.habit, Leaves, "no result");
                continue;
            };
            assert!(waiter.results.try_recv().is_err(), "two results");
            assert_eq!(result.number, waiter.joined_at);
            self.check_result(&waiter, &result.result);
            match waiter.flight {
                Some(flight) if result.result.is_ok() => {
                    let (waiters, bills) = results.entry(flight).or_default();
                    *waiters += 1;
                    *bills += usize::from(result.bill.is_some_and(|bill| bill.usage.tokens == 1));
                }
                // An answer from the cache and a failure cost nothing.
                _ => assert!(result.bill.is_none_or(|bill| bill.usage.tokens == 0)),
            }
        }
        let completed = self.completed.lock().unwrap().len() as u64;
        let used = self.account.used(Instant::now());
        assert_eq!(used, [completed; 2], "a reservation leaked, or was not paid");
        for flight in self.completed.lock().unwrap().drain(..) {
            let billed = results.remove(&flight).map(|(_, bills)| bills);
            assert!(billed.is_none_or(|bills| bills == 1), "{billed:?} bills for one flight");
            let count = if billed.is_some() { &tokens.billed } else { &tokens.abandoned };
            count.fetch_add(1, Ordering::Relaxed);
        }
        assert!(results.is_empty(), "an answer that no call brought");

        let next = self.join(CacheMode::ReadWrite, Leaves);
        drop(next.results);
        let opened_anew = !self.running.lock().unwrap().is_empty();
        assert!(opened_anew || next.flight.is_none(), "a flight that has ended can be joined");
        self.wait_for_calls();
        for flight in self.completed.lock().unwrap().drain(..) {
            assert_eq!(Some(flight), next.flight);
            tokens.abandoned.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn check_result(&self, waiter: &JoinedWaiter, result: &Result<Answer, Error>) {
        match result {
            Ok(Answer::Vector(vector)) => {
                let sent_at =
                    std::str::from_utf8(vector.bytes()).unwrap().parse::<usize>().unwrap();
                assert!(
                    waiter.mode != CacheMode::Refresh || waiter.joined_at < sent_at,
                    "the answer is older than the refresh"
                );
            }
            Ok(other) => panic!("no vector: {other:?}"),
            Err(Error::Overloaded { .. }) => assert_ne!(waiter.habit, Stays),
            Err(Error::DeadlineExceeded { phase: Phase::Queue }) => {
                assert_eq!(waiter.habit, IsLate, "cancelled although a request waits");
            }
            Err(Error::Internal { .. }) => assert!(self.calls.panic, "dropped"),
            Err(other) => panic!("{other}"),
        }
    }
}

/// Explores `callers` and compares the metric with the bills.
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
    assert!(total.billed.load(Ordering::Relaxed) > 0, "no flight has completed");
}

const READ_WRITE: CacheMode = CacheMode::ReadWrite;
const REFRESH: CacheMode = CacheMode::Refresh;

#[test]
fn each_waiter_gets_one_result_and_one_pays_in_any_order_of_steps() {
    const CALLERS: &[(CacheMode, Habit)] =
        &[(READ_WRITE, Stays), (READ_WRITE, Leaves), (READ_WRITE, Leaves), (READ_WRITE, IsLate)];
    explore_flights(CALLERS, false, Calls::default());
}

#[test]
fn rejected_waiters_get_one_result_and_others_wait_on_in_any_order_of_steps() {
    const CALLERS: &[(CacheMode, Habit)] =
        &[(READ_WRITE, IsImpatient), (READ_WRITE, Stays), (READ_WRITE, Leaves)];
    explore_flights(CALLERS, true, Calls { reject_late: true, panic: false });
}

#[test]
fn a_refresh_gets_an_answer_newer_than_itself_in_any_order_of_steps() {
    const CALLERS: &[(CacheMode, Habit)] =
        &[(READ_WRITE, Stays), (REFRESH, Stays), (REFRESH, Leaves), (READ_WRITE, IsImpatient)];
    explore_flights(CALLERS, true, Calls { reject_late: true, panic: false });
}

#[test]
fn a_panic_in_a_call_ends_all_waits_in_any_order_of_steps() {
    const CALLERS: &[(CacheMode, Habit)] =
        &[(READ_WRITE, Stays), (REFRESH, Stays), (CacheMode::Bypass, Stays), (READ_WRITE, Leaves)];
    explore_flights(CALLERS, false, Calls { reject_late: false, panic: true });
}

#[test]
fn concurrent_callers_share_one_call_in_any_order_of_steps() {
    let metrics = Metrics::new().unwrap();
    explore(move || {
        let flights = Flights::new(cache(true), metrics.clone());
        let world = World::new(flights, &[(READ_WRITE, Stays); 3], Calls::default());
        world.run();
        assert_eq!(world.completed.lock().unwrap().len(), 1);
        world.check(&Tokens::default());
    });
}

/// Counts the admitted requests independently of the permits.
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
                    // The message is counted as it arrives; the request replaces it.
                    let permit = admission.permit();
                    if permit.count(1).is_err() || permit.count(1).is_err() {
                        return;
                    }
                    if permit.enter(bytes, priority).is_err() {
                        return;
                    }
                    inside.enter(bytes);
                    // The reply holds the permit last.
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
        // The whole bound is free again.
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
