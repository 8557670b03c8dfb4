//! Peers that flood their connection: it is closed, and no other caller is affected.

use tokio::net::TcpStream;

use super::frames::{
    CONTINUATION, DATA, END_HEADERS, END_STREAM, ENHANCE_YOUR_CALM, HEADERS, Peer, REFUSED_STREAM,
    RST_STREAM, SETTINGS, WINDOW_UPDATE, put, put_header, put_request, request_headers,
};
use crate::{
    raw::{Connection, EMBED, framed},
    support::{Gateway, assert_vectors, eventually, sample, texts},
};
use prost::Message as _;

const CANCEL: [u8; 4] = [0, 0, 0, 8];

/// Floods a gateway over one connection while a call is in flight on another, which must not be disturbed. Returns
/// the codes of the GOAWAYs that the flooding peer got.
async fn codes_after(frames: Vec<u8>) -> Vec<u32> {
    let gateway = Gateway::holding(|_, _| ()).await;
    let bystander = Connection::open(gateway.grpc()).await;
    let call = tokio::spawn({
        let bystander = bystander.clone();
        async move { bystander.embed(&[], &texts(&["in flight"])).await }
    });
    gateway.until_calls(1).await;

    let peer = Peer::polite(TcpStream::connect(gateway.grpc()).await.unwrap()).await;
    let goaways = peer.flood(&frames).await;

    gateway.release();
    assert_vectors(&call.await.unwrap().unwrap(), &["in flight"]);
    // On the same connection: it has no other.
    let after = bystander.clone().embed(&[], &texts(&["afterwards"])).await.unwrap();
    assert_vectors(&after, &["afterwards"]);
    assert_eq!(gateway.sent(), [["in flight"], ["afterwards"]]);
    eventually(async || {
        let metrics = gateway.metrics().await;
        let labels = [("port", "grpc"), ("reason", "protocol_error")];
        sample(&metrics, "voyage_gateway_connection_failures_total", &labels) == 1
            && sample(&metrics, "voyage_gateway_connections", &[("port", "grpc")]) == 1
    })
    .await;
    goaways.into_iter().map(|(_, code)| code).collect()
}

/// The streams a client may open.
fn streams(count: u32) -> impl Iterator<Item = u32> {
    (0..count).map(|number| 2 * number + 1)
}

#[tokio::test]
async fn streams_opened_and_reset() {
    let mut frames = Vec::new();
    for stream in streams(10_000) {
        put(&mut frames, HEADERS, END_HEADERS, stream, &request_headers(EMBED));
        put(&mut frames, RST_STREAM, 0, stream, &CANCEL);
    }
    assert_eq!(codes_after(frames).await, [ENHANCE_YOUR_CALM]);
}

#[tokio::test]
async fn malformed_streams() {
    let mut frames = Vec::new();
    let mut headers = request_headers(EMBED);
    put_header(&mut headers, "connection", "is-no-header-of-http2");
    for stream in streams(6_000) {
        put(&mut frames, HEADERS, END_HEADERS, stream, &headers);
    }
    assert_eq!(codes_after(frames).await, [ENHANCE_YOUR_CALM]);
}

#[tokio::test]
async fn streams_the_gateway_is_made_to_reset() {
    let mut frames = Vec::new();
    for stream in streams(6_000) {
        put(&mut frames, HEADERS, END_HEADERS, stream, &request_headers(EMBED));
        // More than a window can hold.
        put(&mut frames, WINDOW_UPDATE, 0, stream, &[0x7f, 0xff, 0xff, 0xff]);
    }
    assert_eq!(codes_after(frames).await, [ENHANCE_YOUR_CALM]);
}

#[tokio::test]
async fn headers_without_an_end() {
    let mut frames = Vec::new();
    put(&mut frames, HEADERS, 0, 1, &request_headers(EMBED));
    let mut more = Vec::new();
    put_header(&mut more, "x-more", &"x".repeat(100));
    for _ in 0..10_000 {
        put(&mut frames, CONTINUATION, 0, 1, &more);
    }
    assert_eq!(codes_after(frames).await, [ENHANCE_YOUR_CALM]);
}

#[tokio::test]
async fn data_frames_with_nothing_in_them() {
    let mut frames = Vec::new();
    put(&mut frames, HEADERS, END_HEADERS, 1, &request_headers(EMBED));
    for _ in 0..10_000 {
        put(&mut frames, DATA, 0, 1, b"");
    }
    assert_eq!(codes_after(frames).await, [ENHANCE_YOUR_CALM]);
}

#[tokio::test]
async fn data_frames_with_next_to_nothing_in_them() {
    let mut frames = Vec::new();
    // To a stream whose call was refused: its data is not read.
    put(&mut frames, HEADERS, END_HEADERS, 1, &request_headers("/no.such.Service/Method"));
    for _ in 0..100_000 {
        put(&mut frames, DATA, 0, 1, b"x");
    }
    let codes = codes_after(frames).await;
    assert_eq!(codes, [ENHANCE_YOUR_CALM]);
}

#[tokio::test]
async fn no_more_than_256_streams_are_served() {
    let gateway = Gateway::holding(|_, _| ()).await;
    let mut peer = Peer::polite(TcpStream::connect(gateway.grpc()).await.unwrap()).await;
    let settings = peer.until(|frame| frame.kind == SETTINGS).await;
    assert!(settings.payload.chunks(6).any(|one| one == [0, 3, 0, 0, 1, 0]), "{settings:?}");

    let mut frames = Vec::new();
    for stream in streams(257) {
        let request = texts(&[format!("text {stream}")]);
        put_request(&mut frames, stream, EMBED, &framed(&request.encode_to_vec()));
    }
    peer.write(&frames).await;
    let refused = peer.until(|frame| frame.kind == RST_STREAM).await;
    assert_eq!((refused.stream, &refused.payload[..]), (513, &REFUSED_STREAM.to_be_bytes()[..]));
    gateway.until_in_flight(256).await;

    gateway.release();
    let mut ended = 0;
    while ended < 256 {
        let frame = peer.until(|frame| frame.flags & END_STREAM != 0 && frame.stream != 0).await;
        assert!(frame.ends(frame.stream), "{frame:?}");
        ended += 1;
    }
    // There is room again.
    let request = texts(&["one more"]);
    peer.request(515, EMBED, &framed(&request.encode_to_vec())).await;
    peer.until(|frame| frame.ends(515)).await;
}
