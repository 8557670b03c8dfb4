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

fn seat(reservation: &Reservation) -> usize {
    reservation.key().0
}

/// Sends a call, lands it at once, and tells which key it had.
fn seat_of_call(limiter: &Arc<Limiter>, tokens: u64, now: Instant) -> usize {
    let reservation = send(limiter, tokens, now).unwrap();
    let seat = seat(&reservation);
    reservation.settle(None, now);
    seat
}

#[test]
fn a_call_takes_the_key_with_the_most_room() {
    let (limiter, now) = (two(10, 1_000), Instant::now());
    let first = send(&limiter, 600, now).unwrap();
    assert_eq!((seat(&first), &**first.key().1.alias()), (0, "a"));
    assert_eq!(seat_of_call(&limiter, 300, now), 1);
    // 400 are left of the one, 700 of the other.
    assert_eq!(seat_of_call(&limiter, 400, now), 1);
    assert_eq!(seat_of_call(&limiter, 350, now), 0);
    first.settle(None, now);
    let usage = limiter.usage(MODEL, now);
    assert_eq!((usage.tokens, usage.requests), (700, 2), "the one with the most room");
}

#[test]
fn a_call_is_held_back_only_when_every_key_is_full() {
    let (limiter, start) = (two(1, 1_000), Instant::now());
    assert_eq!(seat_of_call(&limiter, 1_000, start), 0);
    let later = start + secs(20);
    assert_eq!(seat_of_call(&limiter, 1_000, later), 1);
    let blocked = send(&limiter, 1, start + secs(30)).unwrap_err();
    assert_eq!(blocked, Blocked { until: start + MINUTE, cause: Cause::Requests });
    assert_eq!(seat_of_call(&limiter, 1_000, start + MINUTE), 0);
    assert_eq!(send(&limiter, 1, later + MINUTE).map(|call| seat(&call)), Ok(1));
}

#[test]
fn each_key_has_its_own_limits_and_the_least_that_is_said_holds() {
    let own = ModelLimits { rpm: Some(50), tpm: Some(500) };
    let models = [("small".to_owned(), own), ("large".to_owned(), ModelLimits::default())];
    let config = Config { models: models.into(), ..config(20, 200) };
    let limits = |key: KeyLimits, model: &str| {
        let limiter = of(&config, &[("a", "pa-a", key)]);
        let usage = limiter.usage(model, Instant::now());
        (usage.requests_limit, usage.tokens_limit)
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
    assert_eq!(seat(&refused), 0);
    assert_eq!(refused.rate_limited(Some(secs(30)), false, now), now, "the other key is free");
    for _ in 0..3 {
        assert_eq!(seat_of_call(&limiter, 100, now), 1);
    }
    let refused = send(&limiter, 100, now).unwrap();
    assert_eq!(refused.rate_limited(Some(secs(40)), false, now), now + secs(30));
    let blocked = send(&limiter, 100, now).unwrap_err();
    assert_eq!(blocked, Blocked { until: now + secs(30), cause: Cause::Gate });
    // The first is back, and one probe at a time passes.
    let probe = send(&limiter, 100, now + secs(30)).unwrap();
    assert_eq!(seat(&probe), 0);
    assert_eq!(send(&limiter, 100, now + secs(31)).unwrap_err().cause, Cause::InFlight);
    probe.settle(None, now + secs(32));
    // A key that needs no probe goes first.
    assert_eq!(seat_of_call(&limiter, 100, now + secs(40)), 0);
}

#[test]
fn the_free_tier_is_one_keys() {
    let config = Config::default();
    let limiter = of(&config, &[("a", "pa-a", NONE), ("b", "pa-b", NONE)]);
    let now = Instant::now();
    let refused = send(&limiter, 100, now).unwrap();
    assert_eq!(seat(&refused), 0);
    let _ = refused.rate_limited(Some(secs(1)), true, now);
    assert!(limiter.is_free_tier());
    assert_eq!(limits(&limiter, now), (2_000, 3_000_000), "of the other key");
    let later = now + secs(1);
    let tokens = |model: &str| {
        limiter.within(model, later, |_, windows| {
            windows.iter().map(|window| window.limits(Class::Interactive).1).collect::<Vec<_>>()
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
    assert_eq!(limiter.for_batch(MODEL), (194, 97_000));
    // What is left of the large one is less than what the small one has.
    let call = limiter.reserve(MODEL, Class::Interactive, 99_500, now).unwrap();
    assert_eq!(seat(&call), 1);
    assert_eq!(limiter.for_batch(MODEL), (194, 970));
    assert_eq!(limiter.usage(MODEL, now).tokens_limit, 1_000);
}

#[test]
fn together_the_keys_are_free_sooner_than_each_alone() {
    let (limiter, start) = (two(10, 1_000), Instant::now());
    for (at, tokens) in [(0, 600), (0, 600), (10, 400), (20, 400)] {
        seat_of_call(&limiter, tokens, start + secs(at));
    }
    let now = start + secs(30);
    let after = |requests, tokens| {
        let need = Need { requests, tokens };
        limiter.free_at(MODEL, Class::Interactive, need, now).duration_since(start)
    };
    let one_call = |tokens| {
        limiter.free_for_call(MODEL, Class::Interactive, tokens, now).duration_since(start)
    };
    assert_eq!(one_call(600), secs(60));
    assert_eq!(one_call(700), secs(70));
    assert_eq!(after(2, 1_200), secs(60), "600 with each");
    assert_eq!(after(2, 1_300), secs(70));
    assert_eq!(after(3, 2_000), secs(80));
    // Both minutes, and what is left after them.
    assert_eq!(after(4, 2_001), secs(60) + MINUTE);
    assert_eq!(after(16, 0), secs(30), "two of ten requests are used, of both");
    assert_eq!(after(18, 0), secs(60));
}

#[test]
fn a_closed_gate_has_no_room_until_it_opens() {
    let (limiter, now) = (two(10, 1_000), Instant::now());
    let _ = send(&limiter, 100, now).unwrap().rate_limited(Some(secs(30)), false, now);
    let need = |tokens| Need { requests: 2, tokens };
    let free_at = |tokens| limiter.free_at(MODEL, Class::Interactive, need(tokens), now);
    assert_eq!(free_at(1_000), now);
    // The 429 was a lesson: 800 are left of the 1,000.
    assert_eq!(free_at(1_800), now + secs(30));
}

/// What the provider of a random load counts, a window for each of three keys.
fn providers(limits: &[(u32, u64); 3]) -> Vec<Provider> {
    limits.iter().map(|&(rpm, tpm)| Provider::new(rpm as usize, tpm)).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]

    /// Whatever is sent when it may be, no key's quota is exceeded in any minute, and none is left while calls wait.
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
                    prop_assert!(providers[seat(&call)].take(tokens, now + millis(latency / 2)));
                    call.settle(Some(tokens), landed);
                    now = landed;
                }
                Err(blocked) => {
                    prop_assert!(blocked.until > now);
                    let free_at = limiter.free_for_call(MODEL, Class::Interactive, tokens, now);
                    prop_assert_eq!(free_at, blocked.until);
                    let need = Need { requests: 1, tokens };
                    prop_assert!(limiter.free_at(MODEL, Class::Interactive, need, now) <= free_at);
                    now = blocked.until;
                    let call = send(&limiter, tokens, now);
                    prop_assert!(call.is_ok());
                    // It was made, and nobody told the provider's model.
                    drop(call);
                    now += MINUTE * 2;
                }
            }
            now += millis(pause);
        }
    }

    /// What many calls are told is when the last of them leaves, if nobody else comes: each is cut to the room
    /// of its key.
    #[test]
    fn what_many_calls_are_told_is_the_truth(
        used in proptest::collection::vec((0..60_000_u64, 1..400_u64), 0..30),
        wanted in 1..3_000_u64,
    ) {
        let limiter = of(&config(1_000, 1_000), &[("a", "pa-a", NONE), ("b", "pa-b", NONE)]);
        let start = Instant::now();
        let mut used = used;
        used.sort_unstable();
        for (at, tokens) in used {
            let at = start + millis(at);
            if let Ok(call) = send(&limiter, tokens, at) {
                call.settle(None, at);
            }
        }
        let mut now = start + MINUTE;
        let need = Need { requests: 2, tokens: wanted };
        let told = limiter.free_at(MODEL, Class::Interactive, need, now);
        let mut left = wanted;
        loop {
            let usage = limiter.usage(MODEL, now);
            let room = usage.tokens_limit.saturating_sub(usage.tokens).min(left);
            if room > 0 {
                send(&limiter, room, now).unwrap().settle(None, now);
                left -= room;
            } else {
                now = limiter.free_for_call(MODEL, Class::Interactive, 1, now);
            }
            if left == 0 {
                break;
            }
        }
        prop_assert_eq!(told, now);
    }
}
