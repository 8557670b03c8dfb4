//! Permissions and quotas of callers, from request to bill.

use super::{fake::TOKENS, *};
use crate::{
    caller::Rule,
    error::{Phase, Quota},
};

/// A quota that 10 answers of the fake use up.
const TEN: u64 = 10 * TOKENS;

/// Longer than any window's slot.
const HOUR: Duration = Duration::from_hours(1);

fn caller(name: &str, rule: Rule) -> Caller {
    Caller { rule: Arc::new(rule), ..Caller::unruled(name) }
}

fn per_minute(name: &str, tokens: u64) -> Caller {
    caller(name, Rule { tokens_per_minute: Some(tokens), ..Rule::default() })
}

fn by(caller: &Caller, texts: &[&str]) -> Request {
    Request { caller: caller.clone(), ..request(texts) }
}

fn partly(caller: &Caller, texts: &[&str]) -> Request {
    Request { allow_partial: true, ..by(caller, texts) }
}

fn with(fake: &Arc<Fake>, limits: &LimitsConfig, scope: Scope) -> (Arc<Pipeline>, Metrics) {
    let (metrics, batch) = (Metrics::new().unwrap(), dispatch::Config::default());
    let admission = super::super::Config::default();
    let parts = parts(fake, &admission, &batch, metrics.clone());
    (Arc::new(Pipeline::new(Parts { limits, scope, ..parts })), metrics)
}

fn budgeted(fake: &Arc<Fake>, daily_tokens: u64) -> (Arc<Pipeline>, Metrics) {
    let limits = LimitsConfig { daily_tokens: Some(daily_tokens), ..LimitsConfig::default() };
    with(fake, &limits, Scope::Shared)
}

/// Tokens of the last minute.
fn used(pipeline: &Pipeline, caller: &Caller) -> u64 {
    pipeline.quotas.used(caller).0[0]
}

#[track_caller]
fn refused(result: Result<Response, Error>) -> Arc<Quota> {
    match result {
        Err(Error::CallerQuota(quota)) => quota,
        other => panic!("{other:?}"),
    }
}

/// A text that is thought to have more tokens than the fake bills.
fn long(name: &str) -> String {
    format!("{name} {}", "words that are long enough for the estimate ".repeat(3))
}

#[tokio::test(start_paused = true)]
async fn requests_a_second_count_hits_and_what_is_said_about_waiting_is_true() {
    let fake = Fake::new();
    let pipeline = pipeline(&fake);
    let search = caller("search", Rule { requests_per_second: Some(3), ..Rule::default() });
    pipeline.answer(by(&search, &["a"])).await.unwrap();
    tokio::time::advance(Duration::from_secs(1)).await;
    for _ in 0..3 {
        pipeline.answer(by(&search, &["a"])).await.unwrap();
    }
    let quota = refused(pipeline.answer(by(&search, &["a"])).await);
    assert_eq!((&*quota.caller, quota.rule, quota.limit), ("search", "requests_per_second", 3));
    assert_eq!((quota.need, quota.retry_after), (1, Some(Duration::from_millis(334))));
    // With `allow_partial` as well: it is the request that is too much.
    refused(pipeline.answer(partly(&search, &["a"])).await);
    // Others are not held back.
    pipeline.answer(request(&["a"])).await.unwrap();
    tokio::time::advance(quota.retry_after.unwrap()).await;
    pipeline.answer(by(&search, &["a"])).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn tokens_are_settled_by_the_bill_and_hits_cost_none() {
    let fake = Fake::new();
    let pipeline = pipeline(&fake);
    let search = per_minute("search", 1_000);
    let (a, b) = (long("a"), long("b"));
    let task = started(&pipeline, by(&search, &[&a, &b, &a])).await;
    let held = used(&pipeline, &search);
    let inputs = [&a, &b].map(|text| Input::Text(text.clone()));
    let (dispatch, parameters) = (&pipeline.dispatch, parameters());
    let measures = dispatch.measure(&parameters, &inputs.each_ref()).await.unwrap();
    let needs = measures.iter().map(|measure| dispatch.tokens_to_reserve(&parameters, measure));
    let estimate: u64 = needs.sum();
    assert_eq!(
        held, estimate,
        "duplicates are held once, by the estimate that is used for sending"
    );
    assert!(held > 2 * TOKENS);
    task.await.unwrap().unwrap();
    assert_eq!(used(&pipeline, &search), 2 * TOKENS);
    pipeline.answer(by(&search, &[&a, &b])).await.unwrap();
    assert_eq!(used(&pipeline, &search), 2 * TOKENS);
}

#[tokio::test(start_paused = true)]
async fn a_quota_that_is_used_up_refuses_misses_until_it_says() {
    let fake = Fake::new();
    let pipeline = pipeline(&fake);
    let search = per_minute("search", TEN);
    let texts: Vec<String> = (0..10).map(|number| number.to_string()).collect();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    pipeline.answer(by(&search, &texts)).await.unwrap();
    assert_eq!(used(&pipeline, &search), TEN);

    let quota = refused(pipeline.answer(by(&search, &["0", "new"])).await);
    assert_eq!((quota.rule, quota.limit), ("tokens_per_minute", TEN));
    let wait = quota.retry_after.unwrap();
    assert!(wait <= MINUTE + MINUTE / 100, "{wait:?}");
    pipeline.answer(by(&search, &["0", "9"])).await.unwrap();

    tokio::time::advance(wait.checked_sub(Duration::from_millis(1)).unwrap()).await;
    refused(pipeline.answer(by(&search, &["new"])).await);
    tokio::time::advance(Duration::from_millis(1)).await;
    pipeline.answer(by(&search, &["new"])).await.unwrap();
    pipeline.answer(request(&["others are not held back"])).await.unwrap();
    assert_eq!(fake.billed(), 12 * TOKENS);
}

#[tokio::test(start_paused = true)]
async fn the_time_to_wait_is_that_of_whatever_is_full_the_longest() {
    let fake = Fake::new();
    let (pipeline, metrics) = budgeted(&fake, TOKENS);
    let search = per_minute("search", TOKENS);
    pipeline.answer(by(&search, &["a"])).await.unwrap();
    // Both are used up, and in a minute the budget still is.
    let error = pipeline.answer(by(&search, &["b"])).await.unwrap_err();
    let Error::BudgetExhausted { budget, retry_after: Some(wait), .. } = error else {
        panic!("{error:?}")
    };
    assert_eq!(budget, "limits.daily_tokens");
    let page = metrics.render().unwrap();
    let refusals = "voyage_gateway_quota_refusals_total";
    assert!(page.contains(&format!("{refusals}{{rule=\"{budget}\"}} 1")), "{page}");
    tokio::time::advance(wait).await;
    pipeline.answer(by(&search, &["b"])).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn the_wait_for_tokens_includes_the_wait_for_a_request() {
    let fake = Fake::new();
    let pipeline = pipeline(&fake);
    let rule =
        Rule { tokens_per_minute: Some(TOKENS), requests_per_second: Some(1), ..Rule::default() };
    let search = caller("search", rule);
    pipeline.answer(by(&search, &["a"])).await.unwrap();
    tokio::time::advance(MINUTE).await;
    // The tokens are back within less than the second that the next request takes.
    let quota = refused(pipeline.answer(by(&search, &["b"])).await);
    assert_eq!(quota.rule, "tokens_per_minute");
    assert_eq!(quota.retry_after, Some(Duration::from_secs(1)));
    tokio::time::advance(quota.retry_after.unwrap()).await;
    pipeline.answer(by(&search, &["b"])).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_request_larger_than_the_quota_has_no_retry_after() {
    let fake = Fake::new();
    let pipeline = pipeline(&fake);
    let text = long("a").repeat(10);
    let quota = refused(pipeline.answer(by(&per_minute("search", TEN), &[&text])).await);
    assert!(quota.need > TEN && quota.retry_after.is_none(), "{quota:?}");
    let both = Rule { tokens_per_minute: Some(TEN), tokens_per_day: Some(1), ..Rule::default() };
    let quota = refused(pipeline.answer(by(&caller("other", both), &["ten letters"])).await);
    assert_eq!((quota.rule, quota.retry_after), ("tokens_per_day", None));
    assert!(fake.calls().is_empty());
}

#[tokio::test(start_paused = true)]
async fn partly_served_is_what_is_cached_in_flight_or_within_the_quota() {
    let fake = Fake::new();
    let (pipeline, metrics) = with(&fake, &LimitsConfig::default(), Scope::Shared);
    pipeline.answer(request(&["hit"])).await.unwrap();
    let other = started(&pipeline, request(&["in flight"])).await;

    let search = per_minute("search", TEN);
    let (small, large) = ("small", long("large").repeat(10));
    let texts = ["hit", &large, "in flight", small, &large];
    let response = pipeline.answer(partly(&search, &texts)).await.unwrap();
    other.await.unwrap().unwrap();
    let served: Vec<bool> = response.items.iter().map(|outcome| outcome.result.is_ok()).collect();
    assert_eq!(served, [true, false, true, true, false]);
    assert!(matches!(response.items[1].result, Err(Error::CallerQuota(_))));
    assert_eq!(used(&pipeline, &search), TOKENS, "what others paid for is free");
    assert_eq!(fake.calls().len(), 3);
    let page = metrics.render().unwrap();
    for line in [
        "voyage_gateway_quota_refusals_total{rule=\"tokens_per_minute\"} 1",
        "voyage_gateway_cache_lookups_total{result=\"hit\",tier=\"memory\"} 1",
    ] {
        assert!(page.contains(line), "{line}\n{page}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_refused_request_is_counted_as_looked_up() {
    let fake = Fake::new();
    let (pipeline, metrics) = with(&fake, &LimitsConfig::default(), Scope::Shared);
    pipeline.answer(request(&["hit"])).await.unwrap();
    refused(pipeline.answer(by(&per_minute("search", 1), &["hit", "a miss", "a miss"])).await);
    let page = metrics.render().unwrap();
    assert!(
        page.contains("voyage_gateway_cache_lookups_total{result=\"hit\",tier=\"memory\"} 1"),
        "{page}"
    );
    assert!(
        page.contains("voyage_gateway_cache_lookups_total{result=\"miss\",tier=\"none\"} 3"),
        "{page}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_joining_request_pays_only_if_earlier_ones_left() {
    let fake = Fake::new();
    let pipeline = pipeline(&fake);
    let (first, second) = (per_minute("first", TEN), per_minute("second", TOKENS - 1));
    for (text, first_leaves) in [("stays", false), ("leaves", true)] {
        let opener = started(&pipeline, by(&first, &[text])).await;
        let joiner = started(&pipeline, by(&second, &[text])).await;
        if first_leaves {
            opener.abort();
        }
        joiner.await.unwrap().unwrap();
        settled().await;
    }
    assert_eq!(used(&pipeline, &first), TOKENS);
    assert_eq!(used(&pipeline, &second), TOKENS, "more than its quota: a debt");
    refused(pipeline.answer(by(&second, &["x"])).await);
    // A debt does not block requests that cost nothing.
    let opener = started(&pipeline, by(&first, &["others pay"])).await;
    pipeline.answer(by(&second, &["others pay"])).await.unwrap();
    opener.await.unwrap().unwrap();
    assert_eq!(used(&pipeline, &second), TOKENS);
}

#[tokio::test(start_paused = true)]
async fn two_callers_cannot_spend_more_than_both_may_and_one_debt() {
    let fake = Fake::new();
    let pipeline = pipeline(&fake);
    let (orders, takes) = (per_minute("orders", TEN), per_minute("takes", 1));
    let mut refused = 0;
    for number in 0..30 {
        let text = number.to_string();
        let opener = started(&pipeline, by(&orders, &[&text])).await;
        let joiner = started(&pipeline, by(&takes, &[&text])).await;
        opener.abort();
        refused += u64::from(joiner.await.unwrap().is_err());
        settled().await;
    }
    assert_eq!(used(&pipeline, &orders), TEN);
    assert_eq!(used(&pipeline, &takes), TOKENS, "a debt, and no second one");
    assert_eq!((fake.billed(), refused), (TEN + TOKENS, 19));
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_left_pays_for_what_was_sent() {
    let fake = Fake::new();
    let pipeline = pipeline(&fake);
    let search = per_minute("search", TEN);
    let task = started(&pipeline, by(&search, &["a"])).await;
    assert_eq!(fake.calls().len(), 1);
    task.abort();
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!((fake.billed(), used(&pipeline, &search)), (TOKENS, TOKENS));
}

#[tokio::test(start_paused = true)]
async fn what_is_not_sent_costs_nothing() {
    let fake = Fake::with(|fake| fake.latency = Duration::from_secs(10));
    let pipeline = pipeline_with(&fake, 1, 1);
    let search = per_minute("search", 1_000);
    let busy = started(&pipeline, request(&["busy"])).await;
    let text = long("a");
    let leaves = started(&pipeline, by(&search, &[&text])).await;
    let held = used(&pipeline, &search);
    assert!(held > TOKENS);
    let late = Request { deadline: Instant::now() + Duration::from_secs(1), ..by(&search, &["b"]) };
    assert!(matches!(pipeline.answer(late).await, Err(Error::DeadlineExceeded { .. })));
    leaves.abort();
    busy.await.unwrap().unwrap();
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert_eq!((fake.calls().len(), used(&pipeline, &search)), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn failures_and_panics_cost_nothing() {
    for trouble in ["down", "panic", "one bad input"] {
        let fake = Fake::with(|fake| match trouble {
            "down" => fake.down = true,
            "panic" => fake.panics = [long("a")].into(),
            _ => fake.named = [long("a")].into(),
        });
        let pipeline = pipeline(&fake);
        let search = per_minute("search", 1_000);
        let result = pipeline.answer(partly(&search, &[&long("a"), &long("b")])).await.unwrap();
        settled().await;
        assert!(result.items[0].result.is_err());
        assert_eq!(used(&pipeline, &search), fake.billed(), "{trouble}");
    }
}

#[tokio::test(start_paused = true)]
async fn modes_that_fetch_pay_and_the_one_that_does_not_needs_no_tokens() {
    let fake = Fake::new();
    let pipeline = pipeline(&fake);
    let search = per_minute("search", 4 * TOKENS);
    for mode in [CacheMode::ReadWrite, CacheMode::Refresh, CacheMode::Bypass, CacheMode::ReadOnly] {
        let text = if mode == CacheMode::ReadOnly { "b" } else { "a" };
        pipeline.answer(Request { cache_mode: mode, ..by(&search, &[text]) }).await.unwrap();
    }
    assert_eq!(used(&pipeline, &search), 4 * TOKENS);
    let cached = Request { cache_mode: CacheMode::OnlyIfCached, ..by(&search, &["a"]) };
    pipeline.answer(cached).await.unwrap();
    refused(
        pipeline.answer(Request { cache_mode: CacheMode::Refresh, ..by(&search, &["a"]) }).await,
    );
}

#[tokio::test(start_paused = true)]
async fn the_gateways_budget_is_a_hard_stop_that_still_serves_hits() {
    let fake = Fake::new();
    let (pipeline, metrics) = budgeted(&fake, TEN);
    let texts: Vec<String> = (0..10).map(|number| number.to_string()).collect();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    pipeline.answer(request(&texts)).await.unwrap();
    let refused = pipeline.answer(request(&["0", "new"])).await;
    let Err(Error::BudgetExhausted { budget, limit, retry_after }) = refused else {
        panic!("{refused:?}")
    };
    assert_eq!((budget, limit), ("limits.daily_tokens", TEN));
    pipeline.answer(request(&["0", "9"])).await.unwrap();
    let response =
        pipeline.answer(Request { allow_partial: true, ..request(&["0", "new"]) }).await.unwrap();
    assert_eq!(sources(&response), [Source::Hit, Source::Miss]);
    assert!(matches!(response.items[1].result, Err(Error::BudgetExhausted { .. })));
    assert_eq!(fake.calls().len(), 1);

    let page = metrics.render().unwrap();
    for line in [
        "voyage_gateway_budget_used_tokens{budget=\"limits.daily_tokens\"} 70",
        "voyage_gateway_budget_limit_tokens{budget=\"limits.daily_tokens\"} 70",
        "voyage_gateway_quota_refusals_total{rule=\"limits.daily_tokens\"} 2",
    ] {
        assert!(page.contains(line), "{line}\n{page}");
    }
    let monthly = "_tokens{budget=\"limits.monthly_tokens\"}";
    assert!(!page.contains(monthly), "what is not set has no gauge");

    let wait = retry_after.unwrap();
    assert!(wait > 23 * HOUR && wait <= 24 * HOUR + 24 * HOUR / 100, "{wait:?}");
    tokio::time::advance(wait).await;
    pipeline.answer(request(&["new"])).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_caller_over_its_quota_takes_nothing_of_the_budget_nor_the_other_way_round() {
    let fake = Fake::new();
    let (pipeline, _) = budgeted(&fake, 2 * TOKENS);
    let (poor, rich) = (per_minute("poor", 1), per_minute("rich", 1_000));
    refused(pipeline.answer(by(&poor, &["too much"])).await);
    assert_eq!(pipeline.quotas.used(&poor), ([0; 2], [0; 2]));
    pipeline.answer(by(&rich, &["a", "b"])).await.unwrap();
    assert_eq!(pipeline.quotas.used(&rich), ([2 * TOKENS; 2], [2 * TOKENS; 2]));
    let refused = pipeline.answer(by(&rich, &["c"])).await;
    assert!(matches!(refused, Err(Error::BudgetExhausted { .. })), "{refused:?}");
    assert_eq!(pipeline.quotas.used(&rich).0, [2 * TOKENS; 2]);
}

#[tokio::test(start_paused = true)]
async fn callers_of_their_own_scope_share_neither_answers_nor_flights() {
    let own = Rule { cache_scope: Some(Scope::PerCaller), ..Rule::default() };
    for (scope, rule, calls) in [
        (Scope::Shared, Rule::default(), 1),
        (Scope::PerCaller, Rule::default(), 3),
        (Scope::Shared, own, 3),
    ] {
        let fake = Fake::new();
        let (pipeline, _) = with(&fake, &LimitsConfig::default(), scope);
        let [a, b, c] = ["a", "b", "c"].map(|name| caller(name, rule.clone()));
        let first = started(&pipeline, by(&a, &["text"])).await;
        let second = started(&pipeline, by(&b, &["text"])).await;
        for task in [first, second] {
            task.await.unwrap().unwrap();
        }
        pipeline.answer(by(&c, &["text"])).await.unwrap();
        let again = pipeline.answer(by(&a, &["text"])).await.unwrap();
        assert_eq!(sources(&again), [Source::Hit]);
        let texts: usize = fake.calls().iter().map(Vec::len).sum();
        assert_eq!(texts, calls, "{scope:?} {rule:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_always_retries_gets_its_tokens_and_at_most_5_percent_more() {
    const LIMIT: u64 = 100 * TOKENS;
    const MINUTES: u32 = 5;
    let fake = Fake::new();
    let pipeline = pipeline(&fake);
    let search = per_minute("search", LIMIT);
    let (start, mut served) = (Instant::now(), Vec::new());
    for number in 0_u32.. {
        if Instant::now() >= start + MINUTES * MINUTE {
            break;
        }
        let before = Instant::now();
        match pipeline.answer(by(&search, &[&format!("number {number}")])).await {
            Ok(_) => served.push(before),
            Err(Error::CallerQuota(quota)) => tokio::time::sleep(quota.retry_after.unwrap()).await,
            Err(error) => panic!("{error}"),
        }
    }
    for (first, from) in served.iter().enumerate() {
        let within = served[first..].iter().take_while(|at| **at < *from + MINUTE).count() as u64;
        assert!(within * TOKENS <= LIMIT + LIMIT / 20, "{within} in a minute");
    }
    let total = served.len() as u64 * TOKENS;
    let due = LIMIT * u64::from(MINUTES);
    assert!(total >= due - due / 20, "{total} of {due}");
}

#[tokio::test(start_paused = true)]
async fn a_full_replica_is_found_out_after_the_requests_were_counted() {
    let fake = Fake::new();
    let admission = super::super::Config { max_in_flight: 1, ..Default::default() };
    let pipeline = build(&fake, &admission, &dispatch::Config::default());
    let search = caller("search", Rule { requests_per_second: Some(1), ..Rule::default() });
    let _busy = started(&pipeline, request(&["busy"])).await;
    let full = pipeline.answer(by(&search, &["a"])).await;
    assert!(matches!(full, Err(Error::Overloaded { .. })));
    refused(pipeline.answer(by(&search, &["a"])).await);
}

#[tokio::test(start_paused = true)]
async fn a_refusal_behind_the_door_gives_the_tokens_back() {
    let fake = Fake::new();
    let batch = dispatch::Config { max_waiting_inputs: 1, ..dispatch::Config::default() };
    let pipeline = build(&fake, &super::super::Config::default(), &batch);
    let search = per_minute("search", 1_000);
    let response = pipeline.answer(partly(&search, &["a", "b", "c"])).await.unwrap();
    let served = response.items.iter().filter(|outcome| outcome.result.is_ok()).count() as u64;
    assert!(served < 3);
    assert_eq!((used(&pipeline, &search), fake.billed()), (served * TOKENS, served * TOKENS));
    let failed = response.items.iter().filter_map(|outcome| outcome.result.as_ref().err());
    for error in failed {
        assert!(matches!(error, Error::Overloaded { .. }), "{error}");
    }
}

/// A counter with a tokenizer of `voyage-4` that makes a token of every word.
fn counting_words() -> Counter {
    let model =
        serde_json::json!({ "type": "WordLevel", "vocab": { "word": 0 }, "unk_token": "word" });
    let words = serde_json::json!({ "type": "WhitespaceSplit" });
    let tokenizer = serde_json::json!({ "version": "1.0", "added_tokens": [], "pre_tokenizer": words, "model": model });
    let path = tempfile::NamedTempFile::new().unwrap().into_temp_path();
    std::fs::write(&path, tokenizer.to_string()).unwrap();
    let models = [("voyage-4".to_owned(), tokens::ModelConfig { tokenizer: path.to_path_buf() })];
    Counter::new(&tokens::Config { models: models.into() }).unwrap()
}

#[tokio::test(start_paused = true)]
async fn exact_counts_are_held_however_long_the_text_is() {
    let fake = Fake::new();
    let (metrics, batch) = (Metrics::new().unwrap(), dispatch::Config::default());
    let admission = super::super::Config::default();
    let dispatch = start(&fake, &batch, counting_words(), metrics.clone());
    let parts = Parts { dispatch, ..parts(&fake, &admission, &batch, metrics) };
    let pipeline = Arc::new(Pipeline::new(parts));
    // The longer one is counted beside the threads that serve calls, and cut to the model's context.
    for (words, tokens) in [(100, 100), (50_000, 32_000)] {
        let text = vec!["word"; words].join(" ");
        let poor = per_minute(&format!("poor {words}"), tokens - 1);
        let quota = refused(pipeline.answer(by(&poor, &[&text])).await);
        assert_eq!((quota.need, quota.retry_after), (tokens, None));
        let search = per_minute(&format!("search {words}"), tokens);
        pipeline.answer(by(&search, &[&text])).await.unwrap();
        assert_eq!(used(&pipeline, &search), TOKENS);
    }
    // A deadline that passes while tokens are counted.
    let search = per_minute("late", 100_000);
    let text = vec!["late"; 50_000].join(" ");
    let late = Request { deadline: Instant::now(), ..by(&search, &[&text]) };
    let error = Err(Error::DeadlineExceeded { phase: Phase::Queue });
    assert_eq!(pipeline.answer(late).await.map(|_| ()), error);
    let late = Request { deadline: Instant::now(), ..partly(&search, &["word", &text]) };
    for outcome in pipeline.answer(late).await.unwrap().items {
        assert_eq!(outcome.result.map(|_| ()), error);
    }
    assert_eq!(used(&pipeline, &search), 0);
}
