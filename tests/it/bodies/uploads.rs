//! Messages that do not end, grow, or are not alone.

use bytes::Bytes;
use http::{Method, StatusCode};
use prost::Message as _;
use tonic::Code;
use voyage_gateway::units::Size;

use super::{IN_FLIGHT, IN_FLIGHT_BYTES, Peer, SHED};
use crate::{
    raw::{Connection, EMBED, framed},
    support::{Gateway, assert_vectors, details, eventually, fields, reason, sample, texts},
};

const WINDOW: u32 = 1 << 20;

/// A message of one text of this many bytes, and the text.
fn message_of(bytes: usize) -> (Bytes, String) {
    let text = "x".repeat(bytes);
    (framed(&texts(&[&text]).encode_to_vec()), text)
}

#[tokio::test]
async fn messages_on_their_way_count_and_are_refused_beyond_the_room() {
    let gateway = Gateway::with(|config, _| {
        config.server.max_request_bytes = Size::from_kib(64);
        config.admission.max_bytes = Size::from_kib(64);
    })
    .await;
    let peer = Peer::open(gateway.grpc(), WINDOW).await;
    let (message, text) = message_of(50_000);

    let mut first = peer.begin(&[]).await;
    first.say(message.slice(..40_000), false);
    eventually(async || gateway.counts(IN_FLIGHT_BYTES).await == 40_000).await;
    assert_eq!(gateway.counts(IN_FLIGHT).await, 0);

    // Refused before it ends, and forgotten.
    let mut second = peer.begin(&[]).await;
    second.say(message.slice(..40_000), false);
    assert_eq!(second.begun().await.reason(), "OVERLOADED");
    assert_eq!(gateway.counts(SHED).await, 1);
    eventually(async || gateway.counts(IN_FLIGHT_BYTES).await == 40_000).await;

    // A message that was never finished is forgotten with its stream.
    let mut third = peer.begin(&[]).await;
    third.say(message.slice(..20_000), false);
    eventually(async || gateway.counts(IN_FLIGHT_BYTES).await == 60_000).await;
    drop(third);
    eventually(async || gateway.counts(IN_FLIGHT_BYTES).await == 40_000).await;

    first.say(message.slice(40_000..), true);
    assert_vectors(&first.begun().await.read().await.unwrap(), &[&text]);
    eventually(async || gateway.counts(IN_FLIGHT_BYTES).await == 0).await;
}

#[tokio::test]
async fn the_largest_message_gets_in_alone() {
    let gateway = Gateway::with(|config, _| {
        config.server.max_request_bytes = Size::from_kib(64);
        config.admission.max_bytes = Size::from_kib(64);
    })
    .await;
    // The tag and the length of the text take 4 bytes.
    let text = "x".repeat(64 * 1024 - 4);
    assert_vectors(gateway.embed(texts(&[&text])).await.unwrap().get_ref(), &[&text]);
    let status = gateway.embed(texts(&[format!("{text}x")])).await.err().unwrap();
    assert_eq!(reason(&status), "REQUEST_TOO_LARGE");
}

#[tokio::test]
async fn a_length_beyond_the_limit_is_refused_when_it_is_read() {
    let gateway = Gateway::start().await;
    let peer = Peer::open(gateway.grpc(), WINDOW).await;
    for prefix in [[0, 0x40, 0, 0, 0], [1, 0x40, 0, 0, 0], [0, 0xff, 0xff, 0xff, 0xff]] {
        let mut call = peer.begin(&[("grpc-encoding", "gzip")]).await;
        // Byte by byte, and no end.
        for byte in prefix {
            call.say(Bytes::copy_from_slice(&[byte]), false);
        }
        assert_eq!(call.begun().await.reason(), "REQUEST_TOO_LARGE");
    }
    eventually(async || gateway.counts(IN_FLIGHT_BYTES).await == 0).await;
}

#[tokio::test]
async fn a_call_has_one_message_and_nothing_else() {
    let gateway = Gateway::start().await;
    let connection = Connection::open(gateway.grpc()).await;
    let one = framed(&texts(&["a text"]).encode_to_vec());
    let twice = [one.clone(), one.clone()].concat();
    let trailing = [one.clone(), Bytes::from_static(b"\0")].concat();
    for body in [twice, trailing] {
        let status = connection.clone().call(&[], body.into()).await.err().unwrap();
        assert_eq!(status.code(), Code::InvalidArgument);
        assert_eq!(reason(&status), "INVALID_REQUEST");
        assert_eq!(fields(&status), ["request"]);
        let details = details(&status);
        let violation = &details.bad_request().unwrap().field_violations[0];
        assert_eq!(violation.reason, "TRAILING_BYTES");
    }
    for body in [Bytes::new(), one.slice(..4), one.slice(..5), one.slice(..one.len() - 1)] {
        let status = connection.clone().call(&[], body).await.err().unwrap();
        assert_eq!(status.code(), Code::InvalidArgument);
        assert_eq!(reason(&status), "INVALID_REQUEST");
        assert_eq!(fields(&status), ["request"]);
    }
    assert_eq!(gateway.simulator().calls().len(), 0);

    // As it should be, and in single bytes.
    let peer = Peer::open(gateway.grpc(), WINDOW).await;
    let mut call = peer.begin(&[]).await;
    for byte in &one {
        call.say(Bytes::copy_from_slice(&[*byte]), false);
    }
    call.say(Bytes::new(), true);
    assert_vectors(&call.begun().await.read().await.unwrap(), &["a text"]);
}

#[tokio::test]
async fn only_a_post_of_grpc_with_protobuf_is_a_call() {
    let gateway = Gateway::start().await;
    let connection = Connection::open(gateway.grpc()).await;
    let one = || framed(&texts(&["a text"]).encode_to_vec());
    for content_type in ["application/grpc", "Application/gRPC+Proto", "application/grpc ; a=b"] {
        // `te: trailers` is missing.
        let headers = [("content-type", content_type)];
        let reply = connection.clone().send(EMBED, &headers, one()).await;
        assert_eq!(reply.status, StatusCode::OK, "{content_type}");
        assert_eq!(reply.grpc_status().code(), Code::Ok, "{content_type}");
    }
    for content_type in ["application/grpc+json", "application/grpc+thrift", "application/grpc+"] {
        let headers = [("content-type", content_type)];
        let reply = connection.clone().send(EMBED, &headers, one()).await;
        assert_eq!(reply.status, StatusCode::UNSUPPORTED_MEDIA_TYPE, "{content_type}");
    }
    for method in [Method::GET, Method::PUT, Method::HEAD, Method::OPTIONS] {
        let headers = [("content-type", "application/grpc")];
        let reply = connection.clone().request(method.clone(), EMBED, &headers, one()).await;
        assert_eq!(reply.status, StatusCode::METHOD_NOT_ALLOWED, "{method}");
        assert_eq!(reply.headers["allow"], "POST");
        assert!(!reply.headers.contains_key("grpc-status"));
    }
    for encoding in ["br", "deflate", "zstd", "snappy"] {
        let headers = [("content-type", "application/grpc"), ("grpc-encoding", encoding)];
        let reply = connection.clone().send(EMBED, &headers, one()).await;
        assert_eq!(reply.grpc_status().code(), Code::Unimplemented, "{encoding}");
    }
    assert_eq!(gateway.sent(), [["a text"]]);
}

#[tokio::test]
async fn too_much_metadata_costs_its_own_call_only() {
    let gateway = Gateway::start().await;
    let connection = Connection::open(gateway.grpc()).await;
    let large = "m".repeat(20_000);
    let headers = [("content-type", "application/grpc"), ("x-large", large.as_str())];
    let message = framed(&texts(&["a text"]).encode_to_vec());
    let reply = connection.clone().send(EMBED, &headers, message).await;
    assert_eq!(reply.status, StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE);
    let reply = connection.clone().embed(&[], &texts(&["a text"])).await.unwrap();
    assert_vectors(&reply, &["a text"]);
    // It never came as far as to be counted.
    let metrics = gateway.metrics().await;
    assert_eq!(sample(&metrics, "voyage_gateway_rpcs_total", &[]), 1);
}
