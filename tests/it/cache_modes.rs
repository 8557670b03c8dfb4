//! The five cache modes, alone and against flights of others.

use CacheMode::{Bypass, OnlyIfCached, ReadOnly, ReadWrite, Refresh};
use tonic::Code;
use voyage_gateway::{
    grpc::v1::{CacheMode, CacheStatus, EmbedResponse, RequestOptions},
    units::Size,
};

use crate::support::{
    Answer, Gateway, assert_vectors, in_mode, metadata, reason, statuses, texts, with_options,
};

async fn embed(gateway: &Gateway, mode: CacheMode) -> EmbedResponse {
    gateway.embed(in_mode(texts(&["a text"]), mode)).await.unwrap().into_inner()
}

/// Returns whether the text is cached, without a call to Voyage.
async fn is_cached(gateway: &Gateway, text: &str) -> bool {
    gateway.embed(in_mode(texts(&[text]), OnlyIfCached)).await.is_ok()
}

/// Checks an answer to "a text" and returns where it came from.
fn source(answer: Result<Answer, tokio::task::JoinError>) -> CacheStatus {
    let reply = answer.unwrap().unwrap().into_inner();
    assert_vectors(&reply, &["a text"]);
    reply.embeddings[0].cache_status()
}

#[tokio::test]
async fn each_mode_reads_and_stores_as_it_says() {
    use CacheStatus::{Bypassed, Hit, Miss};
    // In an empty cache, then in one that has the text; and whether the first call stored it.
    let cases = [
        (CacheMode::Unspecified, Miss, true, Hit),
        (ReadWrite, Miss, true, Hit),
        (ReadOnly, Miss, false, Hit),
        (Refresh, Miss, true, Miss),
        (Bypass, Bypassed, false, Bypassed),
    ];
    for (mode, first, stores, second) in cases {
        let gateway = Gateway::start().await;
        let reply = embed(&gateway, mode).await;
        assert_vectors(&reply, &["a text"]);
        assert_eq!(statuses(&reply), [first], "{mode:?} in an empty cache");
        assert_eq!(is_cached(&gateway, "a text").await, stores, "{mode:?} stores");

        embed(&gateway, ReadWrite).await;
        let calls = gateway.simulator().calls().len();
        let reply = embed(&gateway, mode).await;
        assert_vectors(&reply, &["a text"]);
        assert_eq!(statuses(&reply), [second], "{mode:?} in a full cache");
        let asked = gateway.simulator().calls().len() - calls;
        assert_eq!(asked, usize::from(second != Hit), "{mode:?} asks Voyage");
    }
}

#[tokio::test]
async fn only_if_cached_never_asks_voyage() {
    let gateway = Gateway::start().await;
    embed(&gateway, ReadWrite).await;
    let reply = embed(&gateway, OnlyIfCached).await;
    assert_eq!(statuses(&reply), [CacheStatus::Hit]);

    let request = in_mode(texts(&["new", "a text", "newer", "new"]), OnlyIfCached);
    let status = gateway.embed(request).await.err().unwrap();
    assert_eq!(status.code(), Code::NotFound);
    assert_eq!(reason(&status), "CACHE_MISS");
    assert_eq!(metadata(&status, "misses").as_deref(), Some("3"));
    assert_eq!(gateway.simulator().calls().len(), 1);
}

#[tokio::test]
async fn only_if_cached_with_allow_partial_misses_by_item() {
    let gateway = Gateway::start().await;
    embed(&gateway, ReadWrite).await;
    let options = RequestOptions {
        cache_mode: OnlyIfCached as i32,
        allow_partial: true,
        ..RequestOptions::default()
    };
    let request = with_options(texts(&["new", "a text"]), options);
    let reply = gateway.embed(request).await.unwrap().into_inner();
    assert_eq!(reply.embeddings.len(), 1);
    assert_eq!(reply.embeddings[0].index, 1);
    let [error] = reply.errors.as_slice() else { panic!("expected one error") };
    assert_eq!((error.index, error.code), (0, Code::NotFound as i32));
    assert_eq!((error.reason.as_str(), error.retry_delay), ("CACHE_MISS", None));
    assert_eq!(gateway.simulator().calls().len(), 1);
}

#[tokio::test]
async fn a_refresh_overwrites() {
    let gateway = Gateway::start().await;
    embed(&gateway, ReadWrite).await;
    let reply = embed(&gateway, Refresh).await;
    assert_eq!(statuses(&reply), [CacheStatus::Miss]);
    assert_eq!(statuses(&embed(&gateway, ReadWrite).await), [CacheStatus::Hit]);
    assert_eq!(gateway.simulator().calls().len(), 2);
}

#[tokio::test]
async fn a_bypass_sends_duplicates_once() {
    let gateway = Gateway::start().await;
    let inputs = ["a", "b", "a"];
    let reply = gateway.embed(in_mode(texts(&inputs), Bypass)).await.unwrap().into_inner();
    assert_vectors(&reply, &inputs);
    assert_eq!(gateway.sent(), [["a", "b"]]);
}

/// Starts a call in each mode, one after the other, on one text that is in flight since the first.
async fn fly(modes: [CacheMode; 2]) -> (Gateway, [CacheStatus; 2]) {
    let gateway = Gateway::holding(|_, _| ()).await;
    let first = gateway.spawn(in_mode(texts(&["a text"]), modes[0])).await;
    gateway.until_calls(1).await;
    let second = gateway.spawn(in_mode(texts(&["a text"]), modes[1])).await;
    gateway.until_in_flight(2).await;
    gateway.release();
    let sources = [source(first.await), source(second.await)];
    (gateway, sources)
}

#[tokio::test]
async fn joiners_share_the_call() {
    use CacheStatus::{Coalesced, Miss};
    for modes in [
        [ReadWrite, ReadWrite],
        [ReadWrite, ReadOnly],
        [ReadOnly, ReadWrite],
        [ReadOnly, ReadOnly],
        [Refresh, ReadWrite],
        [Refresh, ReadOnly],
    ] {
        let (gateway, sources) = fly(modes).await;
        assert_eq!(sources, [Miss, Coalesced], "{modes:?}");
        assert_eq!(gateway.simulator().calls().len(), 1, "{modes:?}");
        // One waiter that stores is enough.
        let stores = modes != [ReadOnly, ReadOnly];
        assert_eq!(is_cached(&gateway, "a text").await, stores, "{modes:?}");
    }
}

#[tokio::test]
async fn a_bypass_neither_joins_nor_is_joined() {
    use CacheStatus::{Bypassed, Miss};
    let cases = [
        ([Bypass, ReadWrite], [Bypassed, Miss], true),
        ([ReadWrite, Bypass], [Miss, Bypassed], true),
        ([ReadOnly, Bypass], [Miss, Bypassed], false),
        ([Bypass, Bypass], [Bypassed, Bypassed], false),
    ];
    for (modes, expected, stored) in cases {
        let (gateway, sources) = fly(modes).await;
        assert_eq!(sources, expected, "{modes:?}");
        assert_eq!(gateway.sent(), [["a text"], ["a text"]], "{modes:?}");
        assert_eq!(is_cached(&gateway, "a text").await, stored, "{modes:?}");
    }
}

#[tokio::test]
async fn a_refresh_requires_an_answer_newer_than_itself() {
    use CacheStatus::{Coalesced, Miss};
    let (gateway, sources) = fly([ReadWrite, Refresh]).await;
    assert_eq!(sources, [Miss, Miss]);
    assert_eq!(gateway.sent(), [["a text"], ["a text"]]);

    // A flight that has not been sent will be newer: it is joined.
    let gateway = Gateway::holding(|config, _| config.batch.max_in_flight = 1).await;
    let other = gateway.spawn(texts(&["another text"])).await;
    gateway.until_calls(1).await;
    let first = gateway.spawn(texts(&["a text"])).await;
    gateway.until_in_flight(2).await;
    let second = gateway.spawn(in_mode(texts(&["a text"]), Refresh)).await;
    gateway.until_in_flight(3).await;
    gateway.release();
    assert_eq!([source(first.await), source(second.await)], [Miss, Coalesced]);
    other.await.unwrap().unwrap();
    assert_eq!(gateway.sent(), [["another text"], ["a text"]]);
}

#[tokio::test]
async fn a_flight_is_a_miss_to_only_if_cached() {
    let gateway = Gateway::holding(|_, _| ()).await;
    let call = gateway.spawn(texts(&["a text"])).await;
    gateway.until_calls(1).await;
    assert!(!is_cached(&gateway, "a text").await);
    gateway.release();
    assert_eq!(source(call.await), CacheStatus::Miss);
    assert!(is_cached(&gateway, "a text").await);
}

#[tokio::test]
async fn without_a_cache_every_call_asks_voyage() {
    use CacheStatus::{Coalesced, Miss};
    let gateway = Gateway::with(|config, _| config.cache.max_bytes = Size::from_bytes(0)).await;
    for _ in 0..2 {
        let reply = gateway.embed(texts(&["a", "b", "a"])).await.unwrap().into_inner();
        assert_vectors(&reply, &["a", "b", "a"]);
        assert_eq!(statuses(&reply), [Miss, Miss, Coalesced]);
    }
    assert_eq!(gateway.sent(), [["a", "b"], ["a", "b"]]);
    assert!(!is_cached(&gateway, "a").await);
}
