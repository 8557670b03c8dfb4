//! Everything that can go wrong on the way, over plain HTTP.

use std::net::TcpListener;

use super::*;

/// The client's failure after these bytes and the end of the connection.
async fn fault(reply: Vec<u8>, end: End) -> (Fault, Option<u16>) {
    let server = Server::start(reply, end);
    let failure = failure(&config(&server.url("http"))).await;
    assert!(!server.was_called_again(), "only the dispatch repeats calls");
    (failure.fault.clone(), failure.status)
}

/// The same with a client that soon loses patience.
async fn fault_of_a_slow(reply: Vec<u8>) -> (Fault, Option<u16>) {
    let server = Server::start(reply, End::Hang);
    let config = Config { attempt_timeout: TimeSpan::from_secs(1), ..config(&server.url("http")) };
    let failure = failure(&config).await;
    (failure.fault.clone(), failure.status)
}

fn bad(why: &'static str) -> Fault {
    Fault::BadResponse(BadResponse { why, expected: None, got: None })
}

const TOO_LONG: &str = "the body is longer than any answer to the request";
const NOT_JSON: &str = "the body is not the documented JSON";

#[tokio::test]
async fn a_failure_knows_the_call_it_happened_in() {
    let server = Server::start(http("401 Unauthorized\r\nx-request-id: the-id", ""), End::Close);
    let failure = failure(&config(&server.url("http"))).await;
    let expected = Failure {
        fault: Fault::Unauthenticated,
        endpoint: Endpoint::Embeddings,
        model: "model-of-tomorrow".into(),
        status: Some(401),
        attempts: 1,
        request_id: Some("the-id".into()),
        key: "default".into(),
        tokens: 0,
    };
    assert_eq!(*failure, expected);
}

#[tokio::test]
async fn a_refusal_is_classified_by_status_headers_and_body() {
    let detail = format!(r#"{{"detail":"Your key {KEY} is odd."}}"#);
    let invalid = Fault::InvalidRequest {
        detail: Some("Your key [redacted] is odd.".to_owned()),
        field: None,
    };
    assert_eq!(fault(http("400 Bad Request", detail), End::Close).await, (invalid, Some(400)));

    let limited = http("429 Too Many\r\nretry-after: 7", "");
    let retry_after = Some(Duration::from_secs(7));
    let expected = Fault::RateLimited { retry_after, free_tier: false };
    assert_eq!(fault(limited, End::Close).await, (expected, Some(429)));

    let request_bytes = {
        let server = Server::start(http("200 OK", BODY), End::Close);
        ask(&client(&config(&server.url("http")))).await.unwrap();
        server.request().await.split_once("\r\n\r\n").unwrap().1.len() as u64
    };
    let expected = Fault::PayloadTooLarge { request_bytes };
    assert_eq!(fault(http("413 Too Large", ""), End::Close).await, (expected, Some(413)));

    let host = Some("127.0.0.1".to_owned());
    let expected = Fault::NotFound { host };
    assert_eq!(fault(http("404 Not Found", ""), End::Close).await, (expected, Some(404)));
}

#[tokio::test]
async fn the_status_of_a_refusal_decides_even_when_its_body_does_not_arrive() {
    let cut = b"HTTP/1.1 503 Busy\r\ncontent-length: 100\r\n\r\n{".to_vec();
    let unavailable = (Fault::Unavailable { retry_after: None }, Some(503));
    assert_eq!(fault(cut.clone(), End::Close).await, unavailable);
    assert_eq!(fault(cut.clone(), End::Reset).await, unavailable);
    assert_eq!(fault_of_a_slow(cut).await, unavailable);
}

#[tokio::test]
async fn the_body_of_a_refusal_is_read_16_kib_far() {
    let of = |padding: usize| {
        let body = format!(r#"{{"detail":"long","more":"{}"}}"#, "x".repeat(padding));
        fault(http("400 Bad Request", body), End::Close)
    };
    let frame = r#"{"detail":"long","more":""}"#.len();
    let invalid = |detail: Option<&str>| {
        (Fault::InvalidRequest { detail: detail.map(str::to_owned), field: None }, Some(400))
    };
    assert_eq!(of(16 * 1024 - frame).await, invalid(Some("long")));
    assert_eq!(of(16 * 1024 - frame + 1).await, invalid(None));
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    for status in [301, 302, 303, 307, 308] {
        let elsewhere = Server::start(http("200 OK", BODY), End::Close);
        let head = format!("{status} Moved\r\nlocation: {}", elsewhere.url("http"));
        let expected = Fault::Redirect { location: Some("127.0.0.1".to_owned()) };
        let answer = fault(http(&head, ""), End::Close).await;
        assert_eq!(answer, (expected, Some(status)));
        assert!(!elsewhere.was_called_again(), "the key travelled");
        assert!(!elsewhere.is_done(), "the key travelled");
    }
}

#[tokio::test]
async fn an_answer_that_does_not_come_is_a_timeout() {
    assert_eq!(fault_of_a_slow(Vec::new()).await, (Fault::Timeout, None));
}

#[tokio::test]
async fn a_body_that_does_not_end_is_a_timeout() {
    let half = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{{", BODY.len());
    assert_eq!(fault_of_a_slow(half.into()).await, (Fault::Timeout, Some(200)));
}

#[tokio::test]
async fn a_body_longer_than_any_answer_is_not_read_to_its_end() {
    // One float takes no mebibyte, however it is written.
    let long = format!("{BODY}{}", " ".repeat(2 << 20));
    let announced = http("200 OK", &long);
    assert_eq!(fault(announced, End::Close).await, (bad(TOO_LONG), Some(200)));
    let endless = format!("HTTP/1.1 200 OK\r\n\r\n{long}");
    assert_eq!(fault(endless.into(), End::Hang).await, (bad(TOO_LONG), Some(200)));
    let padded = format!("{BODY}{}", " ".repeat(1 << 20));
    let server = Server::start(http("200 OK", padded), End::Close);
    assert!(ask(&client(&config(&server.url("http")))).await.is_ok());
}

#[tokio::test]
async fn a_closed_port_is_a_failed_connection() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let failure = failure(&config(&format!("http://{free}/v1"))).await;
    assert_eq!((&failure.fault, failure.status), (&Fault::ConnectFailed, None));
    assert_eq!(failure.request_id, None);
}

#[tokio::test]
async fn a_host_without_an_address_is_a_failed_connection() {
    let failure = failure(&config("http://voyage.invalid/v1")).await;
    // A proxy of the environment would answer in its place.
    if failure.status.is_none() {
        assert_eq!(failure.fault, Fault::ConnectFailed);
    }
}

#[tokio::test]
async fn a_connection_cut_before_the_answer_is_a_lost_one() {
    for end in [End::Close, End::Reset] {
        assert_eq!(fault(Vec::new(), end).await, (Fault::ConnectionLost, None), "{end:?}");
        let half = b"HTTP/1.1 200 OK\r\ncontent-".to_vec();
        assert_eq!(fault(half, end).await, (Fault::ConnectionLost, None), "{end:?}");
    }
}

#[tokio::test]
async fn a_connection_cut_within_the_body_is_a_failed_connection() {
    let announced = format!("HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n{BODY}");
    let chunked = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\n{\"dat\r\n";
    for end in [End::Close, End::Reset] {
        for cut in [announced.as_str(), chunked] {
            let fault = fault(cut.into(), end).await;
            assert_eq!(fault, (Fault::ConnectFailed, Some(200)), "{end:?}");
        }
    }
}

#[tokio::test]
async fn what_is_no_http_is_a_failed_connection() {
    let greeting = b"220 mail.example ESMTP\r\n".to_vec();
    assert_eq!(fault(greeting, End::Close).await, (Fault::ConnectFailed, None));
}

#[tokio::test]
async fn a_200_that_is_not_the_answer_is_a_bad_response() {
    let page = http("200 OK\r\ncontent-type: text/html", "<html><body>Welcome</body></html>");
    assert_eq!(fault(page, End::Close).await, (bad(NOT_JSON), Some(200)));
    assert_eq!(fault(http("200 OK", ""), End::Close).await, (bad(NOT_JSON), Some(200)));
    // Compression was not asked for.
    let gzip = http("200 OK\r\ncontent-encoding: gzip", b"\x1f\x8b\x08\0\0\0\0\0\0\x03");
    assert_eq!(fault(gzip, End::Close).await, (bad(NOT_JSON), Some(200)));
    let two = r#"{"data":[{"embedding":"AACAPw==","index":0},{"embedding":"AACAPw==","index":1}]}"#;
    let expected = Fault::BadResponse(BadResponse {
        why: "the number of answers",
        expected: Some(1),
        got: Some(2),
    });
    assert_eq!(fault(http("200 OK", two), End::Close).await, (expected, Some(200)));
}

#[tokio::test]
async fn another_2xx_is_unexpected_even_with_an_answer() {
    let created = http("201 Created", BODY);
    assert_eq!(fault(created, End::Close).await, (Fault::UnexpectedStatus, Some(201)));
}

#[tokio::test]
async fn no_failure_contains_the_key_or_the_text() {
    for (reply, end) in [
        (http("401 Unauthorized", format!(r#"{{"detail":"{KEY} hi"}}"#)), End::Close),
        (http("500 Oops", format!("{KEY} hi")), End::Close),
        (http("200 OK", format!("{KEY} hi")), End::Close),
        (Vec::new(), End::Reset),
    ] {
        let server = Server::start(reply, end);
        let error = ask(&client(&config(&server.url("http")))).await.unwrap_err();
        let shown = format!("{error} {error:?}");
        assert!(!shown.contains("canary") && !shown.contains("hi\""), "{shown}");
    }
}
