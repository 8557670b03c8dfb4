//! What is refused before it is a message: spoken in raw HTTP/2, since no gRPC client would say it.

use bytes::{BufMut as _, Bytes, BytesMut};
use http::{HeaderMap, Request, StatusCode};
use prost::Message as _;
use tokio::net::TcpStream;
use tonic::{Code, Status, codec::CompressionEncoding, metadata::MetadataMap};
use voyage_gateway::grpc::v1::{EmbedRequest, ListModelsRequest};

use crate::support::{Gateway, assert_vectors, details, fields, reason, texts};

const EMBED: &str = "/voyage.gateway.v1.EmbeddingService/Embed";

/// Sends one request with these headers and this body; returns the reply's status and headers.
async fn send(
    gateway: &Gateway,
    path: &str,
    headers: &[(&str, &str)],
    body: Bytes,
) -> (StatusCode, HeaderMap) {
    let stream = TcpStream::connect(gateway.grpc()).await.unwrap();
    let (client, connection) = h2::client::handshake(stream).await.unwrap();
    // It ends with its gateway.
    let driver = tokio::spawn(connection);
    let mut request =
        Request::post(format!("http://localhost{path}")).header("te", "trailers").body(()).unwrap();
    for (name, value) in headers {
        let name: http::HeaderName = name.parse().unwrap();
        request.headers_mut().insert(name, value.parse().unwrap());
    }
    let (reply, mut stream) = client.ready().await.unwrap().send_request(request, false).unwrap();
    // Some are refused before their message has come, and then it need not.
    let _ = stream.send_data(body, true);
    let reply = reply.await.unwrap();
    driver.abort();
    (reply.status(), reply.headers().clone())
}

/// Puts gRPC's five bytes before a message.
fn framed(message: &[u8]) -> Bytes {
    let mut frame = BytesMut::new();
    frame.put_u8(0);
    frame.put_u32(u32::try_from(message.len()).unwrap());
    frame.put_slice(message);
    frame.freeze()
}

/// Sends a gRPC request that is refused with headers only, as tonic's servers do.
async fn refused(gateway: &Gateway, headers: &[(&str, &str)], body: Bytes) -> Status {
    let mut all = vec![("content-type", "application/grpc")];
    all.extend(headers);
    let (status, headers) = send(gateway, EMBED, &all, body).await;
    assert_eq!(status, StatusCode::OK);
    assert!(headers.contains_key("x-request-id"));
    Status::from_header_map(&headers).expect("a gRPC status")
}

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
    let bad_utf8 = b"\x0a\x03\xff\xfe\xfd".as_slice();
    let cut_short = b"\x0a\x20abc".as_slice();
    let wrong_type = b"\x08\x01".as_slice();
    for message in [bad_utf8, cut_short, wrong_type] {
        let status = refused(&gateway, &[], framed(message)).await;
        check_invalid(&status, "request", "UNDECODABLE");
    }
    assert_eq!(gateway.simulator().calls().len(), 0);
}

#[tokio::test]
async fn a_malformed_deadline() {
    let gateway = Gateway::start().await;
    let body = framed(&texts(&["a text"]).encode_to_vec());
    for timeout in ["", "5", "S", "5s", "-1S", "1.5S", "123456789S", "5 S"] {
        let status = refused(&gateway, &[("grpc-timeout", timeout)], body.clone()).await;
        check_invalid(&status, "grpc-timeout", "MALFORMED_TIMEOUT");
    }
    assert_eq!(gateway.simulator().calls().len(), 0);
}

#[tokio::test]
async fn a_deadline_that_has_already_passed() {
    let gateway = Gateway::start().await;
    let body = framed(&texts(&["a text"]).encode_to_vec());
    let status = refused(&gateway, &[("grpc-timeout", "0n")], body).await;
    assert_eq!(status.code(), Code::DeadlineExceeded);
    assert_eq!(reason(&status), "DEADLINE_EXCEEDED");
    assert_eq!(gateway.simulator().calls().len(), 0);
}

#[tokio::test]
async fn what_is_not_grpc() {
    let gateway = Gateway::start().await;
    let body = framed(&texts(&["a text"]).encode_to_vec());
    for content_type in ["application/json", "application/grpc-web", "text/plain"] {
        let headers = [("content-type", content_type)];
        let (status, headers) = send(&gateway, EMBED, &headers, body.clone()).await;
        assert_eq!(status, StatusCode::UNSUPPORTED_MEDIA_TYPE, "{content_type}");
        assert!(!headers.contains_key("grpc-status"));
    }
    let (status, _) = send(&gateway, EMBED, &[], body).await;
    assert_eq!(status, StatusCode::UNSUPPORTED_MEDIA_TYPE);
    assert_eq!(gateway.simulator().calls().len(), 0);
}

#[tokio::test]
async fn methods_that_do_not_exist() {
    let gateway = Gateway::start().await;
    let paths = ["/voyage.gateway.v1.EmbeddingService/Embedd", "/no.such.Service/Method", "/"];
    for path in paths {
        // Whatever else is wrong, the method comes first.
        let headers = [("content-type", "application/grpc"), ("grpc-timeout", "nonsense")];
        let (status, headers) = send(&gateway, path, &headers, framed(b"")).await;
        assert_eq!(status, StatusCode::OK);
        let status = Status::from_header_map(&headers).unwrap();
        assert_eq!(status.code(), Code::Unimplemented, "{path}");
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
    let metadata: &MetadataMap = reply.metadata();
    assert!(metadata.get("grpc-encoding").is_none_or(|encoding| encoding == "identity"));
    assert_vectors(reply.get_ref(), &inputs);
}

#[tokio::test]
async fn a_gzipped_request_is_bounded_by_what_it_grows_to() {
    let limit = voyage_gateway::units::Size::from_kib(64);
    let gateway = Gateway::with(|config, _| config.server.max_request_bytes = limit).await;
    let mut client = gateway.client().await.send_compressed(CompressionEncoding::Gzip);
    let status = client.embed(texts(&["a".repeat(1 << 20)])).await.err().unwrap();
    assert_eq!(
        (status.code(), reason(&status).as_str()),
        (Code::ResourceExhausted, "REQUEST_TOO_LARGE")
    );
    assert_eq!(gateway.simulator().calls().len(), 0);
}

#[tokio::test]
async fn a_message_of_another_method_is_read_as_this_one() {
    // protobuf has no names on the wire: fields that are not known are skipped.
    let gateway = Gateway::start().await;
    let body = framed(&ListModelsRequest::default().encode_to_vec());
    let status = refused(&gateway, &[], body).await;
    check_invalid(&status, "inputs", "EMPTY_LIST");
    let unknown = [texts(&["a text"]).encode_to_vec(), b"\xf8\x07\x01".to_vec()].concat();
    assert!(EmbedRequest::decode(unknown.as_slice()).is_ok());
    let headers = [("content-type", "application/grpc")];
    let (_, headers) = send(&gateway, EMBED, &headers, framed(&unknown)).await;
    assert!(Status::from_header_map(&headers).is_none_or(|status| status.code() == Code::Ok));
}
