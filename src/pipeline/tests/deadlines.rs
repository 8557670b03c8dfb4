//! A waiter's deadline or cancellation affects no other request.

use super::{fake::vector_of, *};
use crate::error::Phase;

#[tokio::test(start_paused = true)]
async fn six_hundred_callers_with_staggered_deadlines_cause_one_call() {
    let fake = Fake::new();
    let pipeline = pipeline(&fake);
    let mut tasks = Vec::new();
    for number in 1..=600_u64 {
        // Deadlines from 3 ms to 1.8 s; the answer comes after 100 ms.
        let deadline = Instant::now() + Duration::from_millis(number * 3);
        tasks.push(started(&pipeline, Request { deadline, ..request(&["one text"]) }).await);
    }
    for (number, task) in (1..=600_u64).zip(tasks) {
        match task.await.unwrap() {
            Ok(response) => {
                assert!(number * 3 > 100, "caller {number} was answered after its deadline");
                assert_eq!(answer(&response, 0), &vector_of("one text"));
            }
            Err(error) => {
                assert!(number * 3 < 100, "caller {number} had time left");
                assert_eq!(error, Error::DeadlineExceeded { phase: Phase::Upstream });
            }
        }
    }
    assert_eq!(fake.calls(), [["one text"]]);
}

#[tokio::test(start_paused = true)]
async fn a_sent_call_completes_after_every_caller_left() {
    let fake = Fake::new();
    let pipeline = pipeline(&fake);
    started(&pipeline, request(&["paid for"])).await.abort();
    tokio::time::sleep(Duration::from_millis(200)).await;

    let again = pipeline.answer(request(&["paid for"])).await.unwrap();
    assert_eq!(sources(&again), [Source::Hit]);
    assert_eq!(fake.calls().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn nothing_is_sent_for_callers_who_left_while_it_waited() {
    let fake = Fake::new();
    let pipeline = pipeline_with(&fake, 1000, 1);
    let first = started(&pipeline, request(&["first"])).await;
    started(&pipeline, request(&["abandoned"])).await.abort();
    let third = started(&pipeline, request(&["third"])).await;

    first.await.unwrap().unwrap();
    third.await.unwrap().unwrap();
    assert_eq!(fake.calls(), [["first"], ["third"]]);
}

#[tokio::test(start_paused = true)]
async fn a_waiting_input_is_sent_for_the_caller_who_stayed() {
    let fake = Fake::new();
    let pipeline = pipeline_with(&fake, 1000, 1);
    let first = started(&pipeline, request(&["first"])).await;
    let leaves = started(&pipeline, request(&["shared"])).await;
    let stays = started(&pipeline, request(&["shared"])).await;
    leaves.abort();

    first.await.unwrap().unwrap();
    let response = stays.await.unwrap().unwrap();
    assert_eq!(answer(&response, 0), &vector_of("shared"));
    assert_eq!(fake.calls(), [["first"], ["shared"]]);
    // The first remaining waiter pays.
    assert_eq!(response.usage.tokens, fake::TOKENS);
}

#[tokio::test(start_paused = true)]
async fn waiting_for_a_free_call_ends_as_a_deadline_in_the_queue() {
    let fake = Fake::new();
    let pipeline = pipeline_with(&fake, 1000, 1);
    let first = started(&pipeline, request(&["first"])).await;
    let deadline = Instant::now() + Duration::from_millis(50);
    let late = pipeline.answer(Request { deadline, ..request(&["second"]) }).await;
    assert_eq!(late.unwrap_err(), Error::DeadlineExceeded { phase: Phase::Queue });
    first.await.unwrap().unwrap();
    assert_eq!(fake.calls(), [["first"]]);
}

#[tokio::test(start_paused = true)]
async fn a_partial_request_gets_what_is_there_at_its_deadline() {
    let fake = Fake::new();
    // One call at a time, one input a call: the second input completes after 200 ms.
    let pipeline = pipeline_with(&fake, 1, 1);
    let deadline = Instant::now() + Duration::from_millis(150);
    let partial = Request { deadline, allow_partial: true, ..request(&["in time", "late"]) };
    let response = pipeline.answer(partial).await.unwrap();
    assert_eq!(answer(&response, 0), &vector_of("in time"));
    assert!(matches!(response.items[1].result, Err(Error::DeadlineExceeded { .. })));
}

#[tokio::test(start_paused = true)]
async fn a_permit_is_free_again_when_its_caller_leaves() {
    let fake = Fake::new();
    let config = super::super::Config { max_in_flight: 1, ..Default::default() };
    let pipeline = build(&fake, &config, &dispatch::Config::default());

    let first = started(&pipeline, request(&["first"])).await;
    let refused = pipeline.answer(request(&["second"])).await.unwrap_err();
    assert!(matches!(refused, Error::Overloaded { .. }));
    first.abort();
    settled().await;
    pipeline.answer(request(&["second"])).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn bytes_in_flight_are_bounded_but_a_lone_large_request_gets_in() {
    let fake = Fake::new();
    let max_bytes = "10B".parse().unwrap();
    let config = super::super::Config { max_bytes, ..Default::default() };
    let pipeline = build(&fake, &config, &dispatch::Config::default());

    let large = started(&pipeline, request(&["more than ten bytes"])).await;
    assert!(matches!(pipeline.answer(request(&["x"])).await, Err(Error::Overloaded { .. })));
    large.await.unwrap().unwrap();
    pipeline.answer(request(&["x"])).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn the_bytes_of_a_caller_who_left_count_until_its_texts_are_let_go() {
    let fake = Fake::new();
    let max_waiting_bytes = "3KiB".parse().unwrap();
    let batch = dispatch::Config { max_waiting_bytes, max_in_flight: 1, ..Default::default() };
    let pipeline = build(&fake, &super::super::Config::default(), &batch);
    let first = started(&pipeline, request(&["first"])).await;
    let large = "x".repeat(2000);
    started(&pipeline, request(&[&large])).await.abort();
    settled().await;

    // Its text still waits behind the first call: others like it would pile up without end.
    let third = "y".repeat(2000);
    let refused = pipeline.answer(request(&[&third])).await;
    assert!(matches!(refused, Err(Error::Overloaded { .. })));
    first.await.unwrap().unwrap();
    settled().await;
    pipeline.answer(request(&[&third])).await.unwrap();
    assert_eq!(fake.calls(), [["first"], [third.as_str()]]);
}

#[tokio::test(start_paused = true)]
async fn small_texts_count_with_all_that_goes_with_them() {
    let fake = Fake::new();
    let max_bytes = "1KiB".parse().unwrap();
    let config = super::super::Config { max_bytes, ..Default::default() };
    let pipeline = build(&fake, &config, &dispatch::Config::default());
    let first = started(&pipeline, request(&["a"])).await;
    assert!(matches!(pipeline.answer(request(&["b"])).await, Err(Error::Overloaded { .. })));
    first.await.unwrap().unwrap();
}
