//! Limits that are not known are found; limits that are known are kept.

use super::*;

/// Uses all requests of one minute and ends them.
fn press(limiter: &Arc<Limiter>, now: Instant) {
    while let Ok(call) = send(limiter, 1, now) {
        call.settle(None, now);
    }
}

fn refuse(limiter: &Arc<Limiter>, free_tier: bool, now: Instant) -> Instant {
    send(limiter, 1, now).unwrap().rate_limited(None, free_tier, now)
}

#[test]
fn a_limit_that_binds_without_a_429_grows_up_to_tier_3() {
    let (limiter, mut now) = (with(&Config::default()), Instant::now());
    assert_eq!(limits(&limiter, now), (2_000, 3_000_000));
    press(&limiter, now);
    assert_eq!(limits(&limiter, now + MINUTE - millis(1)), (2_000, 3_000_000));
    now += MINUTE;
    // Tokens were not tried: nothing was learnt about them.
    assert_eq!(limits(&limiter, now), (2_100, 3_000_000));
    for _ in 0..50 {
        press(&limiter, now);
        now += MINUTE;
    }
    assert_eq!(limits(&limiter, now), (6_000, 3_000_000));
}

#[test]
fn tokens_are_learnt_as_requests_are() {
    let (limiter, now) = (with(&Config::default()), Instant::now());
    call(&limiter, 2_850_000, now);
    assert_eq!(limits(&limiter, now + MINUTE), (2_000, 3_150_000));
}

#[test]
fn a_limit_that_does_not_bind_does_not_grow() {
    let (limiter, now) = (with(&Config::default()), Instant::now());
    call(&limiter, 2_849_999, now);
    assert_eq!(limits(&limiter, now + MINUTE * 10), (2_000, 3_000_000));
}

#[test]
fn a_429_lowers_the_limit_by_a_fifth_and_a_minute_without_one_raises_it_by_a_step() {
    for (config, most) in [(Config::default(), 2_100), (config(2_000, 3_000_000), 2_000)] {
        let (limiter, mut now) = (with(&config), Instant::now());
        now = refuse(&limiter, false, now);
        assert_eq!(limits(&limiter, now), (1_600, 2_400_000));
        for requests in [1_600, 1_700, 1_800, 1_900, 2_000, most] {
            assert_eq!(limits(&limiter, now).0, requests);
            press(&limiter, now);
            now += MINUTE;
        }
    }
}

#[test]
fn a_429_starts_the_minute_anew() {
    let (limiter, start) = (with(&Config::default()), Instant::now());
    assert_eq!(limits(&limiter, start).0, 2_000);
    let now = start + secs(30);
    let reopens = refuse(&limiter, false, now);
    press(&limiter, reopens);
    assert_eq!(limits(&limiter, start + MINUTE).0, 1_600);
    assert_eq!(limits(&limiter, now + MINUTE).0, 1_700);
}

#[test]
fn limits_never_fall_below_the_free_tier_nor_rise_to_it() {
    for (config, least) in [
        (Config::default(), (3, 10_000)),
        (config(2, 9_000_000), (2, 10_000)),
        (config(1, 7), (1, 7)),
    ] {
        let (limiter, mut now) = (with(&config), Instant::now());
        for _ in 0..60 {
            now = refuse(&limiter, false, now) + MINUTE;
        }
        assert_eq!(limits(&limiter, now), least);
    }
}

#[test]
fn configured_limits_are_never_exceeded() {
    let (limiter, mut now) = (limiter(100, 1_000_000), Instant::now());
    for _ in 0..100 {
        press(&limiter, now);
        assert_eq!(used(&limiter, now).0, 100);
        now += MINUTE;
    }
}

#[test]
fn the_free_tiers_429_sets_its_limits_for_every_model_at_once() {
    let (limiter, now) = (with(&Config::default()), Instant::now());
    let of = |model, now| limiter.limits(model, now);
    assert_eq!(of("voyage-4", now), (2_000, 8_000_000));
    let _ = refuse(&limiter, true, now);
    assert!(limiter.is_free_tier());
    for model in [MODEL, "voyage-4", "seen-for-the-first-time"] {
        assert_eq!(limiter.for_batch(model).tokens, 10_000);
        assert_eq!(of(model, now), (3, 10_000));
    }
}

#[test]
fn more_than_the_free_tier_is_proved_step_by_step() {
    let (limiter, now) = (with(&Config::default()), Instant::now());
    let mut now = refuse(&limiter, true, now) + MINUTE;
    // Twice as much at most, so that a real free tier is left by a call or two.
    for requests in [3, 6, 12, 24, 48, 96, 192, 292] {
        assert_eq!(limits(&limiter, now).0, requests);
        assert_eq!(limiter.is_free_tier(), requests < 12);
        press(&limiter, now);
        now += MINUTE;
    }
    // A model that comes now starts where all do.
    assert_eq!(limiter.limits("voyage-4", now).0, 2_000);
    let _ = refuse(&limiter, true, now);
    assert!(limiter.is_free_tier());
}

#[test]
fn a_tight_token_limit_is_left_although_calls_do_not_fill_it() {
    // Two calls of 4,000 tokens fit in 10,000: neither 95 % of the tokens nor of the requests.
    let (limiter, now) = (with(&Config::default()), Instant::now());
    let mut now = refuse(&limiter, true, now) + MINUTE;
    for _ in 0..2 {
        call(&limiter, 4_000, now);
    }
    assert_eq!(send(&limiter, 4_000, now).unwrap_err().cause, Cause::Tokens);
    now += MINUTE;
    assert_eq!(limits(&limiter, now), (3, 20_000));
}
