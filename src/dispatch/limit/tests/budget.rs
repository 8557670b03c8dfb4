//! The sliding minute: entries, their duration, and the time of free budget.

use super::*;

#[test]
fn an_entry_is_held_until_a_minute_after_its_reply() {
    let (limiter, start) = (limiter(1, 1_000), Instant::now());
    let call = send(&limiter, 10, start).unwrap();
    let reply = start + secs(20);
    let waiting = Blocked { until: reply + MINUTE, cause: Cause::Requests };
    assert_eq!(send(&limiter, 10, reply).unwrap_err(), waiting);
    call.settle(None, reply);
    let last = reply + MINUTE - Duration::from_nanos(1);
    assert_eq!(send(&limiter, 10, last).unwrap_err(), waiting);
    assert_eq!(next_change(&limiter, last), Some(reply + MINUTE));
    send(&limiter, 10, reply + MINUTE).unwrap().settle(None, reply + MINUTE);
}

#[test]
fn the_reported_usage_replaces_the_estimate() {
    let (limiter, now) = (limiter(10, 1_000), Instant::now());
    let large = send(&limiter, 900, now).unwrap();
    assert_eq!(send(&limiter, 200, now).unwrap_err().cause, Cause::Tokens);
    large.settle(Some(800), now);
    call(&limiter, 200, now);
    assert_eq!(used(&limiter, now), (2, 1_000));
    // A report may also be larger.
    send(&limiter, 0, now).unwrap().settle(Some(50), now);
    assert_eq!(used(&limiter, now), (3, 1_050));
}

#[test]
fn an_unsent_reservation_is_refunded_in_full() {
    let (limiter, now) = (limiter(1, 1_000), Instant::now());
    drop(limiter.reserve(MODEL, Interactive, 1_000, now).unwrap());
    assert_eq!(used(&limiter, now), (0, 0));
    assert_eq!(next_change(&limiter, now), None);
}

#[tokio::test(start_paused = true)]
async fn what_was_sent_and_dropped_counts_as_failed() {
    let limiter = limiter(1, 1_000);
    let dropped = send(&limiter, 400, Instant::now()).unwrap();
    tokio::time::advance(secs(5)).await;
    drop(dropped);
    let now = Instant::now();
    assert_eq!(used(&limiter, now), (1, 400));
    assert_eq!(next_change(&limiter, now), Some(now + MINUTE));
    assert_eq!(used(&limiter, now + MINUTE), (0, 0));
}

#[test]
fn models_have_budgets_of_their_own() {
    let (limiter, now) = (limiter(1, 1_000), Instant::now());
    call(&limiter, 1, now);
    let other = limiter.reserve("voyage-4", Interactive, 1, now);
    assert!(other.is_ok());
    assert!(send(&limiter, 1, now).is_err());
}

#[test]
fn batch_work_leaves_three_percent_to_interactive_calls() {
    let (limiter, now) = (limiter(200, 1_000), Instant::now());
    let batch = |tokens| limiter.reserve(MODEL, Batch, tokens, now);
    batch(970).unwrap().settle(None, now);
    assert_eq!(batch(1).unwrap_err().cause, Cause::Tokens);
    call(&limiter, 30, now);

    let limiter = super::limiter(200, 1_000_000);
    let batch = || limiter.reserve(MODEL, Batch, 1, now);
    for _ in 0..194 {
        batch().unwrap().settle(None, now);
    }
    assert_eq!(batch().unwrap_err().cause, Cause::Requests);
    for _ in 0..6 {
        call(&limiter, 1, now);
    }
    assert_eq!(send(&limiter, 1, now).unwrap_err().cause, Cause::Requests);
}

#[test]
fn a_tiny_limit_has_no_headroom() {
    let (limiter, now) = (limiter(3, 10_000), Instant::now());
    for tokens in [3_333, 3_333, 3_334] {
        limiter.reserve(MODEL, Batch, tokens, now).unwrap().settle(None, now);
    }
    assert_eq!(used(&limiter, now), (3, 10_000));
    assert_eq!(limiter.for_batch(MODEL).tokens, 10_000);
    assert_eq!(super::limiter(2_000, 10_000).for_batch(MODEL).tokens, 9_700);
}

#[test]
fn a_call_larger_than_the_limit_waits_for_an_empty_minute() {
    let (limiter, start) = (limiter(10, 1_000), Instant::now());
    call(&limiter, 1, start);
    let blocked = send(&limiter, 5_000, start).unwrap_err();
    assert_eq!(blocked, Blocked { until: start + MINUTE, cause: Cause::Tokens });
    assert_eq!(limiter.free_at(MODEL, Interactive, 5_000, start), start + MINUTE);
    let large = send(&limiter, 5_000, start + MINUTE).unwrap();
    assert_eq!(send(&limiter, 0, start + MINUTE).unwrap_err().cause, Cause::Tokens);
    large.settle(Some(5_000), start + MINUTE);
    call(&limiter, 1_000, start + MINUTE * 2);
}

#[test]
fn free_at_finds_the_entry_that_makes_room() {
    let (limiter, start) = (limiter(3, 1_000), Instant::now());
    let free_at =
        |tokens, now| limiter.free_at(MODEL, Interactive, tokens, now).duration_since(start);
    assert_eq!(free_at(1, start), secs(0));
    call(&limiter, 500, start);
    call(&limiter, 300, start + secs(10));
    let now = start + secs(20);
    assert_eq!(free_at(200, now), secs(20));
    assert_eq!(free_at(700, now), secs(60));
    assert_eq!(free_at(701, now), secs(70));
    let _in_flight = send(&limiter, 0, now).unwrap();
    assert_eq!(free_at(0, now), secs(60), "the third request is in flight");
}

#[test]
fn absurd_token_counts_break_nothing() {
    let (limiter, now) = (limiter(10, u64::MAX), Instant::now());
    let first = send(&limiter, u64::MAX, now).unwrap();
    let second = send(&limiter, u64::MAX, now).unwrap();
    first.settle(Some(u64::MAX), now);
    second.failed(now);
    assert_eq!(used(&limiter, now + MINUTE), (0, 0));
}

#[test]
fn unset_limits_are_tier_1s_and_every_replica_takes_its_share() {
    let now = Instant::now();
    let of = |limiter: &Limiter, model| limiter.limits(model, now);
    let limiter = with(&Config::default());
    assert_eq!(of(&limiter, "voyage-4-lite"), (2_000, 16_000_000));
    assert_eq!(of(&limiter, "voyage-4"), (2_000, 8_000_000));
    assert_eq!(of(&limiter, "voyage-4-large"), (2_000, 3_000_000));
    assert_eq!(of(&limiter, "rerank-2.5"), (2_000, 2_000_000));
    assert_eq!(of(&limiter, "unlisted"), (2_000, 3_000_000));

    let mut config = Config { rpm: Some(9), replicas: 4, ..Config::default() };
    let own = ModelLimits { rpm: None, tpm: Some(2_000) };
    config.models.insert("mine".to_owned(), own);
    let limiter = with(&config);
    assert_eq!(of(&limiter, "mine"), (2, 500));
    assert_eq!(of(&limiter, "voyage-4"), (2, 2_000_000));
    config.replicas = 100;
    assert_eq!(of(&with(&config), "mine"), (1, 20));
}

#[test]
fn unlisted_models_beyond_the_bound_share_a_window() {
    let mut config = config(1, 1_000);
    config.models.insert("configured".to_owned(), ModelLimits::default());
    let (limiter, now) = (with(&config), Instant::now());
    let reserve = |model: &str, now| limiter.reserve(model, Interactive, 1, now);
    for n in 0..MAX_UNLISTED {
        reserve(&format!("model-{n}"), now).unwrap().settle(None, now);
    }
    reserve("beyond-1", now).unwrap().settle(None, now);
    assert_eq!(reserve("beyond-2", now).unwrap_err().cause, Cause::Requests);
    reserve("voyage-4", now).unwrap().settle(None, now);
    reserve("configured", now).unwrap().settle(None, now);
    assert_eq!(limiter.windows.lock().by_model.len(), MAX_UNLISTED + 3);

    // A minute later they are forgotten, but not the one that is held.
    let later = now + MINUTE;
    let _held = reserve("model-0", later).unwrap();
    reserve("beyond-2", later).unwrap().settle(None, later);
    let mut names: Vec<String> =
        limiter.windows.lock().by_model.keys().map(ToString::to_string).collect();
    names.sort();
    assert_eq!(names, ["beyond-2", "configured", "model-0", "voyage-4"]);
}

#[test]
fn a_model_stays_in_the_shared_window_while_it_has_calls_there() {
    let (limiter, now) = (limiter(1, 1_000), Instant::now());
    let reserve = |model: &str, now| limiter.reserve(model, Interactive, 1, now);
    for n in 0..MAX_UNLISTED {
        reserve(&format!("model-{n}"), now).unwrap().settle(None, now);
    }
    let middle = now + MINUTE / 2;
    reserve("shared", middle).unwrap().settle(None, middle);
    // There is room for windows again, but the call of half a minute ago counts.
    let later = now + MINUTE;
    assert_eq!(reserve("shared", later).unwrap_err().until, middle + MINUTE);
    assert!(reserve("shared", middle + MINUTE).is_ok());
}
