//! `/metrics` after calls of every kind: all metrics of the catalogue, with consistent sums.

mod golden;

use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::{FutureExt as _, future::BoxFuture};
use tonic::Code;
use voyage_gateway::{
    error::Error,
    grpc::v1::{CacheMode, EmbedRequest, RequestOptions},
    item::{Input, Parameters},
    simulator::Fault,
    telemetry::trace::Span,
    upstream::{ApiKey, Reply, Upstream},
};

use crate::support::{Gateway, eventually, in_mode, reason, sample, texts, with_options};

const VOYAGE_4: (&str, &str) = ("model", "voyage-4");

const RPCS: &str = "voyage_gateway_rpcs_total";

/// Returns the outcomes of RPCs so far: `ok` and others.
async fn outcomes<const N: usize>(gateway: &Gateway, names: [&str; N]) -> [u64; N] {
    let metrics = gateway.metrics().await;
    names.map(|outcome| sample(&metrics, RPCS, &[("outcome", outcome)]))
}

#[tokio::test]
async fn every_rpc_ends_in_exactly_one_outcome() {
    let gateway = Gateway::holding(|config, _| {
        config.admission.max_in_flight = 3;
        config.retry.max_attempts = 1;
    })
    .await;
    // Three are in flight, one more than allowed is refused twice, and one of the three leaves.
    let mut calls = Vec::new();
    for text in ["one", "two", "three"] {
        calls.push(gateway.spawn(texts(&[text])).await);
    }
    gateway.until_in_flight(3).await;
    for text in ["four", "five"] {
        let shed = gateway.embed(texts(&[text])).await.unwrap_err();
        assert_eq!(shed.code(), Code::Unavailable);
    }
    calls.pop().unwrap().abort();
    gateway.until_in_flight(2).await;
    // An invalid request, and a miss of a cache-only one.
    gateway.embed(EmbedRequest::default()).await.unwrap_err();
    let absent = in_mode(texts(&["absent"]), CacheMode::OnlyIfCached);
    gateway.embed(absent).await.unwrap_err();
    gateway.release();
    for call in calls {
        call.await.unwrap().unwrap();
    }
    gateway.embed(texts(&["one"])).await.unwrap();
    gateway.simulator().script().next_calls(1, Fault::status(500));
    gateway.embed(texts(&["fails"])).await.unwrap_err();
    gateway.simulator().script().next_calls(1, Fault::status(401));
    let rejected = gateway.embed(texts(&["rejected"])).await.unwrap_err();
    assert_eq!(reason(&rejected), "UPSTREAM_UNAUTHENTICATED");

    let names = ["ok", "caller", "upstream", "gateway", "shed", "cancelled", "panicked"];
    eventually(async || outcomes(&gateway, names).await == [3, 2, 1, 1, 2, 1, 0]).await;
    let metrics = gateway.metrics().await;
    for all in [RPCS, "rpc_server_call_duration_seconds_count", "voyage_gateway_caller_rpcs_total"]
    {
        assert_eq!(sample(&metrics, all, &[]), 10, "{all}");
    }
    // All but the three that were answered and the one that was left.
    assert_eq!(sample(&metrics, "voyage_gateway_errors_total", &[]), 6);
    let full = [("reason", "OVERLOADED"), ("blame", "gateway")];
    assert_eq!(sample(&metrics, "voyage_gateway_errors_total", &full), 2);
}

/// An upstream in which every call but the first is a defect.
struct Defective(AtomicUsize);

impl Upstream for Defective {
    fn call<'a>(
        &'a self,
        _key: &'a ApiKey,
        _parameters: &'a Parameters,
        _inputs: &'a [&'a Input],
        _span: &'a mut Span,
    ) -> BoxFuture<'a, Result<Reply, Error>> {
        assert_eq!(self.0.fetch_add(1, Ordering::Relaxed), 0, "a defect");
        async { Err(Error::Internal { cause: "none of this is real" }) }.boxed()
    }
}

#[tokio::test]
async fn a_panic_behind_the_door_is_an_outcome_and_frees_its_call() {
    let gateway = Gateway::around(Defective(AtomicUsize::new(0))).await;
    for text in ["one", "two", "three"] {
        let status = gateway.embed(texts(&[text])).await.unwrap_err();
        assert_eq!(status.code(), Code::Internal);
    }
    eventually(async || outcomes(&gateway, ["gateway", "ok"]).await == [3, 0]).await;
    let in_flight = async || {
        let metrics = gateway.metrics().await;
        sample(&metrics, "voyage_gateway_batches_in_flight", &[])
    };
    eventually(async || in_flight().await == 0).await;
}

#[tokio::test]
async fn every_token_that_voyage_reported_is_counted_once() {
    let gateway = Gateway::holding(|_, _| ()).await;
    // Joined by a second caller, one with a duplicate, and one that is left.
    let first = gateway.spawn(texts(&["a text", "another text"])).await;
    gateway.until_calls(1).await;
    let second = gateway.spawn(texts(&["a text", "a text"])).await;
    let left = gateway.spawn(texts(&["nobody waits for this"])).await;
    gateway.until_calls(2).await;
    gateway.until_in_flight(3).await;
    left.abort();
    gateway.until_in_flight(2).await;
    gateway.release();
    first.await.unwrap().unwrap();
    second.await.unwrap().unwrap();
    // A hit, a reply of no use, one without a report.
    gateway.embed(texts(&["a text"])).await.unwrap();
    gateway.simulator().script().next_calls(1, Fault::WrongLength);
    gateway.embed(texts(&["answered at the second attempt"])).await.unwrap();
    gateway.simulator().script().next_calls(1, Fault::NoUsage);
    gateway.embed(texts(&["a guess"])).await.unwrap();
    gateway.embed(texts(&["a guess"])).await.unwrap();

    let calls = gateway.simulator().calls();
    let silent = calls.last().map(|call| call.tokens).unwrap_or_default();
    let reported = calls.iter().map(|call| call.tokens).sum::<u64>() - silent;
    let tokens =
        async |name: &str, labels: &[(&str, &str)]| sample(&gateway.metrics().await, name, labels);
    let by_caller = "voyage_gateway_tokens_total";
    let by_model = "voyage_gateway_model_tokens_total";
    eventually(async || tokens(by_caller, &[]).await == reported).await;
    assert!(tokens(by_caller, &[("billed_to", "abandoned")]).await > 0);
    assert_eq!(tokens(by_model, &[VOYAGE_4, ("kind", "billed")]).await, reported);
    let guessed = tokens(by_model, &[VOYAGE_4, ("kind", "estimated")]).await;
    assert!(guessed > 0);
    // Two places of the second caller's, one hit, and the guess once more.
    let a_text = voyage_gateway::simulator::count_tokens("a text");
    let saved = tokens(by_model, &[VOYAGE_4, ("kind", "saved")]).await;
    // The text's share of its batch is by estimate: it may be a token or two off.
    assert!(saved.abs_diff(3 * a_text + guessed) <= 6, "{saved} for {a_text} and {guessed}");
}

/// A day's tokens where each reply is of no use.
const BUDGET: u64 = 200;

/// Returns the tokens that the hard stop counts, and those that were charged.
async fn counted(gateway: &Gateway) -> (u64, u64) {
    let charged = gateway.simulator().calls().iter().map(|call| call.tokens).sum();
    let budget = [("budget", "limits.daily_tokens")];
    let metrics = gateway.metrics().await;
    (sample(&metrics, "voyage_gateway_budget_used_tokens", &budget), charged)
}

/// Sends calls until the budget refuses one; returns the counts.
async fn stopped_after(fault: Fault) -> (u64, u64) {
    let gateway = Gateway::with(|config, _| {
        config.limits.daily_tokens = Some(BUDGET);
        config.retry.max_attempts = 1;
        config.breaker.min_calls = 10_000;
    })
    .await;
    gateway.simulator().script().always(fault);
    let mut refused = None;
    for number in 0..200 {
        let text = format!("text {number}, which is paid for and never had");
        let status = gateway.embed(texts(&[&text])).await.unwrap_err();
        if reason(&status) == "BUDGET_EXHAUSTED" {
            refused = Some(number);
            break;
        }
    }
    assert!(refused.is_some(), "nothing stopped it");
    counted(&gateway).await
}

#[tokio::test]
async fn the_hard_stop_counts_replies_of_no_use() {
    let (used, charged) = stopped_after(Fault::WrongLength).await;
    assert_eq!(used, charged);
    assert!(charged <= BUDGET, "{charged}");
}

#[tokio::test]
async fn the_hard_stop_counts_replies_that_are_cut_by_estimate() {
    for fault in [Fault::CutBody, Fault::BadJson] {
        let (used, charged) = stopped_after(fault).await;
        assert!(used <= BUDGET && used.abs_diff(charged) * 4 <= charged, "{used} for {charged}");
    }
}

/// Their reply is cut, then a rate limit applies: one caller leaves, and one cannot wait.
#[tokio::test]
async fn the_hard_stop_counts_abandoned_replies() {
    let text = "a text, which is paid for and never had, for want of time";
    for max_queue_wait in [None, Some(prost_types::Duration { seconds: 30, nanos: 0 })] {
        let gateway = Gateway::with(|config, _| config.limits.daily_tokens = Some(BUDGET)).await;
        let limited = Fault::Status {
            status: 429,
            headers: vec![("retry-after".to_owned(), "60".to_owned())],
            body: String::new(),
        };
        gateway.simulator().script().next_calls(1, Fault::CutBody);
        gateway.simulator().script().next_calls(1, limited);
        let options = RequestOptions { max_queue_wait, ..RequestOptions::default() };
        let call = gateway.spawn(with_options(texts(&[text]), options)).await;
        gateway.until_calls(2).await;
        if max_queue_wait.is_some() {
            call.await.unwrap().unwrap_err();
        } else {
            call.abort();
        }
        let queued = async || sample(&gateway.metrics().await, "voyage_gateway_queue_items", &[]);
        eventually(async || queued().await == 0).await;
        let (used, charged) = counted(&gateway).await;
        assert!(charged > 0 && used.abs_diff(charged) * 4 <= charged, "{used} for {charged}");
        assert_eq!(gateway.sent().len(), 2);
    }
}

#[tokio::test]
async fn gauges_are_true_at_once() {
    let gateway = Gateway::holding(|config, _| config.batch.max_in_flight = 2).await;
    let gauge = async |name: &str, labels: &[(&str, &str)]| {
        sample(&gateway.metrics().await, &format!("voyage_gateway_{name}"), labels)
    };
    assert_eq!(gauge("batches_max_in_flight", &[]).await, 2);
    assert_eq!(gauge("rate_limit_limit", &[]).await, 0, "no model was called");
    let call = gateway.spawn(texts(&["a text"])).await;
    gateway.until_calls(1).await;
    let requests = [("model", "voyage-4"), ("unit", "requests")];
    assert_eq!(gauge("batches_in_flight", &[]).await, 1);
    assert_eq!(gauge("queue_items", &[]).await, 1);
    assert!(gauge("queue_size_bytes", &[]).await > 512);
    assert_eq!(gauge("rate_limit_used", &requests).await, 1);
    assert_eq!(gauge("rate_limit_limit", &requests).await, 2_000);
    assert_eq!(gauge("breaker_state", &[("state", "closed")]).await, 1);
    assert_eq!(gauge("retry_budget_balance", &[]).await, 10);
    gateway.release();
    call.await.unwrap().unwrap();
    eventually(async || {
        gauge("batches_in_flight", &[]).await == 0 && gauge("queue_items", &[]).await == 0
    })
    .await;
    assert_eq!(gauge("batch_size_count", &[]).await, 1);
    assert_eq!(gauge("rate_limit_used", &requests).await, 1);
}
