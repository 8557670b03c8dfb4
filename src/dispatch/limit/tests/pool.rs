//! Several keys: each has a minute of its own, and together they have all of them.

use proptest::prelude::*;

use super::{provider::Provider, *};

const NONE: KeyLimits = KeyLimits { rpm: None, tpm: None };

fn limited(rpm: u32, tpm: u64) -> KeyLimits {
    KeyLimits { rpm: Some(rpm), tpm: Some(tpm) }
}

/// Two keys with the same limits.
fn two(rpm: u32, tpm: u64) -> Arc<Limiter> {
    of(&config(rpm, tpm), &[("a", "pa-a", NONE), ("b", "pa-b", NONE)])
}

fn index(reservation: &Reservation) -> usize {
    reservation.index()
}

/// Sends a call, ends it at once, and returns the index of its key.
fn key_of_call(limiter: &Arc<Limiter>, tokens: u64, now: Instant) -> usize {
    let reservation = send(limiter, tokens, now).unwrap();
    let index = index(&reservation);
    reservation.settle(None, now);
    index
}

#[test]
fn a_call_takes_the_key_with_the_most_room() {
    let (limiter, now) = (two(10, 1_000), Instant::now());
    let first = send(&limiter, 600, now).unwrap();
    assert_eq!((index(&first), &**first.key().alias()), (0, "a"));
    assert_eq!(key_of_call(&limiter, 300, now), 1);
    // 400 are left of the one, 700 of the other.
    assert_eq!(key_of_call(&limiter, 400, now), 1);
    assert_eq!(key_of_call(&limiter, 350, now), 0);
    first.settle(None, now);
    assert_eq!(used(&limiter, now), (2, 700), "the one with the most room");
}

#[test]
fn a_call_is_held_back_only_when_every_key_is_full() {
    let (limiter, start) = (two(1, 1_000), Instant::now());
    assert_eq!(key_of_call(&limiter, 1_000, start), 0);
    let later = start + secs(20);
    assert_eq!(key_of_call(&limiter, 1_000, later), 1);
    let blocked = send(&limiter, 1, start + secs(30)).unwrap_err();
    assert_eq!(blocked, Blocked { until: start + MINUTE, cause: Cause::Requests });
    assert_eq!(key_of_call(&limiter, 1_000, start + MINUTE), 0);
    assert_eq!(send(&limiter, 1, later + MINUTE).map(|call| index(&call)), Ok(1));
}

#[test]
fn each_key_has_its_own_limits_and_the_least_that_is_said_holds() {
    let own = ModelLimits { rpm: Some(50), tpm: Some(500) };
    let models = [("small".to_owned(), own), ("large".to_owned(), ModelLimits::default())];
    let config = Config { models: models.into(), ..config(20, 200) };
    let limits = |key: KeyLimits, model: &str| {
        let limiter = of(&config, &[("a", "pa-a", key)]);
        limiter.limits(model, Instant::now())
    };
    assert_eq!(limits(NONE, "large"), (20, 200));
    assert_eq!(limits(NONE, "small"), (50, 500));
    assert_eq!(limits(limited(30, 300), "large"), (30, 300));
    assert_eq!(limits(limited(30, 300), "small"), (30, 300));
    assert_eq!(limits(limited(90, 900), "small"), (50, 500));
    assert_eq!(limits(KeyLimits { rpm: None, tpm: Some(900) }, "large"), (20, 900));
}

#[test]
fn a_429_closes_one_key_and_its_items_go_with_another() {
    let (limiter, now) = (two(10, 1_000), Instant::now());
    let refused = send(&limiter, 100, now).unwrap();
    assert_eq!(index(&refused), 0);
    assert_eq!(refused.rate_limited(Some(secs(30)), false, now), now, "the other key is free");
    for _ in 0..3 {
        assert_eq!(key_of_call(&limiter, 100, now), 1);
    }
    let refused = send(&limiter, 100, now).unwrap();
    assert_eq!(refused.rate_limited(Some(secs(40)), false, now), now + secs(30));
    let blocked = send(&limiter, 100, now).unwrap_err();
    assert_eq!(blocked, Blocked { until: now + secs(30), cause: Cause::Gate });
    // The first is back, and one probe at a time passes.
    let probe = send(&limiter, 100, now + secs(30)).unwrap();
    assert_eq!(index(&probe), 0);
    assert_eq!(send(&limiter, 100, now + secs(31)).unwrap_err().cause, Cause::InFlight);
    probe.settle(None, now + secs(32));
    // A key that needs no probe goes first.
    assert_eq!(key_of_call(&limiter, 100, now + secs(40)), 0);
}

#[test]
fn the_free_tier_is_one_keys() {
    let config = Config::default();
    let limiter = of(&config, &[("a", "pa-a", NONE), ("b", "pa-b", NONE)]);
    let now = Instant::now();
    let refused = send(&limiter, 100, now).unwrap();
    assert_eq!(index(&refused), 0);
    let _ = refused.rate_limited(Some(secs(1)), true, now);
    assert!(limiter.is_free_tier());
    assert_eq!(limits(&limiter, now), (2_000, 3_000_000), "of the other key");
    let later = now + secs(1);
    let tokens = |model: &str| {
        limiter.within(model, later, |_, windows| {
            windows.iter().map(|window| window.limits(Interactive).tokens).collect::<Vec<_>>()
        })
    };
    assert_eq!(tokens(MODEL), [10_000, 3_000_000]);
    assert_eq!(tokens("voyage-4"), [10_000, 8_000_000], "the account, not the model");
}

#[test]
fn a_rejected_call_leaves_its_tokens() {
    let (limiter, now) = (limiter(10, 1_000), Instant::now());
    send(&limiter, 1_000, now).unwrap().rejected(now);
    assert_eq!(used(&limiter, now), (1, 0));
    call(&limiter, 1_000, now);
}

#[test]
fn batch_calls_are_cut_to_one_keys_minute() {
    let keys = [("small", "pa-a", limited(200, 1_000)), ("large", "pa-b", limited(200, 100_000))];
    let (limiter, now) = (of(&Config::default(), &keys), Instant::now());
    assert_eq!(pair(limiter.for_batch(MODEL)), (194, 97_000));
    // The large one has less budget left than the small one.
    let call = limiter.reserve(MODEL, Interactive, 99_500, now).unwrap();
    assert_eq!(index(&call), 1);
    assert_eq!(pair(limiter.for_batch(MODEL)), (194, 970));
    assert_eq!(limits(&limiter, now), (200, 1_000));
}

/// The provider's counts under a random load, a window for each of three keys.
fn providers(limits: &[(u32, u64); 3]) -> Vec<Provider> {
    limits.iter().map(|&(rpm, tpm)| Provider::new(rpm as usize, tpm)).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]

    /// No key's limit is exceeded in any minute, and none has free budget while calls wait.
    #[test]
    fn no_minute_of_any_key_holds_more_than_its_limits(
        limits in [(1..20_u32, 50..2_000_u64), (1..20, 50..2_000), (1..20, 50..2_000)],
        calls in proptest::collection::vec((0..60_u64, 0..3_000_u64, 0..5_000_u64), 1..200),
    ) {
        let keys = ["a", "b", "c"];
        let keys: Vec<(&str, &str, KeyLimits)> = keys.iter().zip(&limits)
            .map(|(key, (rpm, tpm))| (*key, *key, limited(*rpm, *tpm))).collect();
        let (limiter, mut now) = (of(&Config::default(), &keys), Instant::now());
        let mut providers = providers(&limits);
        for (tokens, latency, pause) in calls {
            // A call that is larger than a key's limit is let through alone: not the subject here.
            let tokens = tokens.min(limits.iter().map(|(_, tpm)| *tpm).min().unwrap());
            match send(&limiter, tokens, now) {
                Ok(call) => {
                    let landed = now + millis(latency);
                    // Voyage counts it some time between the two.
                    prop_assert!(providers[index(&call)].take(tokens, now + millis(latency / 2)));
                    call.settle(Some(tokens), landed);
                    now = landed;
                }
                Err(blocked) => {
                    prop_assert!(blocked.until > now);
                    let free_at = limiter.free_at(MODEL, Interactive, tokens, now);
                    prop_assert_eq!(free_at, blocked.until);
                    now = blocked.until;
                    let call = send(&limiter, tokens, now);
                    prop_assert!(call.is_ok());
                    // The model of the provider did not count it.
                    drop(call);
                    now += MINUTE * 2;
                }
            }
            now += millis(pause);
        }
    }

    /// The forecast sends at the same times as the budget does later.
    #[test]
    fn what_is_foreseen_comes_true(
        calls in proptest::collection::vec(1..900_u64, 1..60),
    ) {
        let limiter = of(&config(5, 1_000), &[("a", "pa-a", NONE), ("b", "pa-b", NONE)]);
        let mut now = Instant::now();
        let mut forecast = limiter.forecast(MODEL, now);
        let mut foreseen = Vec::new();
        let mut at = now;
        for tokens in &calls {
            let planned = loop {
                match forecast.reserve(Interactive, *tokens) {
                    Ok(planned) => break planned,
                    Err(blocked) => {
                        at = blocked.until;
                        forecast.advance(at);
                    }
                }
            };
            forecast.settle(planned, *tokens);
            foreseen.push(at);
        }
        for (tokens, at) in calls.iter().zip(foreseen) {
            while let Err(blocked) = send(&limiter, *tokens, now).map(|call| call.settle(None, now)) {
                now = blocked.until;
            }
            prop_assert_eq!(now, at);
        }
    }
}
