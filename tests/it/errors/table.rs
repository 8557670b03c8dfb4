//! Rows 1 to 29 of the error table: every status Voyage can answer, and every way a 200 can be none.

use tonic::Code::{
    Aborted, FailedPrecondition, Internal, InvalidArgument, NotFound, PermissionDenied,
    ResourceExhausted, Unauthenticated, Unavailable, Unknown,
};
use voyage_gateway::simulator::Fault;

use super::{NOT_FOR_CALLERS, Row, status, walk};
use crate::support::{Gateway, KEY, StoppedClock, assert_vectors, metadata, numbered, texts};

#[tokio::test]
async fn bad_requests() {
    let invalid = |detail: &str| {
        Row::new(
            Fault::status(400).with_detail(detail),
            InvalidArgument,
            "UPSTREAM_INVALID_REQUEST",
        )
    };
    let too_many_tokens = "Request to model 'voyage-4' failed. The max allowed tokens per submitted batch is \
        320000. Your batch has 400123 tokens after truncation. Please lower the number of tokens in the batch.";
    walk(vec![
        // 1
        invalid("Something that is new."),
        invalid("Argument 'zzz' is not supported by our API").blames("request"),
        invalid("Error for argument 'input': Value error, Input cannot contain empty strings or empty lists")
            .blames("inputs"),
        invalid("Value 'x' supplied for argument 'output_dtype' is not valid").blames("output_dtype"),
        Row::new(
            Fault::status(422).with_detail("Unprocessable"),
            InvalidArgument,
            "UPSTREAM_INVALID_REQUEST",
        ),
        Row::new(html(400), InvalidArgument, "UPSTREAM_INVALID_REQUEST"),
        // 2
        Row::new(
            Fault::status(400).with_detail(too_many_tokens),
            InvalidArgument,
            "TOO_MANY_TOKENS",
        )
        .says("limit", "320000")
        .says("actual", "400123"),
        // 3
        Row::new(Fault::TooLong, InvalidArgument, "INPUT_TOO_LONG")
            .blames("inputs[0]")
            .says("limit", "32000"),
        // 4
        Row::new(
            Fault::status(400).with_detail("Model voyage-4 is not supported. Supported models are ['x']."),
            InvalidArgument,
            "MODEL_NOT_SUPPORTED",
        )
        .blames("model"),
        Row::new(status(410), InvalidArgument, "MODEL_NOT_SUPPORTED").blames("model"),
        // 12
        Row::new(status(413), InvalidArgument, "UPSTREAM_PAYLOAD_TOO_LARGE").says("requestBytes", "*"),
    ])
    .await;
}

/// A reply as a proxy words it.
fn html(status: u16) -> Fault {
    Fault::Status {
        status,
        headers: vec![("content-type".to_owned(), "text/html".to_owned())],
        body: format!("<html>{NOT_FOR_CALLERS}</html>"),
    }
}

#[tokio::test]
async fn refusals() {
    walk(vec![
        // 5
        Row::new(status(401), Unauthenticated, "UPSTREAM_UNAUTHENTICATED")
            .says("credential", "gateway")
            .says("keyAlias", "default")
            .helps(),
        // 6
        Row::new(status(403), PermissionDenied, "UPSTREAM_FORBIDDEN").helps(),
        // 7
        Row::new(status(402), FailedPrecondition, "UPSTREAM_PAYMENT_REQUIRED").helps(),
        // 8
        Row::new(status(404), NotFound, "UPSTREAM_NOT_FOUND").says("baseUrl", "127.0.0.1"),
        Row::new(status(405), NotFound, "UPSTREAM_NOT_FOUND").says("baseUrl", "127.0.0.1"),
        // 11
        Row::new(status(409), Aborted, "UPSTREAM_UNEXPECTED_STATUS"),
    ])
    .await;
}

#[tokio::test]
async fn rate_limits() {
    let limited = |fault| Row::new(fault, ResourceExhausted, "UPSTREAM_RATE_LIMITED").quota();
    let free = "You have not yet added your payment method in the billing page and will have reduced rate \
        limits of 3 RPM and 10K TPM.";
    let after = |value| status(429).with_header("retry-after", value);
    let _stopped = StoppedClock::new();
    walk(vec![
        // 13: callers that cannot wait get the error at once.
        limited(status(429)).retry_within(0..=2).impatient(),
        limited(html(429)).retry_within(0..=2).impatient(),
        limited(Fault::status(429).with_detail(free))
            .retry_within(0..=60)
            .says("tier", "free")
            .impatient(),
        limited(after("45")).retry_within(31..=45),
        limited(after("86400")).retry_within(31..=60),
        limited(after("soon")).retry_within(0..=2).impatient(),
        limited(
            after("Wed, 21 Oct 2026 07:28:45 GMT")
                .with_header("date", "Wed, 21 Oct 2026 07:28:00 GMT"),
        )
        .retry_within(31..=45),
        // A caller that can wait gets three attempts.
        limited(after("0")).retry(0).attempts(3),
    ])
    .await;
}

#[tokio::test]
async fn a_rate_limit_that_ends_in_time_is_waited_for() {
    let gateway = Gateway::start().await;
    gateway.simulator().script().next_calls(1, status(429));
    let reply = gateway.embed(texts(&["a text"])).await.unwrap().into_inner();
    assert_vectors(&reply, &["a text"]);
    assert_eq!(reply.usage.unwrap().upstream_requests, 2);
}

#[tokio::test]
async fn server_errors() {
    let row = |fault, reason| Row::new(fault, Unavailable, reason).retry(1).attempts(3);
    // The caller's deadline is before Voyage's Retry-After: no attempt after the first.
    let later = |fault: Fault, reason| {
        row(fault.with_header("retry-after", "45"), reason).retry(45).attempts(1)
    };
    let mut rows = vec![
        row(html(500), "UPSTREAM_SERVER_ERROR"),
        row(html(502), "UPSTREAM_UNAVAILABLE"),
        later(status(503), "UPSTREAM_UNAVAILABLE"),
        later(status(500), "UPSTREAM_SERVER_ERROR"),
    ];
    // 14
    rows.extend(
        [500, 506, 507, 508, 511, 528, 599].map(|n| row(status(n), "UPSTREAM_SERVER_ERROR")),
    );
    // 10, 15, 16
    let unavailable = [408, 425, 502, 503, 504].into_iter().chain(520..=527).chain([529, 530]);
    rows.extend(unavailable.map(|n| row(status(n), "UPSTREAM_UNAVAILABLE")));
    walk(rows).await;
}

#[tokio::test]
async fn statuses_that_mean_nothing_here() {
    let row = |n, code| Row::new(status(n), code, "UPSTREAM_UNEXPECTED_STATUS");
    let mut rows = Vec::new();
    // 9, 17
    rows.extend([406, 411, 415, 431, 501, 505].map(|n| row(n, Internal)));
    // 18
    rows.extend([300, 304].map(|n| row(n, Internal)));
    rows.extend([301, 302, 303, 307, 308].map(|n| {
        let fault = status(n).with_header("location", "https://elsewhere.example/v1/embeddings");
        Row::new(fault, Internal, "UPSTREAM_UNEXPECTED_STATUS")
            .says("location", "elsewhere.example")
    }));
    // 19
    rows.extend([201, 202, 204, 206, 299, 407, 412, 418, 451, 499].map(|n| row(n, Unknown)));
    walk(rows).await;
}

#[tokio::test]
async fn answers_that_are_none() {
    let once =
        |fault| Row::new(fault, Internal, "UPSTREAM_BAD_RESPONSE").says("why", "*").with_inputs(2);
    let bad = |fault| once(fault).attempts(2);
    let counted = |fault, expected, got| bad(fault).says("expected", expected).says("got", got);
    walk(vec![
        // 25
        Row::new(Fault::CutBody, Unavailable, "UPSTREAM_CONNECT_FAILED").retry(1).attempts(3),
        // 26
        bad(Fault::HtmlBody),
        bad(Fault::BadJson),
        bad(Fault::InvalidUtf8),
        bad(Fault::WrongType),
        // As much would come again.
        once(Fault::HugeBody(8 << 20)),
        // 27
        counted(Fault::WrongCount(1), "2", "3"),
        counted(Fault::WrongCount(-1), "2", "1"),
        counted(Fault::WrongCount(-2), "2", "0"),
        counted(Fault::DuplicateIndex, "2", "0"),
        counted(Fault::IndexOutOfRange, "2", "2"),
        bad(Fault::MissingIndex),
        // 28
        counted(Fault::WrongLength, "4096", "4092"),
        counted(Fault::EmptyEmbedding, "4096", "0"),
        bad(Fault::NotANumber),
        bad(Fault::Infinite),
        bad(Fault::BadBase64),
    ])
    .await;
}

#[tokio::test]
async fn answers_that_only_look_odd() {
    let gateway = Gateway::start().await;
    let drip = Fault::SlowDrip { chunk: 4096, pause: std::time::Duration::from_millis(1) };
    let faults = [
        (Fault::ShuffledIndex, false),
        (Fault::FloatLists, false),
        (drip, false),
        (Fault::HugeBody(64 * 1024), false),
        // 29
        (Fault::NoUsage, true),
    ];
    for (number, (fault, estimated)) in faults.into_iter().enumerate() {
        gateway.simulator().script().clear();
        gateway.simulator().script().always(fault);
        let inputs = numbered(number * 10..number * 10 + 4);
        let reply = gateway.embed(texts(&inputs)).await.unwrap().into_inner();
        assert_vectors(&reply, &inputs);
        let usage = reply.usage.unwrap();
        assert_eq!(usage.estimated, estimated);
        assert!(usage.total_tokens > 0);
    }
}

#[tokio::test]
async fn voyages_words_about_a_bad_request_reach_the_caller_without_the_key() {
    let gateway = Gateway::start().await;
    let detail = format!("The key {KEY} may not\nask for\tthis. {}", "é".repeat(2_000));
    gateway.simulator().script().always(Fault::status(400).with_detail(&detail));
    let status = gateway.embed(texts(&["a text"])).await.err().unwrap();
    assert!(status.message().contains("The key [redacted] may not ask for this. é"));
    assert!(status.message().len() < 600);
    assert!(!format!("{status:?}").contains(KEY));
}

#[tokio::test]
async fn a_row_names_the_requested_model() {
    let gateway = Gateway::start().await;
    gateway.simulator().script().always(status(400));
    let request = voyage_gateway::grpc::v1::EmbedRequest {
        model: "voyage-code-3".to_owned(),
        ..texts(&["a text"])
    };
    let status = gateway.embed(request).await.err().unwrap();
    assert_eq!(metadata(&status, "model").as_deref(), Some("voyage-code-3"));
}
