//! Flights step by step: results that depend on the order of two callers' steps.

use tokio::sync::mpsc;

use super::{fake::vector_of, *};
use crate::{
    dispatch::{Bill, FlightOwner, SendInfo},
    pipeline::{
        coalesce::{Flights, Join},
        quota::Charge,
        waiter::{FlightResult, Requester, Waiter},
    },
};

fn flights() -> Arc<Flights> {
    let cache = Arc::new(Cache::new(&cache::Config::default(), &Metrics::off()));
    Flights::new(cache, Metrics::new().unwrap())
}

/// Joins the flight of one text. Returns the receiver of its result and, if a flight was opened, its owner.
fn join(
    flights: &Arc<Flights>,
    mode: CacheMode,
) -> (mpsc::UnboundedReceiver<FlightResult>, Option<Box<dyn FlightOwner>>) {
    join_with(flights, mode, Priority::Interactive)
}

fn join_with(
    flights: &Arc<Flights>,
    mode: CacheMode,
    priority: Priority,
) -> (mpsc::UnboundedReceiver<FlightResult>, Option<Box<dyn FlightOwner>>) {
    let key = KeyDeriver::new(&[7; 32]).prefix("", &parameters()).key(&Input::Text("a".to_owned()));
    let (results, received) = mpsc::unbounded_channel();
    let deadline = Instant::now() + MINUTE;
    let requester = Arc::new(Requester {
        trace: TraceContext::none(),
        parameters: parameters(),
        caller: Caller::anonymous(),
        priority,
        stores: mode.stores(),
        deadline,
        patience: deadline,
        results,
    });
    let waiter = Waiter { requester, number: 0, copies: 1, charge: Charge::default() };
    let opened = match flights.join(key, CallGroup::Any, mode, waiter).1 {
        Join::Opened(owner) => Some(owner),
        Join::Joined | Join::Completed => None,
    };
    (received, opened)
}

#[tokio::test(start_paused = true)]
async fn no_request_joins_a_flight_that_was_given_up() {
    let flights = flights();
    let (leaver, opened) = join(&flights, CacheMode::ReadWrite);
    let owner = opened.unwrap();
    drop(leaver);
    assert!(!owner.send(&SendInfo::now()));
    // Its item still exists: a request that joined it now would get no result.
    let (_passenger, opened) = join(&flights, CacheMode::ReadWrite);
    assert!(opened.is_some());
}

#[tokio::test(start_paused = true)]
async fn waiters_that_left_a_sent_flight_take_no_memory() {
    let flights = flights();
    let (_first, opened) = join(&flights, CacheMode::ReadWrite);
    let owner = opened.unwrap();
    assert!(owner.send(&SendInfo::now()));
    for _ in 0..10_000 {
        drop(join(&flights, CacheMode::ReadWrite));
    }
    assert!(flights.waiters() < 16, "{} waiters", flights.waiters());
    let (mut late, _) = join(&flights, CacheMode::ReadWrite);
    owner.complete(Ok(vector_of("a")), Bill::default());
    assert_eq!(late.try_recv().unwrap().result, Ok(vector_of("a")));
}

#[tokio::test(start_paused = true)]
async fn a_request_that_looked_up_before_the_end_of_a_flight_gets_its_answer() {
    let flights = flights();
    let (_first, opened) = join(&flights, CacheMode::ReadWrite);
    let owner = opened.unwrap();
    assert!(owner.send(&SendInfo::now()));
    let nothing = Bill::default();
    owner.complete(Ok(vector_of("a")), nothing);

    let (mut second, opened) = join(&flights, CacheMode::ReadWrite);
    assert!(opened.is_none());
    let result = second.try_recv().unwrap();
    assert_eq!(result.result, Ok(vector_of("a")));
    assert!(result.bill.is_none());
    // A refresh needs a newer one.
    assert!(join(&flights, CacheMode::Refresh).1.is_some());
}

#[tokio::test(start_paused = true)]
async fn a_flight_has_the_highest_priority_of_its_active_waiters() {
    let flights = flights();
    let (_patient, opened) = join_with(&flights, CacheMode::ReadWrite, Priority::Batch);
    let owner = opened.unwrap();
    assert_eq!(owner.demand().unwrap().priority, Priority::Batch);
    let (urgent, _) = join_with(&flights, CacheMode::ReadWrite, Priority::Interactive);
    assert_eq!(owner.demand().unwrap().priority, Priority::Interactive);
    drop(urgent);
    assert_eq!(owner.demand().unwrap().priority, Priority::Batch);
}
