//! Content type, request id, method, deadline: in this order.

use std::collections::HashSet;

use super::*;

#[tokio::test]
async fn grpc_content_types_come_in() {
    let (edge, _) = edge().await;
    for content_type in [
        "application/grpc",
        "application/grpc+proto",
        "application/grpc;charset=utf-8",
        "application/grpc+proto;charset=utf-8",
        "Application/GRPC",
        "APPLICATION/GRPC+PROTO ; charset=utf-8",
        " application/grpc ",
    ] {
        let request = with(embed(""), "content-type", content_type.as_bytes());
        assert_eq!(call(&edge, request).await.code(), Code::Ok, "{content_type}");
    }
}

#[tokio::test]
async fn other_content_types_are_a_415_without_a_grpc_status() {
    let (edge, metrics) = edge().await;
    for content_type in [
        "application/grpc-web",
        "application/grpc-web+proto",
        "application/grpc-web-text",
        "application/grpcx",
        "application/grpc+json",
        "application/grpc+protobuf",
        "application/grpc+",
        "application/gr",
        "application/json",
        "text/html",
        "application/proto",
        "",
        "\u{e9}",
    ] {
        let request = with(embed(""), "content-type", content_type.as_bytes());
        refused(&edge, request).await;
    }
    let mut none = embed("");
    none.headers_mut().remove("content-type");
    refused(&edge, none).await;
    // Before the method is looked at, and without being an RPC.
    let unknown = with(request("a.B/C", Bytes::new()), "content-type", b"application/json");
    refused(&edge, unknown).await;
    // And before the HTTP method.
    let mut got = with(embed(""), "content-type", b"text/html");
    *got.method_mut() = http::Method::GET;
    refused(&edge, got).await;
    assert_eq!(services::counted(&metrics), []);
}

async fn refused(edge: &Edge, request: Request<Body>) {
    let response = edge.clone().serve(request).await;
    assert_eq!(response.status(), 415);
    assert!(!response.headers().contains_key("grpc-status"));
    let body = response.into_body().collect().await.unwrap();
    assert!(body.trailers().is_none());
    assert_eq!(body.to_bytes(), "");
}

#[tokio::test]
async fn other_methods_of_http_are_a_405_without_a_grpc_status() {
    let (edge, metrics) = edge().await;
    for method in ["GET", "PUT", "HEAD", "CONNECT", "post", "BREW"] {
        let mut request = embed("");
        *request.method_mut() = method.parse().unwrap();
        let response = edge.clone().serve(request).await;
        assert_eq!(response.status(), 405, "{method}");
        assert_eq!(response.headers()["allow"], "POST");
        assert!(!response.headers().contains_key("grpc-status"));
    }
    assert_eq!(services::counted(&metrics), []);
}

#[tokio::test]
async fn an_acceptable_request_id_is_kept() {
    let (edge, _) = edge().await;
    let longest = "i".repeat(128);
    for id in ["x", "0b5b1f44-6a5c-4e0e-8d0c-0a3d2e1f9b7a", "!~{}\"\\", &longest] {
        for model in ["", "full"] {
            let seen = call(&edge, with(embed(model), "x-request-id", id.as_bytes())).await;
            assert_eq!(seen.request_id, id);
        }
    }
}

#[tokio::test]
async fn any_other_request_id_is_replaced() {
    let (edge, _) = edge().await;
    let too_long = "i".repeat(129);
    let mut made = HashSet::new();
    let ids: [&[u8]; 7] =
        [b"", b" ", b"two words", b"tab\t", "\u{e9}".as_bytes(), b"\xff", too_long.as_bytes()];
    for id in ids {
        let seen = call(&edge, with(embed(""), "x-request-id", id)).await;
        assert_eq!(seen.request_id.len(), 32, "{id:?}");
        assert!(seen.request_id.bytes().all(|b| b.is_ascii_hexdigit()), "{id:?}");
        made.insert(seen.request_id);
    }
    made.insert(call(&edge, embed("")).await.request_id);
    assert_eq!(made.len(), 8, "ids are never used twice");
}

#[tokio::test]
async fn every_answer_has_its_request_id_and_errors_tell_it() {
    let (edge, _) = edge().await;
    let malformed = with(embed(""), "grpc-timeout", b"soon");
    for request in [embed("full"), embed("panic"), malformed, request(EMBED, Bytes::new())] {
        let seen = call(&edge, with(request, "x-request-id", b"the-id")).await;
        assert_eq!(seen.request_id, "the-id");
        let info = seen.status.get_details_request_info().unwrap();
        assert_eq!(info.request_id, "the-id", "{}", seen.status);
    }
    let unknown = with(request("a.B/C", Bytes::new()), "x-request-id", b"the-id");
    assert_eq!(call(&edge, unknown).await.request_id, "the-id");
}

#[tokio::test]
async fn the_service_receives_the_request_id() {
    let (edge, _) = edge().await;
    let response = edge.serve(with(embed(""), "x-request-id", b"the-id")).await;
    let body = response.into_body().collect().await.unwrap().to_bytes();
    let reply = crate::grpc::v1::EmbedResponse::decode(&body[5..]).unwrap();
    assert_eq!(reply.model, "the-id");
}

#[tokio::test]
async fn an_unknown_method_beats_a_malformed_timeout() {
    let (edge, _) = edge().await;
    for method in ["a.B/C", "voyage.gateway.v1.EmbeddingService/Nothing", "nothing"] {
        let malformed = with(request(method, Bytes::new()), "grpc-timeout", b"soon");
        for request in [malformed, request(method, Bytes::new())] {
            assert_eq!(call(&edge, request).await.code(), Code::Unimplemented, "{method}");
        }
    }
}

#[tokio::test]
async fn a_malformed_timeout_beats_an_undecodable_message() {
    let (edge, _) = edge().await;
    let request = with(request(EMBED, Bytes::from_static(b"junk")), "grpc-timeout", b"soon");
    let seen = call(&edge, request).await;
    assert_eq!((seen.code(), &*seen.reason()), (Code::InvalidArgument, "INVALID_REQUEST"));
    let bad = seen.status.get_details_bad_request().unwrap();
    assert_eq!(bad.field_violations[0].field, "grpc-timeout");
}

#[test]
fn the_methods_served_are_known_and_no_other() {
    for method in [
        EMBED,
        services::WATCH,
        "voyage.gateway.v1.ModelService/ListModels",
        "voyage.gateway.v1.ModelService/GetGatewayInfo",
        "grpc.health.v1.Health/Check",
        "grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
        "grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
    ] {
        assert_eq!(method_name(&format!("/{method}")), method);
    }
    for path in ["", "/", "/a.B/C", &format!("//{EMBED}"), &format!("/{EMBED}/"), EMBED] {
        assert_eq!(method_name(path), OTHER_METHOD, "{path}");
    }
}
