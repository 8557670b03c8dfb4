//! `allow_partial`: an invalid input fails neither other inputs nor other callers.

use tonic::Code;
use voyage_gateway::{
    grpc::v1::{CacheMode, CacheStatus, EmbedRequest, EmbedResponse, ItemError},
    simulator::{Fault, Shape, vector},
    units::TimeSpan,
};

use crate::support::{
    Gateway, USUAL, assert_vectors, eventually, fields, in_mode, numbered, partial, pass, reason,
    texts,
};

/// Longer than the context of voyage-4: every mark is a token.
fn too_long(mark: &str) -> String {
    mark.repeat(32_001)
}

fn uncut(request: EmbedRequest) -> EmbedRequest {
    EmbedRequest { truncation: Some(false), ..request }
}

/// Checks the vectors that are there, in order, and returns their places.
fn places(reply: &EmbedResponse, inputs: &[impl AsRef<str>]) -> Vec<usize> {
    let place = |index: i32| usize::try_from(index).unwrap();
    for embedding in &reply.embeddings {
        let text = inputs[place(embedding.index)].as_ref();
        assert!(embedding.values == vector(text, &USUAL), "vector {}", embedding.index);
    }
    reply.embeddings.iter().map(|embedding| place(embedding.index)).collect()
}

fn check(error: &ItemError, index: i32, code: Code, reason: &str) {
    assert_eq!((error.index, error.code, error.reason.as_str()), (index, code as i32, reason));
    assert!(!error.message.is_empty());
}

#[tokio::test]
async fn an_input_that_is_too_long_fails_alone() {
    let gateway = Gateway::start().await;
    gateway.embed(uncut(texts(&["hit one", "hit two"]))).await.unwrap();
    let (first, second) = (too_long("!"), too_long("?"));
    // The hits, and the duplicate, make the caller's indices differ from Voyage's.
    let inputs = ["hit one", "hit two", "new", &first, "newer", &second, "new", &first, "newest"];
    let reply = gateway.embed(uncut(partial(texts(&inputs)))).await.unwrap().into_inner();

    assert_eq!(places(&reply, &inputs), [0, 1, 2, 4, 6, 8]);
    assert_eq!(reply.errors.len(), 3);
    for (error, index) in reply.errors.iter().zip([3, 5, 7]) {
        check(error, index, Code::InvalidArgument, "INPUT_TOO_LONG");
        assert!(error.message.contains(&format!("inputs[{index}]")));
        assert_eq!(error.retry_delay, None);
    }
    // Each bad one costs one refused call; the rest is sent together, and once.
    let statuses: Vec<_> =
        gateway.simulator().calls().iter().skip(1).map(|call| call.status).collect();
    assert_eq!(statuses, [Some(400), Some(400), Some(200)]);
    assert_eq!(gateway.sent()[3], ["new", "newer", "newest"]);
    let usage = reply.usage.unwrap();
    assert_eq!((usage.upstream_requests, usage.estimated), (3, false));

    let again = gateway.embed(uncut(partial(texts(&inputs)))).await.unwrap().into_inner();
    assert_eq!(again.cache.unwrap().hits, 6, "the good ones are cached");
    assert_eq!(again.errors.len(), 3, "the bad ones are not");
}

#[tokio::test]
async fn without_allow_partial_the_call_fails_and_names_the_input() {
    let gateway = Gateway::start().await;
    gateway.embed(uncut(texts(&["hit"]))).await.unwrap();
    let long = too_long("!");
    let inputs = ["hit", "new", &long, "newer"];
    let status = gateway.embed(uncut(texts(&inputs))).await.err().unwrap();
    assert_eq!(status.code(), Code::InvalidArgument);
    assert_eq!(reason(&status), "INPUT_TOO_LONG");
    assert_eq!(fields(&status), ["inputs[2]"]);
    assert!(status.message().contains("inputs[2]"));

    // The other inputs were the same caller's and have no waiter: they are not sent.
    let good = ["hit", "new", "newer"];
    let reply = gateway.embed(uncut(texts(&good))).await.unwrap().into_inner();
    assert_vectors(&reply, &good);
    let mut paid: Vec<String> = gateway
        .simulator()
        .calls()
        .into_iter()
        .filter(|call| call.tokens > 0)
        .flat_map(|call| call.inputs)
        .collect();
    paid.sort_unstable();
    assert_eq!(paid, ["hit", "new", "newer"], "each good text is paid for once");
}

#[tokio::test]
async fn an_empty_text_fails_alone_and_is_not_sent() {
    let gateway = Gateway::start().await;
    let inputs = ["", "a", "", "b"];
    let reply = gateway.embed(partial(texts(&inputs))).await.unwrap().into_inner();
    assert_eq!(places(&reply, &inputs), [1, 3]);
    assert_eq!(reply.errors.len(), 2);
    check(&reply.errors[0], 0, Code::InvalidArgument, "INVALID_REQUEST");
    check(&reply.errors[1], 2, Code::InvalidArgument, "INVALID_REQUEST");
    assert_eq!(gateway.sent(), [["a", "b"]]);
}

#[tokio::test]
async fn a_call_whose_inputs_all_fail_succeeds() {
    let gateway = Gateway::start().await;
    let reply = gateway.embed(partial(texts(&["", ""]))).await.unwrap().into_inner();
    assert_eq!((reply.embeddings.len(), reply.errors.len(), reply.dimension), (0, 2, 0));
    assert_eq!(gateway.simulator().calls().len(), 0);

    gateway.simulator().script().always(Fault::status(503));
    let reply = gateway.embed(partial(texts(&["a", "b"]))).await.unwrap().into_inner();
    assert!(reply.embeddings.is_empty());
    for (error, index) in reply.errors.iter().zip(0..) {
        check(error, index, Code::Unavailable, "UPSTREAM_UNAVAILABLE");
        assert_eq!(error.retry_delay.as_ref().unwrap().seconds, 1);
    }
    assert_eq!(reply.errors.len(), 2);
}

#[tokio::test]
async fn other_fields_fail_the_call_even_so() {
    let gateway = Gateway::start().await;
    let request = EmbedRequest { output_dimension: 7, ..partial(texts(&["a", ""])) };
    let status = gateway.embed(request).await.err().unwrap();
    assert_eq!(fields(&status), ["output_dimension"]);
}

#[tokio::test]
async fn a_failed_call_fails_its_own_inputs_only() {
    // 1,001 inputs are two calls, of which one meets a fault.
    let gateway = Gateway::start().await;
    let inputs = numbered(0..1_001);
    gateway.simulator().script().on_text(&inputs[1_000], Fault::status(500));
    let request = EmbedRequest { output_dimension: 256, ..partial(texts(&inputs)) };
    let reply = gateway.embed(request).await.unwrap().into_inner();
    assert_eq!(reply.embeddings.len(), 1_000);
    let shape = Shape { dimension: 256, ..USUAL };
    for (embedding, text) in reply.embeddings.iter().zip(&inputs) {
        assert!(embedding.values == vector(text, &shape));
    }
    assert_eq!(reply.errors.len(), 1);
    check(&reply.errors[0], 1_000, Code::Unavailable, "UPSTREAM_SERVER_ERROR");
}

const DEADLINE: TimeSpan = TimeSpan::from_secs(60);

#[tokio::test]
async fn at_the_deadline_the_answer_is_what_is_there() {
    let gateway = Gateway::with(|config, simulator| {
        config.batch.max_inputs = 2;
        config.server.default_deadline = DEADLINE;
        config.upstream.attempt_timeout = DEADLINE;
        simulator.script.on_text("c", Fault::Hang);
    })
    .await;
    let inputs = ["a", "b", "c", "d", "e"];
    let call = gateway.spawn(partial(texts(&inputs))).await;
    let answered = in_mode(texts(&["a", "b", "e"]), CacheMode::OnlyIfCached);
    eventually(async || gateway.embed(answered.clone()).await.is_ok()).await;
    pass(DEADLINE.get()).await;
    let reply = call.await.unwrap().unwrap().into_inner();
    assert_eq!(places(&reply, &inputs), [0, 1, 4]);
    assert_eq!(reply.errors.len(), 2);
    check(&reply.errors[0], 2, Code::DeadlineExceeded, "DEADLINE_EXCEEDED");
    check(&reply.errors[1], 3, Code::DeadlineExceeded, "DEADLINE_EXCEEDED");
}

#[tokio::test]
async fn a_bad_input_does_not_fail_another_caller() {
    let gateway = Gateway::holding(|_, _| ()).await;
    let long = too_long("!");
    let bad = gateway.spawn(uncut(texts(&["shared", &long]))).await;
    gateway.until_calls(1).await;
    let good = gateway.spawn(uncut(texts(&["own", "shared"]))).await;
    gateway.until_in_flight(2).await;
    gateway.release();

    assert_eq!(fields(&bad.await.unwrap().err().unwrap()), ["inputs[1]"]);
    let reply = good.await.unwrap().unwrap().into_inner();
    assert_vectors(&reply, &["own", "shared"]);
    let cached = uncut(in_mode(texts(&["own", "shared"]), CacheMode::OnlyIfCached));
    assert_vectors(gateway.embed(cached).await.unwrap().get_ref(), &["own", "shared"]);
}

#[tokio::test]
async fn joiners_of_a_bad_input_each_get_their_own_index() {
    let gateway = Gateway::holding(|_, _| ()).await;
    let long = too_long("!");
    let first = gateway.spawn(uncut(texts(&[&long]))).await;
    gateway.until_calls(1).await;
    let inputs = ["a", "b", &long];
    let second = gateway.spawn(uncut(partial(texts(&inputs)))).await;
    gateway.until_in_flight(2).await;
    gateway.release();

    assert_eq!(fields(&first.await.unwrap().err().unwrap()), ["inputs[0]"]);
    let reply = second.await.unwrap().unwrap().into_inner();
    assert_eq!(places(&reply, &inputs), [0, 1]);
    check(&reply.errors[0], 2, Code::InvalidArgument, "INPUT_TOO_LONG");
    assert!(reply.errors[0].message.contains("inputs[2]"));
}

#[tokio::test]
async fn a_refusal_that_names_no_input_is_bisected() {
    let gateway = Gateway::start().await;
    gateway.simulator().script().on_text("guilty", Fault::status(400).with_detail("One of them."));
    let mut inputs = numbered(0..16);
    inputs[11] = "guilty".to_owned();
    let reply = gateway.embed(partial(texts(&inputs))).await.unwrap().into_inner();
    let good: Vec<usize> = (0..16).filter(|place| *place != 11).collect();
    assert_eq!(places(&reply, &inputs), good);
    check(&reply.errors[0], 11, Code::InvalidArgument, "UPSTREAM_INVALID_REQUEST");
    assert_eq!(reply.errors.len(), 1);
    let calls = gateway.simulator().calls();
    let refused = calls.iter().filter(|call| call.status == Some(400)).count();
    assert!(refused <= 5, "log2 of 16, and one: {refused}");
    assert!(reply.embeddings.iter().all(|e| e.cache_status() == CacheStatus::Miss));
}

#[tokio::test]
async fn a_refusal_of_the_whole_request_is_not_taken_apart() {
    let about = |detail: &str| Fault::status(400).with_detail(detail);
    let cases = [
        (about("Model voyage-4 is not supported."), "MODEL_NOT_SUPPORTED"),
        (about("Argument 'zzz' is not supported by our API"), "UPSTREAM_INVALID_REQUEST"),
        (about("Error for argument 'truncation': no"), "UPSTREAM_INVALID_REQUEST"),
    ];
    for (fault, reason) in cases {
        let gateway = Gateway::start().await;
        gateway.simulator().script().always(fault);
        let reply = gateway.embed(partial(texts(&numbered(0..16)))).await.unwrap().into_inner();
        assert_eq!(reply.errors.len(), 16);
        check(&reply.errors[15], 15, Code::InvalidArgument, reason);
        assert_eq!(gateway.simulator().calls().len(), 1, "{reason}");
    }
}
