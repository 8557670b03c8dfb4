//! Replies that are replies.

use super::*;

fn floats(reply: &Reply) -> Vec<f32> {
    reply
        .answers
        .iter()
        .map(|answer| {
            let Answer::Vector(vector) = answer else { panic!("no vector: {answer:?}") };
            f32::from_le_bytes(vector.bytes()[..].try_into().unwrap())
        })
        .collect()
}

async fn reply_to(bytes: Vec<u8>) -> Reply {
    let server = Server::start(bytes, End::Close);
    ask(&client(&config(&server.url("http")))).await.unwrap()
}

#[tokio::test]
async fn a_reply_is_its_vectors_tokens_id_and_warning() {
    let head = "200 OK\r\nx-request-id: the-id\r\nx-api-warning: No payment method.";
    let reply = reply_to(http(head, BODY)).await;
    assert_eq!(floats(&reply), [1.0]);
    assert_eq!(reply.usage, Some(Usage::of_tokens(8)));
    assert_eq!(reply.request_id.as_deref(), Some("the-id"));
    assert_eq!(reply.warning.as_deref(), Some("No payment method."));

    let plain = reply_to(http("200 OK", BODY)).await;
    assert_eq!((plain.request_id, plain.warning), (None, None));
}

#[tokio::test]
async fn a_chunked_reply_is_read() {
    let (first, second) = BODY.split_at(20);
    let chunks = format!(
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n{:x}\r\n{first}\r\n{:x};x=y\r\n{second}\r\n0\r\n\r\n",
        first.len(),
        second.len(),
    );
    assert_eq!(floats(&reply_to(chunks.into()).await), [1.0]);
}

#[tokio::test]
async fn a_reply_that_ends_with_its_connection_is_read() {
    let bytes = format!("HTTP/1.1 200 OK\r\n\r\n{BODY}");
    assert_eq!(floats(&reply_to(bytes.into()).await), [1.0]);
}

#[tokio::test]
async fn headers_that_are_passed_on_hold_no_key_and_are_short() {
    let long = "x".repeat(4000);
    let head = format!("200 OK\r\nx-request-id: {long}\r\nx-api-warning: {KEY} is free");
    let reply = reply_to(http(&head, BODY)).await;
    assert_eq!(reply.request_id.unwrap().len(), 512);
    assert_eq!(reply.warning.as_deref(), Some("[redacted] is free"));
}

#[tokio::test]
async fn calls_are_counted_by_status() {
    let metrics = Metrics::new().unwrap();
    for (bytes, status) in
        [(http("200 OK", BODY), "200"), (http("503 Busy", ""), "503"), (vec![], "none")]
    {
        let server = Server::start(bytes, End::Close);
        let config = config(&server.url("http"));
        let client = client_with(&config, &metrics);
        assert_eq!(ask(&client).await.is_ok(), status == "200");
        let rendered = metrics.render().unwrap();
        let counted = rendered.lines().any(|line| {
            line.starts_with("voyage_gateway_upstream_calls_total{")
                && line.contains(&format!("status=\"{status}\""))
                && line.contains("model=\"_other\"")
                && line.ends_with("} 1")
        });
        assert!(counted, "{status}: {rendered}");
    }
}
