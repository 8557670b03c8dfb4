//! Invariants in any order of events.

use proptest::prelude::*;

use super::*;

const RPM: u32 = 5;
const TPM: u64 = 1_000;

/// Something that happens to the limiter.
#[derive(Clone, Debug)]
enum Step {
    Reserve {
        tokens: u64,
        batch: bool,
        sent: bool,
    },
    /// Settles the n-th call in flight with this part of its tokens.
    End {
        which: prop::sample::Index,
        end: End,
    },
    Advance {
        millis: u64,
    },
}

#[derive(Clone, Debug)]
enum End {
    Settled { percent: Option<u64> },
    Failed,
    Dropped,
    RateLimited { retry_after: Option<u64> },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let landing = prop_oneof![
        4 => prop::option::of(0..=100_u64).prop_map(|percent| End::Settled { percent }),
        2 => Just(End::Failed),
        1 => Just(End::Dropped),
        1 => prop::option::of(0..=60_u64).prop_map(|retry_after| End::RateLimited { retry_after }),
    ];
    let step = prop_oneof![
        4 => (0..=400_u64, any::<bool>(), prop::bool::weighted(0.9))
            .prop_map(|(tokens, batch, sent)| Step::Reserve { tokens, batch, sent }),
        3 => (any::<prop::sample::Index>(), landing).prop_map(|(which, end)| Step::End { which, end }),
        3 => (0..=20_000_u64).prop_map(|millis| Step::Advance { millis }),
    ];
    prop::collection::vec(step, 1..120)
}

/// A call in the eyes of the provider, which may count it at any moment between sending and reply.
#[derive(Clone, Copy)]
struct Sent {
    at: Instant,
    /// `None`: no reply yet.
    replied: Option<Instant>,
    /// At most the estimate.
    tokens: u64,
}

/// Asserts that no provider can have counted too much in any minute that ends now.
fn assert_within_limits(sent: &[Sent], now: Instant) {
    let may_count = |call: &&Sent| call.replied.is_none_or(|at| at + MINUTE > now);
    let requests = sent.iter().filter(may_count).count();
    let tokens: u64 = sent.iter().filter(may_count).map(|call| call.tokens).sum();
    assert!(requests <= RPM as usize, "{requests} requests in a minute");
    assert!(tokens <= TPM, "{tokens} tokens in a minute");
}

/// Runs the steps on the paused clock; returns the limiter with nothing in flight.
async fn run(steps: Vec<Step>) -> Arc<Limiter> {
    let limiter = limiter(RPM, TPM);
    let mut sent: Vec<Sent> = Vec::new();
    let mut in_flight: Vec<(Option<usize>, Reservation)> = Vec::new();
    for step in steps {
        let now = Instant::now();
        match step {
            Step::Reserve { tokens, batch, sent: is_sent } => {
                let class = if batch { Batch } else { Interactive };
                let free_at = limiter.free_at(MODEL, class, tokens, now);
                match limiter.reserve(MODEL, class, tokens, now) {
                    Ok(mut reservation) => {
                        assert_eq!(free_at, now);
                        let index = is_sent.then_some(sent.len());
                        if is_sent {
                            reservation.sent(tokens / 2);
                            sent.push(Sent { at: now, replied: None, tokens });
                            assert_within_limits(&sent, now);
                        }
                        in_flight.push((index, reservation));
                    }
                    Err(blocked) => assert!(blocked.until > now, "{blocked:?}"),
                }
            }
            Step::End { which, end } if !in_flight.is_empty() => {
                let (index, reservation) = in_flight.swap_remove(which.index(in_flight.len()));
                let tokens =
                    end_call(reservation, index.map(|index| sent[index].tokens), &end, now);
                if let Some(index) = index {
                    sent[index].replied = Some(now);
                    sent[index].tokens = tokens;
                }
            }
            Step::End { .. } => {}
            Step::Advance { millis: span } => tokio::time::advance(millis(span)).await,
        }
    }
    // Every moment of the past is checked as well, not only those of sending.
    for call in &sent {
        let until = |other: &Sent| other.at <= call.at;
        let past: Vec<Sent> = sent.iter().copied().filter(until).collect();
        assert_within_limits(&past, call.at);
    }
    limiter
}

/// Ends a call; returns the tokens the provider counted.
fn end_call(reservation: Reservation, sent: Option<u64>, end: &End, now: Instant) -> u64 {
    // Calls that were not sent can only be dropped.
    let Some(estimate) = sent else { return 0 };
    match end {
        End::Settled { percent: None } => reservation.settle(None, now),
        End::Settled { percent: Some(percent) } => {
            let actual = estimate * percent / 100;
            reservation.settle(Some(actual), now);
            return actual;
        }
        End::Failed => reservation.failed(now),
        End::Dropped => drop(reservation),
        End::RateLimited { retry_after } => {
            let until = reservation.rate_limited(retry_after.map(secs), false, now);
            assert!(until >= now);
            return 0;
        }
    }
    estimate
}

fn on_a_paused_clock<F: Future>(work: F) -> F::Output {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    runtime.enable_time().start_paused(true).build().unwrap().block_on(work)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn no_minute_holds_more_than_the_limits_and_nothing_leaks(steps in steps()) {
        on_a_paused_clock(async {
            let limiter = run(steps).await;
            // The rest was dropped with the run.
            let now = Instant::now() + MINUTE;
            assert_eq!(used(&limiter, now), (0, 0));
            assert_eq!(next_change(&limiter, now), None);
        });
    }

    #[test]
    fn free_at_is_the_truth(steps in steps(), tokens in 0..=1_500_u64, batch: bool) {
        on_a_paused_clock(async {
            let limiter = run(steps).await;
            let class = if batch { Batch } else { Interactive };
            let now = Instant::now();
            let free_at = limiter.free_at(MODEL, class, tokens, now);
            if let Err(blocked) = limiter.reserve(MODEL, class, tokens, now) {
                assert_eq!(blocked.until, free_at);
            }
            let early = free_at - millis(1);
            // A limit that a 429 has lowered may have grown by then.
            let grows = limits(&limiter, now) != (RPM.into(), TPM);
            assert!(grows || early <= now || limiter.reserve(MODEL, class, tokens, early).is_err());
            assert!(limiter.reserve(MODEL, class, tokens, free_at).is_ok());
        });
    }
}

/// Promise 39: reservations reconcile, and nothing drifts over very many of them.
#[tokio::test(start_paused = true)]
async fn a_hundred_thousand_mixed_outcomes_leave_nothing_behind() {
    let limiter = limiter(2_000, 3_000_000);
    let mut random: u64 = 1;
    let mut draw = |below: u64| {
        random =
            random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (random >> 33) % below.max(1)
    };
    let mut in_flight = Vec::new();
    let mut outcomes = 0;
    while outcomes < 100_000 {
        let now = Instant::now();
        match limiter.reserve(MODEL, Interactive, draw(6_000), now) {
            Ok(mut reservation) => {
                if draw(10) > 0 {
                    reservation.sent(draw(6_000));
                }
                in_flight.push(reservation);
            }
            Err(blocked) => tokio::time::advance(blocked.until - now).await,
        }
        if in_flight.len() > draw(16).try_into().unwrap() {
            let reservation =
                in_flight.swap_remove(draw(in_flight.len() as u64).try_into().unwrap());
            outcomes += 1;
            match draw(20) {
                0..12 => reservation.settle(Some(draw(6_000)), now),
                12..14 => reservation.settle(None, now),
                14..16 => reservation.failed(now),
                16..19 => drop(reservation),
                _ => {
                    let _ = reservation.rate_limited(None, false, now);
                }
            }
        }
    }
    drop(in_flight);
    let now = Instant::now();
    assert_ne!(used(&limiter, now), (0, 0));
    assert_eq!(used(&limiter, now + MINUTE), (0, 0));
}
