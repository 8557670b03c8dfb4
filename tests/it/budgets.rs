//! Rate limits and a failing Voyage: calls that cannot wait fail at once, with the wait, and without an upstream call.

use std::{ops::RangeInclusive, time::Duration};

use futures_util::future::join_all;
use tokio::time::Instant;
use tonic::{Code, Request, Status};
use voyage_gateway::{
    grpc::v1::{EmbedRequest, RequestOptions},
    simulator::Fault,
    units::TimeSpan,
};

use crate::support::{
    Answer, Gateway, assert_vectors, details, eventually, metadata, reason, sample, statuses,
    texts, with_options,
};
use voyage_gateway::grpc::v1::CacheStatus::Hit;

/// Embeds for a caller whose deadline comes before the minute's end.
async fn within_half_a_minute(gateway: &Gateway, text: &str) -> Answer {
    let mut request = Request::new(texts(&[text]));
    request.set_timeout(Duration::from_secs(30));
    gateway.client().await.embed(request).await
}

/// Embeds a text that must be sent within a second.
fn soon(text: &str) -> EmbedRequest {
    let max_queue_wait = Some(prost_types::Duration { seconds: 1, nanos: 0 });
    with_options(texts(&[text]), RequestOptions { max_queue_wait, ..RequestOptions::default() })
}

#[track_caller]
fn check(answer: Answer, code: Code, expected: &str, seconds: RangeInclusive<u64>) -> Status {
    let status = answer.err().unwrap();
    assert_eq!((status.code(), reason(&status).as_str()), (code, expected));
    let delay = details(&status).retry_info().unwrap().retry_delay.unwrap();
    let (least, most) =
        (Duration::from_secs(*seconds.start()), Duration::from_secs(*seconds.end()));
    assert!(least < delay && delay <= most, "{delay:?}");
    // Java and .NET retry on a pushback whatever the code.
    let pushback = status.metadata().contains_key("grpc-retry-pushback-ms");
    assert_eq!(pushback, code == Code::Unavailable);
    status
}

#[tokio::test]
async fn the_free_tier_is_recognised_by_its_429() {
    let gateway = Gateway::with(|_, simulator| {
        (simulator.rpm, simulator.tpm) = (Some(3), Some(10_000));
    })
    .await;
    for text in ["one", "two", "three"] {
        gateway.embed(texts(&[text])).await.unwrap();
    }
    let free_tier = async || sample(&gateway.metrics().await, "voyage_gateway_free_tier", &[]);
    assert_eq!(free_tier().await, 0);
    let answer = within_half_a_minute(&gateway, "four").await;
    let met = check(answer, Code::ResourceExhausted, "UPSTREAM_RATE_LIMITED", 30..=60);
    assert_eq!(metadata(&met, "tier").as_deref(), Some("free"));
    assert_eq!(metadata(&met, "attempts").as_deref(), Some("1"));
    assert_eq!(free_tier().await, 1);

    // The next calls fail without an upstream call.
    let reported = gateway.embed(soon("five")).await;
    check(reported, Code::ResourceExhausted, "QUEUE_TIMEOUT", 1..=60);
    assert_eq!(gateway.simulator().calls().len(), 4);
    // Voyage counts every model by itself.
    let other = EmbedRequest { model: "voyage-4-lite".to_owned(), ..texts(&["five"]) };
    assert!(gateway.embed(other).await.is_ok());
    let reply = gateway.embed(texts(&["one"])).await.unwrap().into_inner();
    assert_eq!(statuses(&reply), [Hit]);
}

#[tokio::test]
async fn a_429_closes_the_gate_for_everyone() {
    let gateway = Gateway::start().await;
    let limited = Fault::status(429).with_header("retry-after", "60");
    gateway.simulator().script().next_calls(1, limited);
    let met = within_half_a_minute(&gateway, "one").await;
    let met = check(met, Code::ResourceExhausted, "UPSTREAM_RATE_LIMITED", 30..=60);
    assert_eq!(details(&met).error_info().unwrap().domain, "voyageai.com");
    for text in ["one", "two"] {
        let reported = within_half_a_minute(&gateway, text).await;
        let reported = check(reported, Code::ResourceExhausted, "QUEUE_TIMEOUT", 30..=60);
        assert_eq!(details(&reported).error_info().unwrap().domain, "voyage-gateway");
    }
    assert_eq!(gateway.simulator().calls().len(), 1);
    assert_eq!(sample(&gateway.metrics().await, "voyage_gateway_rate_limited_total", &[]), 1);
    // Voyage counts every model by itself.
    let other = EmbedRequest { model: "voyage-4-lite".to_owned(), ..texts(&["one"]) };
    assert!(gateway.embed(other).await.is_ok());
}

#[tokio::test]
async fn a_call_that_can_wait_for_the_gate_succeeds() {
    let gateway = Gateway::start().await;
    let limited = Fault::status(429).with_header("retry-after", "1");
    gateway.simulator().script().next_calls(1, limited);
    let met = gateway.spawn(texts(&["one"])).await;
    gateway.until_calls(1).await;
    let other = gateway.embed(texts(&["two"])).await.unwrap();
    assert_vectors(other.get_ref(), &["two"]);
    assert_vectors(met.await.unwrap().unwrap().get_ref(), &["one"]);
    let calls = gateway.simulator().calls();
    assert!(calls[1..].iter().all(|call| call.status == Some(200)));
}

#[tokio::test]
async fn a_joiner_that_cannot_wait_for_the_gate_fails_at_once() {
    let gateway =
        Gateway::with(|config, _| config.server.default_deadline = TimeSpan::from_secs(300)).await;
    let limited = Fault::status(429).with_header("retry-after", "60");
    gateway.simulator().script().next_calls(1, limited);
    let patient = gateway.spawn(texts(&["one"])).await;
    eventually(async || {
        sample(&gateway.metrics().await, "voyage_gateway_rate_limited_total", &[]) == 1
    })
    .await;
    check(gateway.embed(soon("one")).await, Code::ResourceExhausted, "QUEUE_TIMEOUT", 1..=60);
    assert!(!patient.is_finished());
    patient.abort();
}

#[tokio::test]
async fn no_call_waits_longer_for_the_budget_than_its_limit() {
    let gateway = Gateway::with(|config, _| config.limits.rpm = Some(1)).await;
    gateway.embed(texts(&["one"])).await.unwrap();
    // Its deadline is two minutes away, and the minute ends before that.
    let mut request = Request::new(texts(&["two"]));
    request.set_timeout(Duration::from_mins(2));
    let mut client = gateway.client().await;
    let patient = tokio::spawn(async move { client.embed(request).await });
    gateway.until_in_flight(1).await;

    check(gateway.embed(soon("three")).await, Code::ResourceExhausted, "QUEUE_TIMEOUT", 30..=120);
    // Nor for the text that another waits for; the other waits on.
    check(gateway.embed(soon("two")).await, Code::ResourceExhausted, "QUEUE_TIMEOUT", 30..=60);
    assert_eq!(sample(&gateway.metrics().await, "voyage_gateway_in_flight_requests", &[]), 1);
    assert!(!patient.is_finished());
    patient.abort();
    assert_eq!(gateway.sent(), [["one"]]);
}

#[tokio::test]
async fn repeated_failures_open_the_circuit_breaker() {
    let gateway = Gateway::with(|config, _| {
        config.retry.max_attempts = 1;
        config.breaker.window = TimeSpan::from_secs(3_600);
        config.breaker.open_for = TimeSpan::from_secs(3_600);
        config.breaker.max_open = TimeSpan::from_secs(3_600);
    })
    .await;
    gateway.embed(texts(&["known"])).await.unwrap();
    gateway.simulator().script().always(Fault::status(503));
    // With the one that succeeded, the twentieth call is the nineteenth failure.
    for number in 0..19 {
        let failed = gateway.embed(texts(&[format!("new {number}")])).await.err().unwrap();
        assert_eq!(reason(&failed), "UPSTREAM_UNAVAILABLE", "{number}");
    }
    let refused = gateway.embed(texts(&["known", "new"])).await;
    let refused = check(refused, Code::Unavailable, "CIRCUIT_OPEN", 3_000..=3_600);
    assert_eq!(details(&refused).error_info().unwrap().domain, "voyage-gateway");
    assert_eq!(gateway.simulator().calls().len(), 20);
    let reply = gateway.embed(texts(&["known"])).await.unwrap().into_inner();
    assert_eq!(statuses(&reply), [Hit]);
}

#[tokio::test]
async fn retries_during_an_outage_are_bounded() {
    const CALLS: usize = 60;

    let gateway = Gateway::with(|config, simulator| {
        config.batch.max_inputs = 1;
        config.breaker.min_calls = 1_000;
        simulator.script.always(Fault::status(503));
    })
    .await;
    let started = Instant::now();
    let client = gateway.client().await;
    let calls = join_all((0..CALLS).map(|number| {
        let mut client = client.clone();
        async move { client.embed(texts(&[format!("text {number}")])).await }
    }));
    assert!(calls.await.iter().all(Result::is_err));
    // Ten at once, one for ten calls, one a second.
    let seconds = usize::try_from(started.elapsed().as_secs()).unwrap() + 1;
    let retries = gateway.simulator().calls().len() - CALLS;
    assert!((1..=10 + CALLS / 10 + seconds).contains(&retries), "{retries}");
}

#[tokio::test]
async fn the_circuit_breaker_closes_after_the_outage() {
    let gateway = Gateway::with(|config, simulator| {
        config.retry.max_attempts = 1;
        config.breaker.min_calls = 2;
        config.breaker.open_for = TimeSpan::from_millis(50);
        simulator.script.next_calls(2, Fault::status(503));
    })
    .await;
    for text in ["one", "two"] {
        assert!(gateway.embed(texts(&[text])).await.is_err());
    }
    eventually(async || gateway.embed(texts(&["three"])).await.is_ok()).await;
    assert!(gateway.embed(texts(&["four"])).await.is_ok());
}
