//! Panics, messages that never end, and errors of tonic.

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

/// A call whose stream stays open after these bytes.
fn endless(start: Bytes) -> Request<Body> {
    let frames = stream::iter([Ok::<_, Infallible>(Frame::data(start))]);
    let endless = StreamBody::new(futures_util::StreamExt::chain(frames, stream::pending()));
    with(embed(""), "grpc-timeout", b"1S").map(|_| Body::new(endless))
}

/// Half a message; and a whole one, which would be refused if it were decoded before the stream has ended.
#[tokio::test(start_paused = true)]
async fn a_message_that_never_ends_is_a_passed_deadline() {
    let (edge, _) = edge().await;
    for start in [Bytes::from_static(&[0, 0, 0, 0, 9, 1]), framed(b"\x17")] {
        let seen = call(&edge, endless(start)).await;
        assert_eq!(seen.code(), Code::DeadlineExceeded);
        let info = seen.status.get_details_error_info().unwrap();
        assert_eq!(info.metadata["phase"], "request");
    }
}

#[tokio::test]
async fn what_is_too_much_is_refused_before_it_ends() {
    let (edge, _) = edge().await;
    let seen = call(&edge, endless(Bytes::from_static(&[0, 0x40, 0, 0, 0]))).await;
    assert_eq!((seen.code(), &*seen.reason()), (Code::ResourceExhausted, "REQUEST_TOO_LARGE"));
    let several = [framed(b""), framed(b"")].concat();
    let seen = call(&edge, endless(several.into())).await;
    assert_eq!((seen.code(), &*seen.reason()), (Code::InvalidArgument, "INVALID_REQUEST"));
}

fn panics(metrics: &Metrics) -> u64 {
    let page = metrics.render().unwrap();
    let count = page.lines().find_map(|line| line.strip_prefix("voyage_gateway_panics_total "));
    count.map_or(0, |count| count.parse().unwrap())
}

#[tokio::test]
async fn panics_are_counted() {
    let (edge, metrics) = edge().await;
    for count in 1..3 {
        assert_eq!(call(&edge, embed("panic")).await.code(), Code::Internal);
        assert_eq!(panics(&metrics), count);
        assert_eq!(call(&edge, embed("")).await.code(), Code::Ok);
    }
    assert_eq!(panics(&metrics), 2);
}

#[tokio::test]
async fn a_reply_that_panics_ends_as_an_internal_error() {
    let metrics = Metrics::new().unwrap();
    let message = Frame::data(framed(b""));
    let frames = stream::poll_fn(|_| -> std::task::Poll<Option<Result<_, Infallible>>> {
        panic!("a canary")
    });
    let frames = futures_util::StreamExt::chain(stream::iter([Ok(message)]), frames);
    let mut response = Response::new(Body::new(StreamBody::new(frames)));
    let id = HeaderValue::from_static("the-id");
    response.headers_mut().insert(request_id::HEADER, id.clone());
    let (rpc, span) = unrecorded(response.headers(), method_name(&format!("/{EMBED}")), &metrics);
    let guard = RpcGuard::new(rpc, span);
    let seen = read(reply::guarded(response, guard, None)).await;
    assert_eq!((seen.code(), &*seen.reason()), (Code::Internal, "INTERNAL"));
    assert_eq!(seen.status.get_details_request_info().unwrap().request_id, "the-id");
    assert!(!format!("{:?}", seen.status).contains("canary"));
    assert_eq!(panics(&metrics), 1);
    assert_eq!(services::counted(&metrics), [(EMBED.to_owned(), "INTERNAL".to_owned(), 1)]);
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
        // A field that is cut, also after bad UTF-8; a wire type that does not exist.
        framed(b"\x12\x09a"),
        framed(b"\x12\x02\xff\xfe\x12\x09a"),
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

#[tokio::test]
async fn a_message_with_invalid_texts_is_refused_or_repaired_within_the_limit() {
    let (edge, _) = edge().await;
    let of = |model: usize, options: &[u8]| {
        let model = EmbedRequest { model: "m".repeat(model), ..EmbedRequest::default() };
        let mut message = model.encode_to_vec();
        message[3..].fill(0xff);
        message.extend_from_slice(options);
        request(EMBED, framed(&message))
    };
    let seen = call(&edge, of(200, b"")).await;
    assert_eq!((seen.code(), &*seen.reason()), (Code::InvalidArgument, "INVALID_REQUEST"));
    let bad = seen.status.get_details_bad_request().unwrap();
    assert_eq!(bad.field_violations[0].field, "model");
    assert_eq!(bad.field_violations[0].reason, "INVALID_UTF8");
    // `options.invalid_text`: replace. The tag and the length take 3 bytes, and so does a replacement.
    let replace = b"\x7a\x02\x30\x02";
    let most = (MAX_REQUEST_BYTES - 3 - replace.len()) / 3;
    assert_eq!(call(&edge, of(most, replace)).await.code(), Code::Ok);
    let seen = call(&edge, of(most + 1, replace)).await;
    assert_eq!((seen.code(), &*seen.reason()), (Code::ResourceExhausted, "REQUEST_TOO_LARGE"));
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
