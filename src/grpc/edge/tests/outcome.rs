//! Every RPC is counted once, however it ends.

use futures_util::poll;
use http::HeaderMap;
use tokio::time::Instant;

use super::{
    services::{EMBED, WATCH, counted},
    *,
};

fn once(method: &str, code: &str) -> Vec<(String, String, u64)> {
    vec![(method.to_owned(), code.to_owned(), 1)]
}

#[tokio::test]
async fn an_rpc_counts_by_the_status_its_caller_saw() {
    for (model, code, name) in [
        ("", Code::Ok, "OK"),
        ("full", Code::Unavailable, "UNAVAILABLE"),
        ("panic", Code::Internal, "INTERNAL"),
    ] {
        let (edge, metrics) = edge().await;
        assert_eq!(call(&edge, embed(model)).await.code(), code);
        assert_eq!(counted(&metrics), once(EMBED, name));
    }
}

#[tokio::test]
async fn unknown_methods_share_one_name() {
    let (edge, metrics) = edge().await;
    for method in ["a.B/C", "d.E/F"] {
        call(&edge, request(method, Bytes::new())).await;
    }
    let expected = vec![(OTHER_METHOD.to_owned(), "UNIMPLEMENTED".to_owned(), 2)];
    assert_eq!(counted(&metrics), expected);
}

#[tokio::test]
async fn a_reply_counts_when_its_last_byte_has_left() {
    let (edge, metrics) = edge().await;
    let response = edge.serve(embed("")).await;
    assert_eq!(counted(&metrics), []);
    read(response).await;
    assert_eq!(counted(&metrics), once(EMBED, "OK"));
}

#[tokio::test]
async fn a_caller_who_leaves_while_waiting_cancelled() {
    let (edge, metrics) = edge().await;
    let mut answer = Box::pin(edge.serve(embed("hang")));
    assert!(poll!(answer.as_mut()).is_pending());
    assert_eq!(counted(&metrics), []);
    drop(answer);
    assert_eq!(counted(&metrics), once(EMBED, "CANCELLED"));
}

#[tokio::test]
async fn a_caller_who_leaves_before_the_last_byte_cancelled() {
    let (edge, metrics) = edge().await;
    drop(edge.clone().serve(embed("")).await);
    assert_eq!(counted(&metrics), once(EMBED, "CANCELLED"));

    // After the message, and before the trailers.
    let mut response = edge.serve(embed("")).await;
    assert!(response.body_mut().frame().await.unwrap().unwrap().is_data());
    drop(response);
    assert_eq!(counted(&metrics), [(EMBED.to_owned(), "CANCELLED".to_owned(), 2)]);
}

/// The status is in the headers already, so the caller has received it.
#[tokio::test]
async fn an_error_keeps_its_reason_even_if_the_reply_is_not_read() {
    let (edge, metrics) = edge().await;
    drop(edge.serve(embed("full")).await);
    assert_eq!(counted(&metrics), once(EMBED, "UNAVAILABLE"));
}

#[tokio::test(start_paused = true)]
async fn a_stream_ends_with_its_callers_deadline() {
    let (edge, metrics) = edge().await;
    let started = Instant::now();
    // A default HealthCheckRequest asks about the whole server.
    let watch = with(request(WATCH, framed(b"")), "grpc-timeout", b"10S");
    let seen = call(&edge, watch).await;
    assert_eq!(seen.code(), Code::DeadlineExceeded);
    assert_eq!(started.elapsed().as_secs(), 10);
    assert_eq!(counted(&metrics), once(WATCH, "DEADLINE_EXCEEDED"));
}

#[tokio::test(start_paused = true)]
async fn a_stream_without_a_deadline_stays_open() {
    let (edge, metrics) = edge().await;
    // The service lives as long as one of its edges.
    let mut response = edge.clone().serve(request(WATCH, framed(b""))).await;
    assert!(response.body_mut().frame().await.unwrap().unwrap().is_data());
    let days = Duration::from_hours(72);
    assert!(tokio::time::timeout(days, response.body_mut().frame()).await.is_err());
    drop(response);
    assert_eq!(counted(&metrics), once(WATCH, "CANCELLED"));
}

#[test]
fn codes_are_named_as_grpc_spells_them() {
    for number in 0..=16 {
        let code = Code::from_i32(number);
        let spelled: String = format!("{code:?}")
            .char_indices()
            .flat_map(|(at, letter)| {
                let gap = (at > 0 && letter.is_uppercase()).then_some('_');
                gap.into_iter().chain([letter.to_ascii_uppercase()])
            })
            .collect();
        let (edge_metrics, expected) = (Metrics::new().unwrap(), once(EMBED, &spelled));
        let mut response = Response::new(Body::empty());
        response.headers_mut().insert("grpc-status", number.into());
        let (rpc, span) = unrecorded(&HeaderMap::new(), method(), &edge_metrics);
        let guard = RpcGuard::new(rpc, span);
        drop(reply::guarded(response, guard, None));
        assert_eq!(counted(&edge_metrics), expected);
    }
}

fn method() -> &'static str {
    method_name(&format!("/{EMBED}"))
}

#[tokio::test]
async fn streams_without_a_credential_are_bounded_and_delay_no_calls() {
    let (edge, _) = edge().await;
    let watch = || request(WATCH, framed(&[]));
    let mut open = Vec::new();
    for _ in 0..MAX_UNAUTHENTICATED_STREAMS {
        open.push(edge.clone().serve(watch()).await);
    }
    let refused = call(&edge, watch()).await;
    assert_eq!((refused.code(), refused.reason().as_str()), (Code::Unavailable, "OVERLOADED"));
    assert_eq!(call(&edge, embed("")).await.code(), Code::Ok);
    open.pop();
    let again = edge.clone().serve(watch()).await;
    assert!(!again.headers().contains_key("grpc-status"), "there is a place again");
}
