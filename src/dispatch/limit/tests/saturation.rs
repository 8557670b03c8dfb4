//! Under more load than fits, the budget is used to the full and never exceeded.

use std::collections::BTreeMap;

use super::{provider::Provider, *};

/// A load that always has another call to send.
#[derive(Clone, Copy)]
struct Load {
    rpm: u32,
    tpm: u64,
    /// From sending to reply.
    latency: Duration,
    in_flight: usize,
    /// Every n-th call is interactive; 0: none.
    interactive_every: u64,
    /// The tokens of the n-th call.
    tokens: fn(u64) -> u64,
    /// The margin of the estimate, in percent.
    margin: u64,
}

/// Offers three minutes of the load on the paused clock; returns the shares of the budgets of requests and
/// tokens that were used, in percent of three minutes' worth.
#[expect(clippy::cast_precision_loss, reason = "counts of a test")]
async fn saturate(load: Load) -> (f64, f64) {
    let limiter = limiter(load.rpm, load.tpm);
    let mut provider = Provider::new(load.rpm as usize, load.tpm);
    let start = Instant::now();
    let mut landings: BTreeMap<(Instant, u64), (Reservation, u64)> = BTreeMap::new();
    let mut arrivals: BTreeMap<(Instant, u64), u64> = BTreeMap::new();
    let mut n = 0;
    while start.elapsed() < MINUTE * 3 {
        let now = Instant::now();
        // The provider counts a call when it is half-way to its reply.
        while let Some(arrival) = arrivals.first_entry().filter(|entry| entry.key().0 <= now) {
            assert!(provider.take(arrival.remove(), now), "429 after {:?}", start.elapsed());
        }
        while let Some(landing) = landings.first_entry().filter(|entry| entry.key().0 <= now) {
            let (reservation, tokens) = landing.remove();
            reservation.settle(Some(tokens), now);
        }
        let mut look_again = now + secs(60);
        while landings.len() < load.in_flight {
            let tokens = (load.tokens)(n);
            let interactive = load.interactive_every > 0 && n % load.interactive_every == 0;
            let class = if interactive { Interactive } else { Batch };
            let estimate =
                (tokens + tokens * load.margin / 100).min(limiter.for_batch(MODEL).tokens);
            match limiter.reserve(MODEL, class, estimate, now) {
                Ok(mut reservation) => {
                    reservation.sent(tokens);
                    arrivals.insert((now + load.latency / 2, n), tokens);
                    landings.insert((now + load.latency, n), (reservation, tokens));
                    n += 1;
                }
                Err(blocked) => {
                    look_again = blocked.until;
                    break;
                }
            }
        }
        let next = [
            arrivals.first_key_value().map(|(key, _)| key.0),
            landings.first_key_value().map(|(key, _)| key.0),
        ];
        let next = next.into_iter().flatten().chain([look_again]).min().unwrap();
        tokio::time::sleep_until(next).await;
    }
    let percent = |used: f64, a_minute: f64| used * 100.0 / (a_minute * 3.0);
    let requests = percent(provider.requests() as f64, f64::from(load.rpm));
    let tokens = percent(provider.tokens() as f64, load.tpm as f64);
    println!("{requests:.2} % of the requests, {tokens:.2} % of the tokens");
    (requests, tokens)
}

const TIER_1: Load = Load {
    rpm: 2_000,
    tpm: 3_000_000,
    latency: millis(100),
    in_flight: 8,
    interactive_every: 0,
    tokens: |_| 100,
    margin: 10,
};

#[tokio::test(start_paused = true)]
async fn small_calls_use_the_requests_of_tier_1() {
    let (requests, _) = saturate(TIER_1).await;
    assert!(requests >= 95.0, "{requests} %");
}

#[tokio::test(start_paused = true)]
async fn mixed_calls_use_the_requests_of_tier_1() {
    let (requests, _) = saturate(Load { interactive_every: 5, ..TIER_1 }).await;
    assert!(requests >= 95.0, "{requests} %");
}

#[tokio::test(start_paused = true)]
async fn large_calls_use_the_tokens_of_tier_1() {
    let tokens = |n| 20_000 + n * 7_919 % 60_000;
    let load = Load { tokens, latency: millis(800), ..TIER_1 };
    let (_, tokens) = saturate(load).await;
    assert!(tokens >= 95.0, "{tokens} %");
    let (_, tokens) = saturate(Load { interactive_every: 5, ..load }).await;
    assert!(tokens >= 95.0, "{tokens} %");
}

#[tokio::test(start_paused = true)]
async fn small_calls_use_the_requests_of_the_free_tier() {
    let (requests, _) = saturate(Load { rpm: 3, tpm: 10_000, ..TIER_1 }).await;
    assert!(requests >= 95.0, "{requests} %");
}

#[tokio::test(start_paused = true)]
async fn full_calls_use_the_tokens_of_the_free_tier() {
    for tokens in [|_| 10_000, |_| 3_333] {
        let (_, tokens) = saturate(Load { rpm: 3, tpm: 10_000, tokens, margin: 0, ..TIER_1 }).await;
        assert!(tokens >= 95.0, "{tokens} %");
    }
}
