use proptest::prelude::*;

use super::*;

const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

const fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// Waits as long as it may.
fn longest(wait: Duration) -> Duration {
    wait
}

#[test]
fn three_attempts_are_the_most() {
    let allowed = |retry: Retry| (1..10).filter(|attempts| allows(retry, *attempts, 3)).count();
    assert_eq!(allowed(Retry::Never), 0);
    assert_eq!(allowed(Retry::Once), 1);
    assert_eq!(allowed(Retry::Gate), 2);
    assert_eq!(allowed(Retry::Backoff), 2);
}

#[test]
fn waits_double_up_to_five_seconds() {
    let waits: Vec<u128> =
        (0..9).map(|attempts| backoff(attempts, None, longest).as_millis()).collect();
    assert_eq!(waits, [100, 100, 200, 400, 800, 1_600, 3_200, 5_000, 5_000]);
    assert_eq!(backoff(u32::MAX, None, longest), secs(5));
    assert_eq!(backoff(3, None, |_| Duration::ZERO), Duration::ZERO);
}

#[test]
fn retry_after_is_a_lower_bound_of_at_most_a_minute() {
    assert_eq!(backoff(1, Some(secs(7)), |_| Duration::ZERO), secs(7));
    assert_eq!(backoff(1, Some(secs(7)), longest), millis(7_100));
    assert_eq!(backoff(1, Some(secs(3_600)), |_| Duration::ZERO), secs(60));
}

#[test]
fn full_jitter_is_between_zero_and_the_longest_wait() {
    let waits: Vec<Duration> = (0..1_000).map(|_| full_jitter(secs(1))).collect();
    assert!(waits.iter().all(|wait| *wait <= secs(1)));
    // Each misses once in 10^45 runs.
    assert!(waits.iter().any(|wait| *wait < millis(100)));
    assert!(waits.iter().any(|wait| *wait > millis(900)));
}

#[test]
fn the_budget_starts_with_ten_and_holds_no_more() {
    let now = Instant::now();
    let budget = RetryBudget::new(now);
    for later in [now, now + secs(3_600)] {
        for _ in 0..100 {
            budget.earn(later);
        }
        let spent = (0..20).filter(|_| budget.spend(later)).count();
        assert_eq!(spent, 10);
    }
}

#[test]
fn ten_calls_or_a_second_earn_a_retry() {
    let now = Instant::now();
    let budget = RetryBudget::new(now);
    while budget.spend(now) {}
    for _ in 0..9 {
        budget.earn(now);
        assert!(!budget.spend(now));
    }
    budget.earn(now);
    assert!(budget.spend(now));
    assert!(!budget.spend(now + millis(999)));
    assert!(budget.spend(now + secs(1)));
}

#[test]
fn the_earnings_of_time_are_added_once() {
    let start = Instant::now();
    let budget = RetryBudget::new(start);
    while budget.spend(start) {}
    let spent = (0..100_000_u64).filter(|n| budget.spend(start + Duration::from_micros(n * 100)));
    assert_eq!(spent.count(), 9);
    // A clock that was read earlier takes nothing away.
    assert!(!budget.spend(start));
    assert!(budget.spend(start + secs(10)));
}

proptest! {
    /// Promise 11: all retries together are at most a tenth of the calls, one a second, and ten.
    #[test]
    fn retries_stay_within_the_budget(events in prop::collection::vec((any::<bool>(), 0..2_000_u64), 1..400)) {
        let start = Instant::now();
        let budget = RetryBudget::new(start);
        let (mut now, mut calls, mut retries) = (start, 0.0, 0.0);
        for (is_call, wait) in events {
            now += millis(wait);
            if is_call {
                budget.earn(now);
                calls += 1.0;
            } else if budget.spend(now) {
                retries += 1.0;
            }
            let allowed = 10.0 + calls / 10.0 + (now - start).as_secs_f64();
            prop_assert!(retries <= allowed + 1e-6, "{} of {}", retries, allowed);
        }
    }
}
