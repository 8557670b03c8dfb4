//! Boarding and landing step by step: what only the order of two callers' steps decides.

use tokio::sync::mpsc;

use super::{fake::vector_of, *};
use crate::{
    dispatch::{Bill, Departure, Waiter},
    pipeline::{
        coalesce::{Boarding, Flights},
        quota::Charge,
        seat::{Landed, Seat},
    },
};

fn flights() -> Arc<Flights> {
    let cache = Arc::new(Cache::new(&cache::Config::default(), &Metrics::off()));
    Flights::new(cache, Metrics::new().unwrap())
}

/// Takes a seat for one text. Returns where its passenger hears of the landing, and, when a flight was opened for it,
/// the waiter of that flight.
fn board(
    flights: &Arc<Flights>,
    mode: CacheMode,
) -> (mpsc::UnboundedReceiver<Landed>, Option<Box<dyn Waiter>>) {
    board_with(flights, mode, Priority::Interactive)
}

fn board_with(
    flights: &Arc<Flights>,
    mode: CacheMode,
    priority: Priority,
) -> (mpsc::UnboundedReceiver<Landed>, Option<Box<dyn Waiter>>) {
    let key = KeyDeriver::new(&[7; 32]).prefix("", &parameters()).key(&Input::Text("a".to_owned()));
    let (landings, landed) = mpsc::unbounded_channel();
    let deadline = Instant::now() + MINUTE;
    let seat = Seat {
        number: 0,
        places: 1,
        parameters: parameters(),
        landings,
        trace: TraceContext::none(),
        stores: mode.stores(),
        priority,
        caller: Caller::anonymous(),
        charge: Charge::default(),
        deadline,
        patience: deadline,
    };
    let opened = match flights.board(key, mode, seat).1 {
        Boarding::Opened(waiter) => Some(waiter),
        Boarding::Joined | Boarding::Landed => None,
    };
    (landed, opened)
}

#[tokio::test(start_paused = true)]
async fn nobody_boards_a_flight_that_is_given_up() {
    let flights = flights();
    let (leaver, opened) = board(&flights, CacheMode::ReadWrite);
    let waiter = opened.unwrap();
    drop(leaver);
    assert!(!waiter.depart(&Departure::now()));
    // Its item is still there: whoever joined it now would wait for nothing.
    let (_passenger, opened) = board(&flights, CacheMode::ReadWrite);
    assert!(opened.is_some());
}

#[tokio::test(start_paused = true)]
async fn those_who_come_and_leave_while_a_call_is_out_take_no_room() {
    let flights = flights();
    let (_first, opened) = board(&flights, CacheMode::ReadWrite);
    let waiter = opened.unwrap();
    assert!(waiter.depart(&Departure::now()));
    for _ in 0..10_000 {
        drop(board(&flights, CacheMode::ReadWrite));
    }
    assert!(flights.seats() < 16, "{} seats", flights.seats());
    let (mut late, _) = board(&flights, CacheMode::ReadWrite);
    waiter.land(Ok(vector_of("a")), Bill::nothing());
    assert_eq!(late.try_recv().unwrap().result, Ok(vector_of("a")));
}

#[tokio::test(start_paused = true)]
async fn who_looked_before_a_landing_and_boards_after_it_has_the_answer() {
    let flights = flights();
    let (_first, opened) = board(&flights, CacheMode::ReadWrite);
    let waiter = opened.unwrap();
    assert!(waiter.depart(&Departure::now()));
    let nothing = Bill::nothing();
    waiter.land(Ok(vector_of("a")), nothing);

    let (mut second, opened) = board(&flights, CacheMode::ReadWrite);
    assert!(opened.is_none());
    let landed = second.try_recv().unwrap();
    assert_eq!(landed.result, Ok(vector_of("a")));
    assert!(landed.bill.is_none());
    // A refresh wants a newer one.
    assert!(board(&flights, CacheMode::Refresh).1.is_some());
}

#[tokio::test(start_paused = true)]
async fn a_flight_is_as_urgent_as_its_most_urgent_passenger_who_is_still_there() {
    let flights = flights();
    let (_patient, opened) = board_with(&flights, CacheMode::ReadWrite, Priority::Batch);
    let waiter = opened.unwrap();
    assert_eq!(waiter.demand().unwrap().priority, Priority::Batch);
    let (urgent, _) = board_with(&flights, CacheMode::ReadWrite, Priority::Interactive);
    assert_eq!(waiter.demand().unwrap().priority, Priority::Interactive);
    drop(urgent);
    assert_eq!(waiter.demand().unwrap().priority, Priority::Batch);
}
