//! Panics, messages that never end, and what tonic refuses.

use std::convert::Infallible;

use futures_util::{poll, stream};
use http_body::Frame;
use http_body_util::StreamBody;
use tokio::time::Instant;

use super::{
    services::{DEFAULT_DEADLINE, MAX_REQUEST_BYTES},
    *,
};

#[tokio::test]
async fn a_panic_costs_its_own_rpc_only() {
    let (edge, _) = edge().await;
    let mut waiting = Box::pin(edge.clone().serve(embed("hang")));
    assert!(poll!(waiting.as_mut()).is_pending());

    let seen = call(&edge, embed("panic")).await;
    assert_eq!((seen.code(), &*seen.reason()), (Code::Internal, "INTERNAL"));
    let shown = format!("{:?}", seen.status);
    assert!(!shown.contains("canary"), "{shown}");

    assert!(poll!(waiting.as_mut()).is_pending());
    assert_eq!(call(&edge, embed("")).await.code(), Code::Ok);
}

#[tokio::test(start_paused = true)]
async fn a_service_that_hangs_is_cut_before_the_callers_own_clock_gives_up() {
    let (edge, _) = edge().await;
    for (timeout, limit) in [(Some("10S"), Duration::from_secs(10)), (None, DEFAULT_DEADLINE)] {
        let request = match timeout {
            Some(timeout) => with(embed("hang"), "grpc-timeout", timeout.as_bytes()),
            None => embed("hang"),
        };
        let started = Instant::now();
        let seen = call(&edge, request).await;
        assert_eq!((seen.code(), &*seen.reason()), (Code::DeadlineExceeded, "DEADLINE_EXCEEDED"));
        // After the service's own time, which ends a fiftieth early.
        let margin = limit.saturating_sub(started.elapsed());
        assert!(margin > Duration::ZERO && margin < limit / 50, "{margin:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_message_that_never_ends_is_a_passed_deadline() {
    let (edge, _) = edge().await;
    let start = Frame::data(Bytes::from_static(&[0, 0, 0, 0, 9, 1]));
    let frames = stream::iter([Ok::<_, Infallible>(start)]);
    let endless = StreamBody::new(futures_util::StreamExt::chain(frames, stream::pending()));
    let request = with(embed(""), "grpc-timeout", b"1S").map(|_| Body::new(endless));
    let seen = call(&edge, request).await;
    assert_eq!(seen.code(), Code::DeadlineExceeded);
    let info = seen.status.get_details_error_info().unwrap();
    assert_eq!(info.metadata["phase"], "request");
}

#[tokio::test]
async fn a_timeout_of_nothing_is_a_passed_deadline() {
    let (edge, _) = edge().await;
    let seen = call(&edge, with(embed("hang"), "grpc-timeout", b"0n")).await;
    assert_eq!(seen.code(), Code::DeadlineExceeded);
}

#[tokio::test]
async fn a_message_over_the_limit_is_too_large() {
    let (edge, _) = edge().await;
    let of = |bytes: usize| {
        // The tag and the length take 3 bytes.
        let message = EmbedRequest { model: "m".repeat(bytes - 3), ..EmbedRequest::default() };
        assert_eq!(message.encoded_len(), bytes);
        request(EMBED, framed(&message.encode_to_vec()))
    };
    assert_eq!(call(&edge, of(MAX_REQUEST_BYTES)).await.code(), Code::Ok);
    let seen = call(&edge, of(MAX_REQUEST_BYTES + 1)).await;
    assert_eq!((seen.code(), &*seen.reason()), (Code::ResourceExhausted, "REQUEST_TOO_LARGE"));
    let info = seen.status.get_details_error_info().unwrap();
    assert_eq!(info.metadata["maxRequestBytes"], MAX_REQUEST_BYTES.to_string());
}

#[tokio::test]
async fn an_undecodable_message_is_an_invalid_request() {
    let (edge, _) = edge().await;
    let bodies = [
        // Bad UTF-8 in `model`, a field that is cut, a wire type that does not exist.
        framed(b"\x12\x02\xff\xfe"),
        framed(b"\x12\x09a"),
        framed(b"\x17"),
        // A compression flag that means nothing, a frame that is cut, none at all.
        Bytes::from_static(&[9, 0, 0, 0, 0]),
        Bytes::from_static(&[0, 0, 0, 0, 9, 1]),
        Bytes::from_static(&[0, 0]),
        Bytes::new(),
    ];
    for body in bodies {
        let seen = call(&edge, request(EMBED, body.clone())).await;
        assert_eq!(
            (seen.code(), &*seen.reason()),
            (Code::InvalidArgument, "INVALID_REQUEST"),
            "{body:?}"
        );
        let bad = seen.status.get_details_bad_request().unwrap();
        assert_eq!(bad.field_violations[0].field, "request", "{body:?}");
        assert_eq!(bad.field_violations[0].reason, "UNDECODABLE", "{body:?}");
    }
}

/// A refusal of ours has details, and is not mistaken for one of tonic's.
#[tokio::test]
async fn a_services_own_status_passes_as_it_is() {
    let (edge, _) = edge().await;
    let response = edge.serve(embed("full")).await;
    let metadata = MetadataMap::from_headers(response.headers().clone());
    assert_eq!(metadata.get("grpc-retry-pushback-ms").unwrap(), "200");
    let seen = read(response).await;
    assert_eq!((seen.code(), &*seen.reason()), (Code::Unavailable, "OVERLOADED"));
}
