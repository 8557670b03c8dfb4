//! Replies that are not read.

use std::time::Duration;

use futures_util::future::BoxFuture;
use h2::Reason;
use tonic::Code;
use voyage_gateway::{
    error::Error,
    grpc::v1::{CacheStatus, EmbedRequest, RequestOptions},
    item::{Answer, Input, Parameters, Usage, Vector},
    telemetry::trace,
    units::{Size, TimeSpan},
    upstream::{ApiKey, Reply, Upstream},
};

use super::{IN_FLIGHT, IN_FLIGHT_BYTES, Peer, SHED};
use crate::support::{
    Gateway, assert_vectors, eventually, metadata, numbered, pass, reason, sample, statuses, texts,
    with_options,
};

/// Texts whose reply takes 264 KB.
fn large() -> EmbedRequest {
    texts(&numbered(0..64))
}

/// A gateway with room for three such replies, and each of their vectors in its cache.
async fn with_room_for_three() -> Gateway {
    let gateway = Gateway::with(|config, _| {
        config.server.max_request_bytes = Size::from_kib(64);
        config.admission.max_bytes = Size::from_mib(1);
    })
    .await;
    gateway.embed(large()).await.unwrap();
    eventually(async || gateway.counts(IN_FLIGHT).await == 0).await;
    gateway
}

#[tokio::test]
async fn unread_replies_are_bounded_by_the_admission_limit() {
    let gateway = with_room_for_three().await;
    let peer = Peer::open(gateway.grpc(), 16 * 1024).await;
    let mut held = Vec::new();
    for _ in 0..40 {
        let begun = peer.embed(&[], &large()).await;
        match begun.refusal() {
            None => held.push(begun),
            Some(status) => {
                assert_eq!(status.code(), Code::Unavailable);
                assert_eq!(reason(&status), "OVERLOADED");
                assert!(status.metadata().contains_key("grpc-retry-pushback-ms"));
            }
        }
    }
    assert_eq!(held.len(), 3);
    assert_eq!(gateway.counts(SHED).await, 37);
    assert_eq!(gateway.counts(IN_FLIGHT).await, 3);
    let reply = 64 * (4096 + 16) + 256;
    let text = |text: &String| text.len() as u64 + 512;
    let inputs: u64 = large().inputs.iter().map(text).sum();
    assert_eq!(gateway.counts(IN_FLIGHT_BYTES).await, 3 * (reply + inputs));

    // A reply that is read or dropped makes room.
    let read = held.pop().unwrap().read().await.unwrap();
    assert_vectors(&read, &numbered(0..64));
    eventually(async || gateway.counts(IN_FLIGHT).await == 2).await;
    drop((held, peer));
    eventually(async || gateway.counts(IN_FLIGHT).await == 0).await;
    assert_eq!(gateway.counts(IN_FLIGHT_BYTES).await, 0);
    assert_vectors(gateway.embed(large()).await.unwrap().get_ref(), &numbered(0..64));
}

#[tokio::test]
async fn a_reply_comes_whole_through_any_window() {
    let gateway = Gateway::start().await;
    let inputs = numbered(0..64);
    for window in [1, 16 * 1024, 100_000, 1 << 20] {
        // Small replies, and those around the size of a slice.
        for count in [1, 3, 4, 5, 64] {
            // A window of one byte makes a frame of every byte.
            if window == 1 && count > 1 {
                continue;
            }
            let peer = Peer::open(gateway.grpc(), window).await;
            let begun = peer.embed(&[], &texts(&inputs[..count])).await;
            assert_vectors(&begun.read().await.unwrap(), &inputs[..count]);
        }
    }
    eventually(async || gateway.counts(IN_FLIGHT).await == 0).await;
}

/// Nothing is read at all, some is, all but the last byte is.
#[tokio::test]
async fn what_is_not_read_by_the_deadline_is_dropped() {
    let gateway = with_room_for_three().await;
    for (window, read) in [(0, 0), (16 * 1024, 100_000), (64 * (4096 + 9), 0)] {
        let peer = Peer::open(gateway.grpc(), window).await;
        let mut begun = peer.embed(&[("grpc-timeout", "1M")], &large()).await;
        assert!(begun.refusal().is_none());
        begun.read_some(read).await;
        assert_eq!(gateway.counts(IN_FLIGHT).await, 1, "{window}");
        pass(Duration::from_mins(1)).await;
        assert_eq!(begun.reset().await, Reason::CANCEL);
        eventually(async || gateway.counts(IN_FLIGHT_BYTES).await == 0).await;
        assert_eq!(gateway.counts(IN_FLIGHT).await, 0);
        // The connection is as good as before, and has the window back.
        let again = Peer::embed(&peer, &[], &texts(&["text number 1"])).await;
        assert!(again.refusal().is_none());
    }
    let late = [("rpc_response_status_code", "DEADLINE_EXCEEDED")];
    eventually(async || sample(&gateway.metrics().await, "voyage_gateway_rpcs_total", &late) == 3)
        .await;
}

#[tokio::test]
async fn a_caller_without_a_deadline_has_the_default_one_to_read() {
    let gateway = Gateway::with(|config, _| {
        config.server.default_deadline = TimeSpan::from_secs(60);
    })
    .await;
    let peer = Peer::open(gateway.grpc(), 0).await;
    let begun = peer.embed(&[], &texts(&["a text"])).await;
    pass(Duration::from_mins(1)).await;
    assert_eq!(begun.reset().await, Reason::CANCEL);
    eventually(async || gateway.counts(IN_FLIGHT).await == 0).await;
}

/// An upstream of an unlisted model, with vectors of 4,096 floats.
struct Wide;

impl Upstream for Wide {
    fn call<'a>(
        &'a self,
        _: &'a ApiKey,
        _: &'a Parameters,
        inputs: &'a [&'a Input],
        _span: &'a mut trace::Span,
    ) -> BoxFuture<'a, Result<Reply, Error>> {
        let answer = || Answer::Vector(Vector::new(vec![0; 4096 * 4].into()));
        let answers = inputs.iter().map(|_| answer()).collect();
        let reply =
            Reply { answers, usage: Some(Usage::of_tokens(1)), request_id: None, warning: None };
        Box::pin(async { Ok(reply) })
    }
}

#[tokio::test]
async fn the_vectors_of_a_reply_that_is_too_large_are_cached() {
    let gateway = Gateway::around(Wide).await;
    let request = |max: i32| {
        let options = RequestOptions { max_response_bytes: max, ..RequestOptions::default() };
        let inputs = texts(&numbered(0..10));
        with_options(EmbedRequest { model: "voyage-9".to_owned(), ..inputs }, options)
    };
    // Enough for the 2,048 that are predicted.
    for _ in 0..2 {
        let status = gateway.embed(request(100_000)).await.err().unwrap();
        assert_eq!(status.code(), Code::InvalidArgument);
        assert_eq!(reason(&status), "RESPONSE_TOO_LARGE");
        let real = 10 * (4096 * 4 + 16) + 256;
        assert_eq!(metadata(&status, "predictedBytes"), Some(real.to_string()));
        assert_eq!(metadata(&status, "maxInputs").as_deref(), Some("6"));
    }
    let reply = gateway.embed(request(200_000)).await.unwrap().into_inner();
    assert_eq!(statuses(&reply), [CacheStatus::Hit; 10]);
    assert_eq!(reply.dimension, 4096);
}
