//! Boarding and landing step by step: what only the order of two callers' steps decides.

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

/// Takes a seat for one text. Returns where its passenger hears of the landing, and, when a flight was opened for it,
/// the waiter of that flight.
fn join(
    flights: &Arc<Flights>,
    mode: CacheMode,
) -> (mpsc::UnboundedReceiver<FlightResult>, Option<Box<dyn FlightOwner>>) {
    board_with(flights, mode, Priority::Interactive)
}

fn board_with(
    flights: &Arc<Flights>,
    mode: CacheMode,
    priority: Priority,
) -> (mpsc::UnboundedReceiver<FlightResult>, Option<Box<dyn FlightOwner>>) {
    let key = KeyDeriver::new(&[7; 32]).prefix("", &parameters()).key(&Input::Text("a".to_owned()));
    let (results, landed) = mpsc::unbounded_channel();
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
    let waiter = Waiter { requester, number: 0, places: 1, charge: Charge::default() };
    let opened = match flights.join(key, mode, waiter).1 {
        Join::Opened(owner) => Some(owner),
        Join::Joined | Join::Completed => None,
    };
    (landed, opened)
}

#[tokio::test(start_paused = true)]
async fn nobody_boards_a_flight_that_is_given_up() {
    let flights = flights();
    let (leaver, opened) = join(&flights, CacheMode::ReadWrite);
    let owner = opened.unwrap();
    drop(leaver);
    assert!(!owner.send(&SendInfo::now()));
    // Its item is still there: whoever joined it now would wait for nothing.
    let (_passenger, opened) = join(&flights, CacheMode::ReadWrite);
    assert!(opened.is_some());
}

#[tokio::test(start_paused = true)]
async fn those_who_come_and_leave_while_a_call_is_out_take_no_room() {
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
async fn who_looked_before_a_landing_and_boards_after_it_has_the_answer() {
    let flights = flights();
    let (_first, opened) = join(&flights, CacheMode::ReadWrite);
    let owner = opened.unwrap();
    assert!(owner.send(&SendInfo::now()));
    let nothing = Bill::default();
    owner.complete(Ok(vector_of("a")), nothing);

    let (mut second, opened) = join(&flights, CacheMode::ReadWrite);
    assert!(opened.is_none());
    let landed = second.try_recv().unwrap();
    assert_eq!(landed.result, Ok(vector_of("a")));
    assert!(landed.bill.is_none());
    // A refresh wants a newer one.
    assert!(join(&flights, CacheMode::Refresh).1.is_some());
}

#[tokio::test(start_paused = true)]
async fn a_flight_is_as_urgent_as_its_most_urgent_passenger_who_is_still_there() {
    let flights = flights();
    let (_patient, opened) = board_with(&flights, CacheMode::ReadWrite, Priority::Batch);
    let owner = opened.unwrap();
    assert_eq!(owner.demand().unwrap().priority, Priority::Batch);
    let (urgent, _) = board_with(&flights, CacheMode::ReadWrite, Priority::Interactive);
    assert_eq!(owner.demand().unwrap().priority, Priority::Interactive);
    drop(urgent);
    assert_eq!(owner.demand().unwrap().priority, Priority::Batch);
}
