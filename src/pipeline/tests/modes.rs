//! Cache modes, and how they meet flights (DESIGN: "Cache modes and flights").

use super::{fake::vector_of, *};

#[tokio::test(start_paused = true)]
async fn duplicates_in_a_request_are_one_input_upstream() {
    let fake = Fake::new();
    let response = pipeline(&fake).answer(request(&["a", "b", "a", "a"])).await.unwrap();
    assert_eq!(fake.calls(), [["a", "b"]]);
    let (miss, joined) = (Source::Miss, Source::Coalesced);
    assert_eq!(sources(&response), [miss, miss, joined, joined]);
    assert_eq!(answer(&response, 3), &vector_of("a"));
    assert_eq!(response.usage.tokens, 2 * fake::TOKENS);
}

#[tokio::test(start_paused = true)]
async fn a_request_joins_flights_opened_by_others_and_pays_for_its_own() {
    let fake = Fake::new();
    let pipeline = pipeline(&fake);
    let first = started(&pipeline, request(&["a", "b"])).await;
    let second = pipeline.answer(request(&["b", "c"])).await.unwrap();
    assert_eq!(sources(&second), [Source::Coalesced, Source::Miss]);
    assert_eq!(second.usage.tokens, fake::TOKENS);
    assert!(!second.estimated);
    assert_eq!(first.await.unwrap().unwrap().usage.tokens, 2 * fake::TOKENS);
    assert_eq!(fake.calls(), [vec!["a", "b"], vec!["c"]]);
}

#[tokio::test(start_paused = true)]
async fn the_share_of_a_call_whose_opener_left_is_an_estimate() {
    let fake = Fake::new();
    let pipeline = pipeline(&fake);
    let opener = started(&pipeline, request(&["a", "b"])).await;
    let joins = started(&pipeline, request(&["a"])).await;
    opener.abort();
    let response = joins.await.unwrap().unwrap();
    assert_eq!(response.usage.tokens, fake::TOKENS);
    assert!(response.estimated);
}

#[tokio::test(start_paused = true)]
async fn read_only_looks_up_and_joins_but_does_not_store() {
    let fake = Fake::new();
    let pipeline = pipeline(&fake);
    pipeline.answer(in_mode(CacheMode::ReadOnly, &["a"])).await.unwrap();
    pipeline.answer(request(&["a"])).await.unwrap();
    assert_eq!(fake.calls().len(), 2);
    let third = pipeline.answer(in_mode(CacheMode::ReadOnly, &["a"])).await.unwrap();
    assert_eq!(sources(&third), [Source::Hit]);
}

#[tokio::test(start_paused = true)]
async fn a_flight_stores_if_any_waiter_stores() {
    let fake = Fake::new();
    let pipeline = pipeline(&fake);
    let opener = started(&pipeline, in_mode(CacheMode::ReadOnly, &["a"])).await;
    let joiner = started(&pipeline, request(&["a"])).await;
    opener.await.unwrap().unwrap();
    assert_eq!(sources(&joiner.await.unwrap().unwrap()), [Source::Coalesced]);
    let third = pipeline.answer(request(&["a"])).await.unwrap();
    assert_eq!(sources(&third), [Source::Hit]);
}

#[tokio::test(start_paused = true)]
async fn refresh_fetches_what_is_cached() {
    let fake = Fake::new();
    let pipeline = pipeline(&fake);
    pipeline.answer(request(&["a"])).await.unwrap();
    let fresh = pipeline.answer(in_mode(CacheMode::Refresh, &["a"])).await.unwrap();
    assert_eq!(sources(&fresh), [Source::Miss]);
    assert_eq!(fake.calls().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn refresh_joins_only_a_flight_that_was_not_sent() {
    let fake = Fake::new();
    let pipeline = pipeline_with(&fake, 1000, 1);
    let sent = started(&pipeline, request(&["a"])).await;
    let refresh = started(&pipeline, in_mode(CacheMode::Refresh, &["a"])).await;
    // The refresh opened a flight of its own, which waits for the only call; another refresh joins that one.
    let joins = started(&pipeline, in_mode(CacheMode::Refresh, &["a"])).await;
    sent.await.unwrap().unwrap();
    assert_eq!(sources(&refresh.await.unwrap().unwrap()), [Source::Miss]);
    assert_eq!(sources(&joins.await.unwrap().unwrap()), [Source::Coalesced]);
    assert_eq!(fake.calls(), [["a"], ["a"]]);
}

#[tokio::test(start_paused = true)]
async fn bypass_neither_reads_nor_stores_nor_joins_nor_is_joined() {
    let fake = Fake::new();
    let pipeline = pipeline(&fake);
    let bypass = started(&pipeline, in_mode(CacheMode::Bypass, &["a", "a"])).await;
    let other = started(&pipeline, in_mode(CacheMode::ReadOnly, &["a"])).await;
    let again = started(&pipeline, in_mode(CacheMode::Bypass, &["a"])).await;
    // Enough time to gather while the first call is in flight; duplicates within the request are still sent once.
    tokio::time::sleep(Duration::from_millis(10)).await;
    assert_eq!(fake.calls().concat(), ["a", "a", "a"]);
    assert_eq!(sources(&bypass.await.unwrap().unwrap()), [Source::Bypassed; 2]);
    other.await.unwrap().unwrap();
    again.await.unwrap().unwrap();
    let later = pipeline.answer(request(&["a"])).await.unwrap();
    assert_eq!(sources(&later), [Source::Miss]);
}

#[tokio::test(start_paused = true)]
async fn only_if_cached_never_fetches_and_never_joins() {
    let fake = Fake::new();
    let pipeline = pipeline(&fake);
    let flight = started(&pipeline, request(&["a"])).await;
    let only = |texts: &[&str]| in_mode(CacheMode::OnlyIfCached, texts);
    let refused = pipeline.answer(only(&["a", "b", "b"])).await.unwrap_err();
    assert_eq!(refused, Error::CacheMiss { misses: 3 });
    flight.await.unwrap().unwrap();

    let partial = Request { allow_partial: true, ..only(&["b", "a"]) };
    let response = pipeline.answer(partial).await.unwrap();
    assert!(matches!(response.items[0].result, Err(Error::CacheMiss { .. })));
    assert_eq!(answer(&response, 1), &vector_of("a"));
    assert_eq!(fake.calls(), [["a"]]);
}

#[tokio::test(start_paused = true)]
async fn failures_are_shared_and_never_cached() {
    let fake = Fake::with(|fake| fake.down = true);
    let pipeline = pipeline(&fake);
    let first = started(&pipeline, request(&["a"])).await;
    let second = started(&pipeline, request(&["a"])).await;
    let (first, second) = (first.await.unwrap().unwrap_err(), second.await.unwrap().unwrap_err());
    assert_eq!(first, second);
    assert_eq!(fake.calls().len(), 1);
    pipeline.answer(request(&["a"])).await.unwrap_err();
    assert_eq!(fake.calls().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_bad_input_never_fails_another_callers() {
    let fake = Fake::with(|fake| {
        fake.named = ["bad".to_owned()].into();
        fake.unnamed = ["worse".to_owned()].into();
    });
    let pipeline = pipeline(&fake);
    let guilty = started(&pipeline, request(&["bad", "shared", "worse"])).await;
    let innocent = started(&pipeline, request(&["shared"])).await;
    guilty.await.unwrap().unwrap_err();
    let response = innocent.await.unwrap().unwrap();
    assert_eq!(answer(&response, 0), &vector_of("shared"));
}
