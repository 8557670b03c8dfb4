//! `ExplainEmbed` over real gRPC: it says what `Embed` then does, and does nothing itself.

use std::time::Duration;

use tonic::{Code, Response, Status};
use voyage_gateway::{
    caller::{Rule, Scope},
    config::Config,
    grpc::v1::{
        CacheMode, CacheStatus, EmbedRequest, ExplainEmbedRequest, ExplainEmbedResponse,
        InputExplanation, RequestOptions,
    },
    simulator::{Fault, Options},
    tokens::ModelConfig,
};

use crate::{
    support::{Gateway, fields, in_mode, partial, reason, sample, statuses, texts, with_options},
    tokens::tokenizer,
};

impl Gateway {
    async fn explain(&self, request: EmbedRequest) -> Result<ExplainEmbedResponse, Status> {
        let request = ExplainEmbedRequest { request: Some(request) };
        self.client().await.explain_embed(request).await.map(Response::into_inner)
    }
}

fn sources(explained: &ExplainEmbedResponse) -> Vec<CacheStatus> {
    explained.inputs.iter().map(InputExplanation::cache_status).collect()
}

/// The reason and the retry delay of the refusal.
fn refusal(explained: &ExplainEmbedResponse) -> (&str, Option<Duration>) {
    let Some(refusal) = &explained.refusal else { return ("", None) };
    let delay = refusal.retry_delay.map(|delay| Duration::try_from(delay).unwrap());
    (&refusal.reason, delay)
}

fn ruled(rule: Rule) -> impl FnOnce(&mut Config, &mut Options) {
    move |config, _| drop(config.callers.0.insert("default".to_owned(), rule))
}

const HALF: [&str; 4] = ["one one", "two three", "one two", "two three"];

/// The request of the issue: half of it cached; what is said is what it then costs.
async fn half_cached(gateway: &Gateway) {
    gateway.embed(texts(&[HALF[0], HALF[2]])).await.unwrap();
    let explained = gateway.explain(texts(&HALF)).await.unwrap();
    assert_eq!(gateway.simulator().calls().len(), 1, "nothing was sent");
    let reply = gateway.embed(texts(&HALF)).await.unwrap();

    let (metadata, reply, _) = reply.into_parts();
    let usage = reply.usage.unwrap();
    assert_eq!(sources(&explained), statuses(&reply));
    assert_eq!(explained.cache, reply.cache);
    assert_eq!(explained.model, metadata.get("x-model").unwrap().to_str().unwrap());
    assert_eq!(explained.upstream_calls, usage.upstream_requests);
    assert_eq!(explained.refusal, None);
    assert_eq!(explained.wait, Some(prost_types::Duration::default()));
    let bytes = i64::try_from(prost::Message::encoded_len(&reply)).unwrap();
    assert!((bytes..bytes + 512).contains(&explained.reply_bytes), "{bytes} {explained:?}");
    let usd = f64::from(explained.total_tokens) * 0.06 / 1e6;
    assert!((explained.cost_usd.unwrap() - usd).abs() < 1e-12);
    if explained.estimated {
        assert!(
            (explained.total_tokens - usage.total_tokens).abs() <= 2,
            "{explained:?} {usage:?}"
        );
    } else {
        assert_eq!(explained.total_tokens, usage.total_tokens);
    }
    let of_inputs: i32 = explained.inputs.iter().map(|input| input.tokens).sum();
    assert_eq!(of_inputs, explained.total_tokens);
}

#[tokio::test]
async fn a_half_cached_request_costs_what_was_said() {
    half_cached(&Gateway::start().await).await;
}

#[tokio::test]
async fn with_a_tokenizer_the_tokens_are_exact() {
    let (_folder, path) = tokenizer();
    let gateway = Gateway::with(|config, _| {
        drop(config.tokens.models.insert("voyage-4".to_owned(), ModelConfig { tokenizer: path }));
    })
    .await;
    let explained = gateway.explain(texts(&["one two three", "one"])).await.unwrap();
    assert!(!explained.estimated);
    assert_eq!((explained.inputs[0].tokens, explained.inputs[1].tokens), (3, 1));
    half_cached(&gateway).await;
}

#[tokio::test]
async fn it_touches_neither_evictions_nor_the_metrics_of_the_cache() {
    let gateway = Gateway::start().await;
    gateway.embed(texts(&["a"])).await.unwrap();
    let counted = async || {
        let metrics = gateway.metrics().await;
        let sum = |name| sample(&metrics, name, &[]);
        (sum("voyage_gateway_cache_lookups_total"), sum("voyage_gateway_tokens_total"))
    };
    let before = counted().await;
    for _ in 0..3 {
        gateway.explain(texts(&["a", "b"])).await.unwrap();
    }
    assert_eq!(counted().await, before);
    assert_eq!(gateway.simulator().calls().len(), 1);
}

#[tokio::test]
async fn modes_decide_what_would_be_fetched() {
    let gateway = Gateway::start().await;
    gateway.embed(texts(&["a"])).await.unwrap();
    let (hit, miss, bypassed) = (CacheStatus::Hit, CacheStatus::Miss, CacheStatus::Bypassed);
    for (mode, expected, calls, reason) in [
        (CacheMode::ReadOnly, [hit, miss], 1, ""),
        (CacheMode::Refresh, [miss, miss], 1, ""),
        (CacheMode::Bypass, [bypassed, bypassed], 1, ""),
        (CacheMode::OnlyIfCached, [hit, miss], 0, "CACHE_MISS"),
    ] {
        let explained = gateway.explain(in_mode(texts(&["a", "b"]), mode)).await.unwrap();
        assert_eq!(sources(&explained), expected, "{mode:?}");
        assert_eq!((explained.upstream_calls, refusal(&explained).0), (calls, reason), "{mode:?}");
        assert_eq!(explained.total_tokens == 0, calls == 0, "{mode:?}");
    }
    let cached = in_mode(texts(&["a"]), CacheMode::OnlyIfCached);
    assert_eq!(gateway.explain(cached).await.unwrap().refusal, None);
}

#[tokio::test]
async fn ages_and_calls_under_way_are_for_those_who_may_know() {
    for (rule, knows) in [
        (Rule::default(), false),
        (Rule { explain: Some(true), ..Rule::default() }, true),
        (Rule { cache_scope: Some(Scope::PerCaller), ..Rule::default() }, true),
        (
            Rule { cache_scope: Some(Scope::PerCaller), explain: Some(false), ..Rule::default() },
            false,
        ),
    ] {
        // The scope of a caller's rule, or of all callers.
        let is_of_all = rule.cache_scope.is_some() && rule.explain.is_none();
        let gateway = Gateway::with(|config, _| {
            let scope = if is_of_all { Scope::PerCaller } else { Scope::Shared };
            config.cache.scope = scope;
            let cache_scope = rule.cache_scope.filter(|_| !is_of_all);
            let rule = Rule { cache_scope, ..rule };
            drop(config.callers.0.insert("default".to_owned(), rule));
        })
        .await;
        gateway.embed(texts(&["a"])).await.unwrap();
        gateway.simulator().script().next_calls(1, Fault::Hang);
        let waiting = gateway.spawn(texts(&["under way"])).await;
        gateway.until_calls(2).await;
        let explained = gateway.explain(texts(&["a", "under way", "b"])).await.unwrap();
        let [cached, flying, new] = explained.inputs.as_slice() else { panic!("{explained:?}") };
        assert_eq!(cached.cache_status(), CacheStatus::Hit);
        assert_eq!(cached.tier, if knows { "memory" } else { "" });
        let (age, left) = (cached.age, cached.expires_in);
        assert_eq!((age.is_some(), left.is_some()), (knows, knows));
        if let (Some(age), Some(left)) = (age, left) {
            // The ttl is 30 days.
            assert_eq!((age.seconds + left.seconds + 1) / (24 * 3600), 30);
        }
        assert_eq!((flying.in_flight, flying.tokens == 0), (knows, knows));
        assert_eq!(new.cache_status(), CacheStatus::Miss);
        waiting.abort();
    }
}

#[tokio::test]
async fn each_refusal_is_named_with_its_wait() {
    let minute = Rule { tokens_per_minute: Some(3), ..Rule::default() };
    let gateway = Gateway::with(ruled(minute)).await;
    gateway.embed(texts(&["one"])).await.unwrap();
    let explained = gateway.explain(texts(&["two three four five"])).await.unwrap();
    let (reason, delay) = refusal(&explained);
    assert_eq!((reason, delay), ("CALLER_QUOTA_EXCEEDED", None), "never: more than the quota");
    let hit = gateway.explain(texts(&["one"])).await.unwrap();
    assert_eq!(hit.refusal, None, "hits cost nothing");

    let (_folder, path) = tokenizer();
    let gateway = Gateway::with(|config, _| {
        config.limits.daily_tokens = Some(8);
        drop(config.tokens.models.insert("voyage-4".to_owned(), ModelConfig { tokenizer: path }));
    })
    .await;
    gateway.embed(texts(&["one two three one two"])).await.unwrap();
    let explained = gateway.explain(texts(&["one two three one"])).await.unwrap();
    let (reason, delay) = refusal(&explained);
    assert_eq!(reason, "BUDGET_EXHAUSTED");
    assert!(delay.unwrap() > Duration::from_hours(23), "{delay:?}");

    let gateway = Gateway::with(|config, _| {
        (config.limits.rpm, config.limits.tpm) = (Some(1), Some(10_000));
    })
    .await;
    gateway.embed(texts(&["one"])).await.unwrap();
    let explained = gateway.explain(texts(&["two"])).await.unwrap();
    let wait = Duration::try_from(explained.wait.unwrap()).unwrap();
    assert!((Duration::from_secs(1)..=Duration::from_mins(1)).contains(&wait), "{wait:?}");
    let max_queue_wait = Some(prost_types::Duration { seconds: 1, nanos: 0 });
    let options = RequestOptions { max_queue_wait, ..RequestOptions::default() };
    let explained = gateway.explain(with_options(texts(&["two"]), options)).await.unwrap();
    let (reason, delay) = refusal(&explained);
    assert_eq!(reason, "QUEUE_TIMEOUT");
    assert!(delay.unwrap() >= Duration::from_millis(800));
}

/// With `allow_partial`, inputs fail instead of the request.
#[tokio::test]
async fn with_allow_partial_each_input_has_its_own_refusal() {
    let (_folder, path) = tokenizer();
    let gateway = Gateway::with(|config, _| {
        let rule = Rule { tokens_per_minute: Some(8), ..Rule::default() };
        drop(config.callers.0.insert("default".to_owned(), rule));
        drop(config.tokens.models.insert("voyage-4".to_owned(), ModelConfig { tokenizer: path }));
    })
    .await;
    gateway.embed(texts(&["one two three one two"])).await.unwrap();
    let request = || texts(&["one two", "one two three", "one"]);
    let explained = gateway.explain(request()).await.unwrap();
    let (reason, delay) = refusal(&explained);
    assert_eq!(reason, "CALLER_QUOTA_EXCEEDED");
    // With its jitter.
    assert!(delay.is_some_and(|delay| delay <= Duration::from_secs(75)), "{delay:?}");

    let explained = gateway.explain(partial(request())).await.unwrap();
    assert_eq!(explained.refusal, None);
    let errors = |explained: &ExplainEmbedResponse| -> Vec<i32> {
        let failed = explained.inputs.iter().filter(|input| input.error.is_some());
        failed.map(|input| input.index).collect()
    };
    assert_eq!(errors(&explained), [1]);
    let reply = gateway.embed(partial(request())).await.unwrap().into_inner();
    assert_eq!(reply.errors.iter().map(|error| error.index).collect::<Vec<_>>(), [1]);

    let cached = partial(in_mode(texts(&["one", "three"]), CacheMode::OnlyIfCached));
    let explained = gateway.explain(cached.clone()).await.unwrap();
    assert_eq!((errors(&explained), explained.refusal), (vec![1], None));
    let reply = gateway.embed(cached).await.unwrap().into_inner();
    assert_eq!(reply.errors.iter().map(|error| error.index).collect::<Vec<_>>(), [1]);
}

#[tokio::test]
async fn a_text_that_voyage_would_refuse_costs_nothing() {
    let (_folder, path) = tokenizer();
    let gateway = Gateway::with(|config, _| {
        drop(config.tokens.models.insert("voyage-4".to_owned(), ModelConfig { tokenizer: path }));
    })
    .await;
    let long = "one ".repeat(32_001);
    let request =
        EmbedRequest { truncation: Some(false), ..partial(texts(&[long.as_str(), "two"])) };
    let explained = gateway.explain(request.clone()).await.unwrap();
    let error = explained.inputs[0].error.as_ref().unwrap();
    assert_eq!((error.reason.as_str(), explained.inputs[0].tokens), ("INVALID_REQUEST", 0));
    assert_eq!((explained.total_tokens, explained.upstream_calls), (1, 1));
    let reply = gateway.embed(request).await.unwrap().into_inner();
    assert_eq!((reply.usage.unwrap().total_tokens, reply.errors.len()), (1, 1));
}

#[tokio::test]
async fn an_open_breaker_and_a_large_reply_are_refusals() {
    let gateway = Gateway::with(|config, _| {
        config.breaker.min_calls = 1;
        config.retry.max_attempts = 1;
    })
    .await;
    gateway.embed(texts(&["cached"])).await.unwrap();
    gateway.simulator().script().always(Fault::Reset);
    for number in 0..20 {
        drop(gateway.embed(texts(&[format!("failing {number}")])).await);
    }
    let explained = gateway.explain(texts(&["new"])).await.unwrap();
    let (reason, delay) = refusal(&explained);
    assert_eq!(reason, "CIRCUIT_OPEN");
    assert!(delay.is_some());
    assert_eq!(gateway.explain(texts(&["cached"])).await.unwrap().refusal, None);

    let options = RequestOptions { max_response_bytes: 5_000, ..RequestOptions::default() };
    let large = with_options(texts(&["a", "b"]), options);
    let explained = gateway.explain(large).await.unwrap();
    assert_eq!(refusal(&explained).0, "RESPONSE_TOO_LARGE");
    assert!(explained.reply_bytes > 8_000);
}

#[tokio::test]
async fn several_calls_are_counted_and_waited_for() {
    let gateway = Gateway::with(|config, _| config.batch.max_inputs = 2).await;
    let explained = gateway.explain(texts(&["a", "b", "c", "d", "e"])).await.unwrap();
    assert_eq!(explained.upstream_calls, 3);
    let reply = gateway.embed(texts(&["a", "b", "c", "d", "e"])).await.unwrap().into_inner();
    assert_eq!(reply.usage.unwrap().upstream_requests, 3);
}

#[tokio::test]
async fn it_is_validated_permitted_and_counted_as_embed_is() {
    let gateway = Gateway::start().await;
    let error = gateway.explain(texts(&["a", ""])).await.unwrap_err();
    assert_eq!((error.code(), fields(&error)), (Code::InvalidArgument, vec!["inputs[1]".into()]));
    let empty = ExplainEmbedRequest::default();
    let error = gateway.client().await.explain_embed(empty).await.unwrap_err();
    assert_eq!((error.code(), fields(&error)), (Code::InvalidArgument, vec!["request".into()]));
    let explained = gateway.explain(partial(texts(&["a", ""]))).await.unwrap();
    assert_eq!(explained.inputs[1].error.as_ref().unwrap().reason, "INVALID_REQUEST");
    assert_eq!(explained.refusal, None);

    let only_embed = Rule { rpcs: Some(vec!["Embed".to_owned()]), ..Rule::default() };
    let gateway = Gateway::with(ruled(only_embed)).await;
    gateway.explain(texts(&["a"])).await.unwrap();
    let no_embed = Rule { rpcs: Some(vec!["Rerank".to_owned()]), ..Rule::default() };
    let gateway = Gateway::with(ruled(no_embed)).await;
    let error = gateway.explain(texts(&["a"])).await.unwrap_err();
    assert_eq!(
        (error.code(), reason(&error)),
        (Code::PermissionDenied, "CALLER_NOT_ALLOWED".into())
    );

    let one = Rule { requests_per_second: Some(1), ..Rule::default() };
    let gateway = Gateway::with(ruled(one)).await;
    gateway.explain(texts(&["a"])).await.unwrap();
    let error = gateway.explain(texts(&["a"])).await.unwrap_err();
    assert_eq!(error.code(), Code::ResourceExhausted);
}
