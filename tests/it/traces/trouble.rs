//! Traces of failures.

use std::time::Duration;

use futures_util::future::BoxFuture;
use opentelemetry::trace::Status;
use voyage_gateway::{
    error::Error,
    item::{Input, Parameters},
    simulator::Fault,
    telemetry::trace::Span,
    upstream::{ApiKey, Reply, Upstream},
};

use super::*;
use crate::{raw::Connection, support::pass};
use sink::events;

#[tokio::test]
async fn every_attempt_has_its_span_and_the_batch_covers_all() {
    let sink = Sink::default();
    let gateway = Gateway::telling(sink.telemetry(1.0), |_, options| {
        options.script.next_calls(1, Fault::status(503));
        options.script.next_calls(1, Fault::Reset);
    })
    .await;
    gateway.embed(texts(&["a"])).await.unwrap();
    let attempts = sink.until("POST", 3).await;
    let batch = sink.only("embeddings").await;
    for attempt in &attempts {
        assert_child(attempt, &batch, &SpanKind::Client);
        assert!(attempt.end_time <= batch.end_time);
    }
    let of = |name| attempts.iter().map(|attempt| attribute(attempt, name)).collect::<Vec<_>>();
    let some = |text: &str| Some(text.to_owned());
    assert_eq!(of("http.request.resend_count"), [None, some("1"), some("2")]);
    assert_eq!(of("http.response.status_code"), [some("503"), None, some("200")]);
    let errors = of("error.type");
    assert_eq!((&errors[0], &errors[2]), (&some("503"), &None));
    assert!(errors[1].as_ref().is_some_and(|error| error.starts_with("connect")), "{errors:?}");
    assert_eq!(attempts[0].status, Status::error(""));
    assert_eq!(events(&batch)[0], "voyage_gateway.backoff");
    assert_eq!(batch.status, Status::Unset, "it came to a good end");
    assert_eq!(attribute(&batch, "voyage_gateway.upstream.requests").as_deref(), Some("3"));
}

#[tokio::test]
async fn a_429_is_an_event_and_the_wait_for_the_gate_the_limiters() {
    let sink = Sink::default();
    let gateway = Gateway::telling(sink.telemetry(1.0), |_, options| {
        let fault = Fault::status(429).with_header("retry-after", "20");
        options.script.next_calls(1, fault);
    })
    .await;
    let call = gateway.spawn(texts(&["a"])).await;
    eventually(async || {
        sample(&gateway.metrics().await, "voyage_gateway_rate_limited_total", &[]) == 1
    })
    .await;
    pass(Duration::from_secs(20)).await;
    call.await.unwrap().unwrap();
    let batch = sink.only("embeddings").await;
    assert_eq!(events(&batch), ["voyage_gateway.rate_limited"]);
    let wait = sink.only("wait").await;
    let limiter = attribute(&wait, "voyage_gateway.wait.limiter").unwrap();
    // The gate closes when the reply arrives, and the wait is measured from a moment later.
    assert!(limiter.parse::<f64>().unwrap() > 10.0, "{limiter}");
    let limiter = sink.only("limiter").await;
    assert_child(&limiter, &wait, &SpanKind::Internal);
    let attempts = sink.until("POST", 2).await;
    assert!(limiter.end_time.duration_since(attempts[0].end_time).is_ok());
}

#[tokio::test]
async fn what_is_taken_apart_is_one_batch() {
    let sink = Sink::default();
    let gateway = Gateway::telling(sink.telemetry(1.0), |_, options| {
        options.script.on_text("too long", Fault::TooLong);
    })
    .await;
    let request = crate::support::partial(texts(&["a", "too long", "b"]));
    gateway.embed(request).await.unwrap();
    let batch = sink.only("embeddings").await;
    assert_eq!(events(&batch), ["voyage_gateway.split"]);
    assert_eq!(attribute(&batch, "error.type").as_deref(), Some("input_too_long"));
    let attempts = sink.until("POST", 2).await;
    assert!(attempts.iter().all(|attempt| attempt.parent_span_id == id(&batch)));
    assert_eq!(links(&sink.only("wait").await), [id(&batch)]);
}

#[tokio::test]
async fn a_deadline_ends_the_servers_span_as_an_error_and_a_refusal_does_not() {
    let sink = Sink::default();
    let gateway = Gateway::telling_and_holding(sink.telemetry(1.0), |_, _| ()).await;
    let connection = Connection::open(gateway.grpc()).await;
    let late = tokio::spawn({
        let connection = connection.clone();
        async move { connection.embed(&[("grpc-timeout", "1M")], &texts(&["a"])).await }
    });
    gateway.until_calls(1).await;
    pass(Duration::from_mins(1)).await;
    assert_eq!(late.await.unwrap().err().unwrap().code(), Code::DeadlineExceeded);
    let server = sink.only(EMBED).await;
    assert_eq!(server.status, Status::error(""));
    let of = |name| attribute(&server, name).unwrap();
    assert_eq!(of("error.type"), "DEADLINE_EXCEEDED");
    assert_eq!(of("voyage_gateway.reason"), "DEADLINE_EXCEEDED");
    sink.only("wait").await;

    let empty = connection.embed(&[], &EmbedRequest::default()).await;
    assert_eq!(empty.err().unwrap().code(), Code::InvalidArgument);
    let refused = sink.until(EMBED, 2).await.remove(1);
    assert_eq!(refused.status, Status::Unset);
    assert_eq!(attribute(&refused, "error.type"), None);
    assert_eq!(attribute(&refused, "voyage_gateway.outcome").as_deref(), Some("caller"));
}

#[tokio::test]
async fn the_name_of_an_unknown_method_is_bounded() {
    let sink = Sink::default();
    let gateway = Gateway::telling(sink.telemetry(1.0), |_, _| ()).await;
    let connection = Connection::open(gateway.grpc()).await;
    let long = format!("/a.Service/{}", "M".repeat(200));
    let grpc = [("content-type", "application/grpc")];
    for path in ["/a.Service/Method", &long] {
        connection.clone().send(path, &grpc, bytes::Bytes::new()).await;
    }
    let spans = sink.until("_OTHER", 2).await;
    let original = |span| attribute(span, "rpc.method_original");
    assert_eq!(original(&spans[0]).as_deref(), Some("a.Service/Method"));
    assert_eq!(original(&spans[1]), None);
    assert_eq!(attribute(&spans[0], "rpc.method").as_deref(), Some("_OTHER"));
    assert_eq!(spans[0].status, Status::error(""));
}

/// An upstream with a defect.
struct Panicking;

impl Upstream for Panicking {
    fn call<'a>(
        &'a self,
        _: &'a ApiKey,
        _: &'a Parameters,
        _: &'a [&'a Input],
        _: &'a mut Span,
    ) -> BoxFuture<'a, Result<Reply, Error>> {
        Box::pin(async { panic!("words of a panic") })
    }
}

#[tokio::test]
async fn a_panic_ends_every_span() {
    let sink = Sink::default();
    let gateway = Gateway::telling_around(sink.telemetry(1.0), Panicking).await;
    assert!(gateway.embed(texts(&["a"])).await.is_err());
    let (server, wait) = (sink.only(EMBED).await, sink.only("wait").await);
    let (batch, attempt) = (sink.only("embeddings").await, sink.only("POST").await);
    assert_child(&wait, &server, &SpanKind::Internal);
    assert_eq!(server.status, Status::error(""));
    assert_eq!(attribute(&attempt, "error.type").as_deref(), Some("panic"));
    assert_eq!(attribute(&batch, "error.type").as_deref(), Some("panic"));
    assert!(!format!("{:?}", sink.all()).contains("words"));
}
