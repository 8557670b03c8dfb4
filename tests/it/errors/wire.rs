//! Refusals before the message is decoded, and because of the deadline's header.

use http::StatusCode;
use prost::Message as _;
use tonic::{Code, Status, codec::CompressionEncoding};
use voyage_gateway::{grpc::v1::ListModelsRequest, units::Size};

use crate::{
    raw::{Connection, EMBED, framed},
    support::{Gateway, assert_vectors, details, fields, reason, texts},
};

fn check_invalid(status: &Status, field: &str, violation: &str) {
    assert_eq!(
        (status.code(), reason(status).as_str()),
        (Code::InvalidArgument, "INVALID_REQUEST")
    );
    assert_eq!(fields(status), [field]);
    let details = details(status);
    assert_eq!(details.bad_request().unwrap().field_violations[0].reason, violation);
    assert_eq!(details.error_info().unwrap().domain, "voyage-gateway");
}

#[tokio::test]
async fn a_message_that_cannot_be_decoded() {
    let gateway = Gateway::start().await;
    let connection = Connection::open(gateway.grpc()).await;
    let cut_short = b"\x0a\x20abc".as_slice();
    let wrong_type = b"\x08\x01".as_slice();
    for message in [cut_short, wrong_type] {
        let answer = connection.clone().call(&[], framed(message)).await;
        check_invalid(&answer.err().unwrap(), "request", "UNDECODABLE");
    }
    assert_eq!(gateway.simulator().calls().len(), 0);
}

#[tokio::test]
async fn a_message_of_millions_of_empty_texts_is_not_decoded() {
    let gateway = Gateway::start().await;
    let connection = Connection::open(gateway.grpc()).await;
    let empty = |count: usize| framed(&b"\x0a\x00".repeat(count));
    for (count, field, violation) in [
        (16_385, "inputs", "TOO_MANY_INPUTS"),
        (65_536, "inputs", "TOO_MANY_INPUTS"),
        (65_537, "request", "TOO_MANY_FIELDS"),
    ] {
        let answer = connection.clone().call(&[], empty(count)).await;
        check_invalid(&answer.err().unwrap(), field, violation);
    }
    // It is not read to its end, which is broken.
    let broken = [b"\x0a\x00".repeat(1_000_000).as_slice(), b"\x08"].concat();
    let answer = connection.call(&[], framed(&broken)).await;
    check_invalid(&answer.err().unwrap(), "request", "TOO_MANY_FIELDS");
}

#[tokio::test]
async fn fields_of_a_later_version_are_skipped() {
    let gateway = Gateway::start().await;
    let connection = Connection::open(gateway.grpc()).await;
    let newer = [texts(&["a text"]).encode_to_vec(), b"\xf8\x07\x01".to_vec()].concat();
    let reply = connection.clone().call(&[], framed(&newer)).await.unwrap();
    assert_vectors(&reply, &["a text"]);
    // Nothing known at all is an empty request.
    let other = framed(&ListModelsRequest::default().encode_to_vec());
    check_invalid(&connection.call(&[], other).await.err().unwrap(), "inputs", "EMPTY_LIST");
}

#[tokio::test]
async fn a_malformed_deadline() {
    let gateway = Gateway::start().await;
    let connection = Connection::open(gateway.grpc()).await;
    for timeout in ["", "5", "S", "5s", "-1S", "1.5S", "123456789S", "5 S"] {
        let headers = [("grpc-timeout", timeout)];
        let answer = connection.clone().embed(&headers, &texts(&["a text"])).await;
        check_invalid(&answer.err().unwrap(), "grpc-timeout", "MALFORMED_TIMEOUT");
    }
    assert_eq!(gateway.simulator().calls().len(), 0);
}

#[tokio::test]
async fn a_deadline_that_has_already_passed_costs_nothing() {
    let gateway = Gateway::start().await;
    let connection = Connection::open(gateway.grpc()).await;
    for _ in 0..20 {
        let headers = [("grpc-timeout", "0n")];
        let answer = connection.clone().embed(&headers, &texts(&["a text"])).await;
        let status = answer.err().unwrap();
        assert_eq!(
            (status.code(), reason(&status).as_str()),
            (Code::DeadlineExceeded, "DEADLINE_EXCEEDED")
        );
    }
    assert_eq!(gateway.simulator().calls().len(), 0);
}

#[tokio::test]
async fn what_is_not_grpc() {
    let gateway = Gateway::start().await;
    let connection = Connection::open(gateway.grpc()).await;
    let body = framed(&texts(&["a text"]).encode_to_vec());
    let types = ["application/json", "application/grpc-web", "text/plain"];
    let headers = types.map(|content_type| vec![("content-type", content_type)]);
    for headers in headers.into_iter().chain([Vec::new()]) {
        let reply = connection.clone().send(EMBED, &headers, body.clone()).await;
        assert_eq!(reply.status, StatusCode::UNSUPPORTED_MEDIA_TYPE, "{headers:?}");
        assert!(!reply.headers.contains_key("grpc-status"));
    }
    assert_eq!(gateway.simulator().calls().len(), 0);
}

#[tokio::test]
async fn methods_that_do_not_exist() {
    let gateway = Gateway::start().await;
    let connection = Connection::open(gateway.grpc()).await;
    let paths = ["/voyage.gateway.v1.EmbeddingService/Embedd", "/no.such.Service/Method", "/"];
    for path in paths {
        // Whatever else is wrong, the method comes first.
        let headers = [("content-type", "application/grpc"), ("grpc-timeout", "nonsense")];
        let reply = connection.clone().send(path, &headers, framed(b"")).await;
        assert_eq!(reply.status, StatusCode::OK);
        assert_eq!(reply.grpc_status().code(), Code::Unimplemented, "{path}");
    }
}

#[tokio::test]
async fn requests_may_be_gzipped_and_replies_are_not() {
    let gateway = Gateway::start().await;
    let mut client = gateway
        .client()
        .await
        .send_compressed(CompressionEncoding::Gzip)
        .accept_compressed(CompressionEncoding::Gzip);
    let inputs = ["squeezed ".repeat(1_000)];
    let reply = client.embed(texts(&inputs)).await.unwrap();
    let encoding = reply.metadata().get("grpc-encoding");
    assert!(encoding.is_none_or(|encoding| encoding == "identity"));
    assert_vectors(reply.get_ref(), &inputs);
}

#[tokio::test]
async fn a_gzipped_request_is_bounded_by_what_it_grows_to() {
    let gateway =
        Gateway::with(|config, _| config.server.max_request_bytes = Size::from_kib(64)).await;
    let mut client = gateway.client().await.send_compressed(CompressionEncoding::Gzip);
    let status = client.embed(texts(&["a".repeat(1 << 20)])).await.err().unwrap();
    assert_eq!(
        (status.code(), reason(&status).as_str()),
        (Code::ResourceExhausted, "REQUEST_TOO_LARGE")
    );
    assert_eq!(gateway.simulator().calls().len(), 0);
}
