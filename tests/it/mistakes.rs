//! Debug log lines about callers with the wrong port or protocol, or without a deadline. `tls/mistakes` tests those with
//! wrong TLS.

use bytes::Bytes;
use http::{Method, StatusCode};
use prost::Message as _;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};
use tonic::Code;
use tracing::Level;
use voyage_gateway::units::TimeSpan;

use crate::{
    raw::{Connection, EMBED, framed},
    support::{Gateway, Log, eventually, sample, texts},
};

const BADLY: &str = "handshake failed";
const NOT_GRPC: &str = "request is not gRPC";
const NO_SUCH: &str = "unknown service or method";
const NO_DEADLINE: &str = "call without a deadline";
const NOT_ADMIN: &str = "not found";

/// Checks that a line has these fields and a peer's address.
fn check(line: &Value, expected: &Value) {
    assert_eq!(line["level"], "DEBUG");
    let peer = line["peer"].as_str().unwrap_or_default();
    assert!(peer.starts_with("127.0.0.1:"), "{line}");
    for (name, value) in expected.as_object().unwrap() {
        assert_eq!(&line[name], value, "{name}: {line}");
    }
}

/// Sends bytes, and returns the bytes received until the port closes the connection.
async fn say(gateway: &Gateway, what: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(gateway.grpc()).await.unwrap();
    stream.write_all(what).await.unwrap();
    stream.shutdown().await.unwrap();
    let mut heard = Vec::new();
    let _ = stream.read_to_end(&mut heard).await;
    heard
}

#[tokio::test]
async fn what_is_not_http2() {
    let http1 = "HTTP/1.1 on a gRPC port";
    let unknown = "unknown protocol";
    for (said, problem) in [
        (b"GET /livez HTTP/1.1\r\n\r\n".as_slice(), http1),
        (b"POST /v1/embeddings HTTP/1.1\r\nauthorization: Bearer pa-canary\r\n\r\n", http1),
        (b"OPTIONS / HTTP/1.0\r\n\r\n", http1),
        (b"GE", http1),
        (b"EHLO canary\r\n", unknown),
        (b"\x00\x00\x00\x08canary\x1b[2J", unknown),
        (b"PRI * HTTP/2.0\r\n", "closed within the first bytes"),
    ] {
        let log = Log::from(Level::DEBUG);
        let gateway = Gateway::start().await;
        assert_eq!(say(&gateway, said).await, b"");
        check(&log.line(BADLY).await, &json!({"port": "grpc", "problem": problem}));
        assert!(!log.text().contains("canary"), "{}", log.text());
        let labels = [("port", "grpc"), ("reason", "handshake_error")];
        let metrics = gateway.metrics().await;
        assert_eq!(sample(&metrics, "voyage_gateway_connection_failures_total", &labels), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn an_incomplete_preface() {
    let log = Log::from(Level::DEBUG);
    let gateway = Gateway::start().await;
    let mut stream = TcpStream::connect(gateway.grpc()).await.unwrap();
    stream.write_all(b"PRI").await.unwrap();
    assert_eq!(stream.read(&mut [0]).await.unwrap(), 0);
    let expected = json!({"port": "grpc", "problem": "timeout"});
    check(&log.line(BADLY).await, &expected);
}

#[tokio::test]
async fn tls_to_the_admin_port_gets_an_http_400() {
    let log = Log::from(Level::DEBUG);
    let gateway = Gateway::start().await;
    let mut stream = TcpStream::connect(gateway.admin()).await.unwrap();
    stream.write_all(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03").await.unwrap();
    let mut heard = Vec::new();
    let _ = stream.read_to_end(&mut heard).await;
    assert!(heard.starts_with(b"HTTP/1.1 400 "), "{heard:?}");
    let problem = "TLS on a plaintext port";
    check(&log.line(BADLY).await, &json!({"port": "admin", "problem": problem}));
    let ended = log.line("connection failed").await;
    check(&ended, &json!({"port": "admin", "error": "invalid HTTP method parsed"}));
}

#[tokio::test]
async fn a_peer_that_breaks_http2_is_named() {
    let log = Log::from(Level::DEBUG);
    let gateway = Gateway::start().await;
    // DATA on stream 0, and a GOAWAY before it with words of the peer's own.
    let goaway = b"\x00\x00\x0e\x07\0\0\0\0\0\0\0\0\0\0\0\0\x0bcanary";
    let data = b"\0\0\0\0\0\0\0\0\0";
    let said =
        [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0", goaway.as_slice(), data].concat();
    say(&gateway, &said).await;
    let line = log.line("connection failed").await;
    check(&line, &json!({"port": "grpc"}));
    assert!(line["cause"].is_string(), "{line}");
    let own =
        log.text().lines().filter(|line| line.contains("voyage_gateway::")).collect::<String>();
    assert!(!own.contains("canary"), "{own}");
}

#[tokio::test]
async fn rest_and_grpc_web_over_http2() {
    let endless = format!("text/{}", "x".repeat(500));
    for (method, content_type, path, expected) in [
        (
            Method::POST,
            Some("application/json"),
            "/v1/embeddings?key=canary",
            json!({"http_method": "POST", "path": "/v1/embeddings", "content_type": "application/json", "http_status": 415}),
        ),
        (
            Method::POST,
            Some("application/grpc-web+proto"),
            EMBED,
            json!({"path": EMBED, "content_type": "application/grpc-web+proto", "http_status": 415}),
        ),
        (
            Method::POST,
            Some(&endless),
            "/",
            json!({"content_type": format!("{}...", &endless[..100])}),
        ),
        (Method::POST, Some("a\"b\tc"), "/", json!({"content_type": r#"a\"b\tc"#})),
        (
            Method::GET,
            None,
            "/status",
            json!({"http_method": "GET", "path": "/status", "content_type": null}),
        ),
        (
            Method::GET,
            Some("application/grpc"),
            EMBED,
            json!({"http_method": "GET", "http_status": 405}),
        ),
    ] {
        let log = Log::from(Level::DEBUG);
        let gateway = Gateway::start().await;
        let headers: Vec<_> =
            content_type.map(|value| ("content-type", value)).into_iter().collect();
        let connection = Connection::open(gateway.grpc()).await;
        let reply = connection.request(method, path, &headers, Bytes::new()).await;
        assert!(
            [StatusCode::UNSUPPORTED_MEDIA_TYPE, StatusCode::METHOD_NOT_ALLOWED]
                .contains(&reply.status)
        );
        let line = log.line(NOT_GRPC).await;
        check(&line, &json!({"port": "grpc", "http_status": reply.status.as_u16()}));
        check(&line, &expected);
        assert!(!line.to_string().contains("canary"), "{line}");
    }
}

#[tokio::test]
async fn services_and_methods_that_are_not_there() {
    let log = Log::from(Level::DEBUG);
    let gateway = Gateway::start().await;
    let connection = Connection::open(gateway.grpc()).await;
    let grpc = [("content-type", "application/grpc"), ("te", "trailers"), ("x-request-id", "mine")];
    let endless = format!("/{}", "s/%22".repeat(200));
    for path in ["/voyage.gateway.v1.EmbeddingService/Embark", "/voyage.Embeddings/Embed", &endless]
    {
        let reply = connection.clone().send(path, &grpc, framed(b"")).await;
        assert_eq!(reply.grpc_status().code(), Code::Unimplemented);
        let lines = log.lines(NO_SUCH);
        let line = lines.last().unwrap();
        check(line, &json!({"port": "grpc", "request_id": "mine"}));
        let shown = line["path"].as_str().unwrap();
        let begins = shown.trim_end_matches("...");
        assert!(path.starts_with(begins) && (shown == path || begins.len() == 100), "{line}");
    }
    // A known path has no such line.
    connection.embed(&[], &texts(&["a text"])).await.unwrap();
    assert_eq!(log.lines(NO_SUCH).len(), 3);
}

#[tokio::test]
async fn a_call_at_the_admin_port() {
    let log = Log::from(Level::DEBUG);
    let gateway = Gateway::start().await;
    let grpc = [("content-type", "application/grpc"), ("te", "trailers")];
    let connection = Connection::open(gateway.admin()).await;
    let message = framed(&texts(&["canary"]).encode_to_vec());
    let reply = connection.clone().send(EMBED, &grpc, message).await;
    assert_eq!(reply.grpc_status().code(), Code::Unimplemented);
    let problem = "the RPC is served on the gRPC port";
    check(&log.line(NOT_ADMIN).await, &json!({"port": "admin", "path": EMBED, "problem": problem}));

    assert_eq!(gateway.page("GET", "/v1/models?key=canary").await.0, 404);
    assert_eq!(gateway.page("POST", "/v1/embeddings").await.0, 405);
    assert_eq!(
        connection.send("/x.Y/Z", &grpc, framed(b"")).await.grpc_status().code(),
        Code::Unimplemented
    );
    let lines = log.lines(NOT_ADMIN);
    let reported = |line: &Value| {
        format!("{} {}", line["path"].as_str().unwrap(), line["problem"].as_str().unwrap())
    };
    assert_eq!(
        lines[1..].iter().map(reported).collect::<Vec<_>>(),
        ["/v1/models unknown path", "/v1/embeddings method not allowed", "/x.Y/Z unknown RPC",]
    );
    // A valid RPC has no such line.
    for path in ["/", "/livez", "/readyz", "/metrics", "/status"] {
        assert_eq!(gateway.page("GET", path).await.0, 200);
    }
    assert_eq!(log.lines(NOT_ADMIN).len(), 4);
    assert!(!log.text().contains("canary"), "{}", log.text());
}

#[tokio::test]
async fn no_deadline() {
    let log = Log::from(Level::DEBUG);
    let gateway =
        Gateway::with(|config, _| config.server.default_deadline = TimeSpan::from_secs(20)).await;
    let connection = Connection::open(gateway.grpc()).await;
    let own = [("x-request-id", "mine")];
    connection.clone().embed(&own, &texts(&["a text"])).await.unwrap();
    let line = log.line(NO_DEADLINE).await;
    let expected = json!({
        "port": "grpc", "method": "voyage.gateway.v1.EmbeddingService/Embed", "request_id": "mine",
        "caller": "anonymous", "given_ms": 20_000,
    });
    check(&line, &expected);
    assert!(!log.text().contains("a text"));

    connection.embed(&[("grpc-timeout", "1M")], &texts(&["a text"])).await.unwrap();
    assert_eq!(log.lines(NO_DEADLINE).len(), 1);
}

#[tokio::test]
async fn at_info_there_is_no_line_of_all_this() {
    let log = Log::from(Level::INFO);
    let gateway = Gateway::start().await;
    say(&gateway, b"GET / HTTP/1.1\r\n\r\n").await;
    let connection = Connection::open(gateway.grpc()).await;
    connection.clone().embed(&[], &texts(&["a text"])).await.unwrap();
    let json = [("content-type", "application/json")];
    connection.clone().send("/v1/embeddings", &json, Bytes::new()).await;
    let grpc = [("content-type", "application/grpc")];
    connection.send("/x.Y/Z", &grpc, framed(b"")).await;
    assert_eq!(gateway.page("GET", "/nothing").await.0, 404);
    eventually(async || {
        let labels = [("port", "grpc"), ("reason", "handshake_error")];
        sample(&gateway.metrics().await, "voyage_gateway_connection_failures_total", &labels) == 1
    })
    .await;
    for message in [BADLY, NOT_GRPC, NO_SUCH, NO_DEADLINE, NOT_ADMIN] {
        assert_eq!(log.lines(message), [] as [Value; 0]);
    }
}
