//! Many callers, one text: it is sent once, and no caller's deadline or cancellation affects another.

use std::time::Duration;

use futures_util::future::join_all;
use tonic::Code;
use voyage_gateway::{
    grpc::v1::{CacheMode, CacheStatus},
    simulator::count_tokens,
    units::TimeSpan,
};

use crate::raw::Connection;
use crate::support::{
    Gateway, assert_vectors, eventually, in_mode, numbered, pass, sample, statuses, texts,
};

#[tokio::test]
async fn a_hundred_identical_calls_are_one_upstream_input() {
    let gateway = Gateway::holding(|_, _| ()).await;
    let client = gateway.client().await;
    let calls: Vec<_> = (0..100)
        .map(|_| {
            let mut client = client.clone();
            tokio::spawn(async move { client.embed(texts(&["a text"])).await })
        })
        .collect();
    gateway.until_in_flight(100).await;
    gateway.release();

    let mut misses = 0;
    let mut tokens = 0;
    for call in calls {
        let reply = call.await.unwrap().unwrap().into_inner();
        assert_vectors(&reply, &["a text"]);
        match reply.embeddings[0].cache_status() {
            CacheStatus::Miss => misses += 1,
            status => assert_eq!(status, CacheStatus::Coalesced),
        }
        tokens += u64::try_from(reply.usage.unwrap().total_tokens).unwrap();
    }
    assert_eq!(misses, 1);
    assert_eq!(tokens, count_tokens("a text"), "the text is billed once");
    assert_eq!(gateway.sent(), [["a text"]]);
}

#[tokio::test]
async fn six_hundred_callers_of_different_deadlines_cause_one_call() {
    let gateway =
        Gateway::holding(|config, _| config.upstream.attempt_timeout = TimeSpan::from_secs(300))
            .await;
    let connections = join_all((0..4).map(|_| Connection::open(gateway.grpc()))).await;
    let callers: Vec<_> = (0..600)
        .map(|caller| {
            // Every second one is late, by up to two minutes.
            let is_late = caller % 2 == 0;
            let seconds = if is_late { 60 + caller % 120 } else { 300 };
            let connection = connections[caller % connections.len()].clone();
            tokio::spawn(async move {
                let timeout = format!("{seconds}S");
                let headers = [("grpc-timeout", timeout.as_str())];
                (is_late, connection.embed(&headers, &texts(&["a text"])).await)
            })
        })
        .collect();
    gateway.until_in_flight(600).await;
    pass(Duration::from_mins(3)).await;
    gateway.until_in_flight(300).await;
    gateway.release();

    for call in join_all(callers).await {
        match call.unwrap() {
            (false, reply) => assert_vectors(&reply.unwrap(), &["a text"]),
            (true, reply) => assert_eq!(reply.unwrap_err().code(), Code::DeadlineExceeded),
        }
    }
    assert_eq!(gateway.sent(), [["a text"]]);
    let cached = in_mode(texts(&["a text"]), CacheMode::OnlyIfCached);
    assert_vectors(gateway.embed(cached).await.unwrap().get_ref(), &["a text"]);
}

#[tokio::test]
async fn a_caller_who_leaves_takes_nothing_from_the_others() {
    let gateway = Gateway::holding(|_, _| ()).await;
    let first = gateway.spawn(texts(&["a text"])).await;
    gateway.until_calls(1).await;
    let second = gateway.spawn(texts(&["a text"])).await;
    gateway.until_in_flight(2).await;
    first.abort();
    gateway.until_in_flight(1).await;
    gateway.release();

    let reply = second.await.unwrap().unwrap().into_inner();
    assert_vectors(&reply, &["a text"]);
    assert_eq!(statuses(&reply), [CacheStatus::Coalesced]);
    // The first remaining waiter pays.
    let usage = reply.usage.unwrap();
    assert_eq!(u64::try_from(usage.total_tokens), Ok(count_tokens("a text")));
    let reply = gateway.embed(texts(&["a text"])).await.unwrap().into_inner();
    assert_eq!(statuses(&reply), [CacheStatus::Hit]);
    assert_eq!(gateway.simulator().calls().len(), 1);
}

#[tokio::test]
async fn what_was_sent_is_cached_after_all_callers_left() {
    let gateway = Gateway::holding(|_, _| ()).await;
    let call = gateway.spawn(texts(&["a text"])).await;
    gateway.until_calls(1).await;
    call.abort();
    gateway.until_in_flight(0).await;
    gateway.release();

    let cached = in_mode(texts(&["a text"]), CacheMode::OnlyIfCached);
    eventually(async || gateway.embed(cached.clone()).await.is_ok()).await;
    let tokens = sample(
        &gateway.metrics().await,
        "voyage_gateway_tokens_total",
        &[("billed_to", "abandoned")],
    );
    assert_eq!(tokens, count_tokens("a text"));
}

#[tokio::test]
async fn inputs_without_waiters_are_not_sent() {
    let gateway = Gateway::holding(|config, _| config.batch.max_in_flight = 1).await;
    let first = gateway.spawn(texts(&["first"])).await;
    gateway.until_calls(1).await;
    let second = gateway.spawn(texts(&["second", "both"])).await;
    gateway.until_in_flight(2).await;
    let third = gateway.spawn(texts(&["both", "third"])).await;
    gateway.until_in_flight(3).await;
    second.abort();
    gateway.until_in_flight(2).await;
    gateway.release();

    assert_vectors(first.await.unwrap().unwrap().get_ref(), &["first"]);
    assert_vectors(third.await.unwrap().unwrap().get_ref(), &["both", "third"]);
    let mut sent = gateway.sent().concat();
    sent.sort_unstable();
    assert_eq!(sent, ["both", "first", "third"]);
}

#[tokio::test]
async fn requests_that_overlap_send_each_text_once() {
    let gateway = Gateway::holding(|_, _| ()).await;
    let inputs = numbered(0..30);
    let first = gateway.spawn(texts(&inputs[..20])).await;
    gateway.until_calls(1).await;
    let second = gateway.spawn(texts(&inputs[10..])).await;
    gateway.until_in_flight(2).await;
    gateway.release();

    let (first, second) =
        (first.await.unwrap().unwrap().into_inner(), second.await.unwrap().unwrap().into_inner());
    assert_vectors(&first, &inputs[..20]);
    assert_vectors(&second, &inputs[10..]);
    assert_eq!(gateway.sent(), [&inputs[..20], &inputs[20..]]);
    let cache = second.cache.unwrap();
    assert_eq!((cache.hits, cache.misses, cache.coalesced), (0, 10, 10));
    // Together they pay what Voyage billed, neither for the other's half.
    let tokens = |texts: &[String]| texts.iter().map(|text| count_tokens(text)).sum::<u64>();
    let paid = |usage: i32| u64::try_from(usage).unwrap();
    assert_eq!(paid(first.usage.unwrap().total_tokens), tokens(&inputs[..20]));
    assert_eq!(paid(second.usage.unwrap().total_tokens), tokens(&inputs[20..]));
}
