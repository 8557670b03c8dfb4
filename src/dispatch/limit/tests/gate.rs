//! The gate after a 429.

use super::*;

fn refuse(reservation: Reservation, retry_after: Option<u64>, now: Instant) -> Duration {
    reservation.rate_limited(retry_after.map(secs), false, now).duration_since(now)
}

/// Asserts that a wait is the gateway's own of so many seconds: jitter goes upward only.
fn assert_own(wait: Duration, seconds: u64) {
    assert!(wait >= secs(seconds) && wait <= secs(seconds).mul_f64(1.2), "{wait:?}");
}

#[test]
fn a_429_closes_the_gate_for_all_calls_until_retry_after() {
    let (limiter, now) = (limiter(100, 10_000), Instant::now());
    let first = send(&limiter, 1, now).unwrap();
    let second = send(&limiter, 1, now).unwrap();
    assert_eq!(refuse(first, Some(7), now), secs(7));
    let blocked = Blocked { until: now + secs(7), cause: Cause::Gate };
    assert_eq!(send(&limiter, 1, now).unwrap_err(), blocked);
    assert_eq!(next_change(&limiter, now), Some(now + secs(7)));
    assert_eq!(limiter.free_at(MODEL, Interactive, 1, now), now + secs(7));
    assert!(limiter.reserve("voyage-4", Interactive, 1, now).is_ok());
    // A success of a call from before proves nothing.
    second.settle(None, now);
    assert_eq!(send(&limiter, 1, now).unwrap_err(), blocked);
    assert!(send(&limiter, 1, now + secs(7)).is_ok());
}

#[test]
fn a_429_takes_a_request_and_no_tokens() {
    let (limiter, now) = (limiter(100, 10_000), Instant::now());
    let _ = refuse(send(&limiter, 9_000, now).unwrap(), Some(1), now);
    assert_eq!(used(&limiter, now), (1, 0));
}

#[test]
fn the_gate_reopens_for_one_and_then_for_all() {
    let (limiter, now) = (limiter(100, 10_000), Instant::now());
    let _ = refuse(send(&limiter, 1, now).unwrap(), Some(1), now);
    let now = now + secs(1);
    let probe = send(&limiter, 1, now).unwrap();
    let waiting = Blocked { until: now + secs(1), cause: Cause::InFlight };
    assert_eq!(send(&limiter, 1, now).unwrap_err(), waiting);
    // Failed: the next one is the probe. Not sent: the same.
    probe.failed(now);
    drop(limiter.reserve(MODEL, Interactive, 1, now).unwrap());
    let probe = send(&limiter, 1, now).unwrap();
    assert_eq!(send(&limiter, 1, now).unwrap_err(), waiting);
    probe.settle(None, now);
    let _all = [send(&limiter, 1, now).unwrap(), send(&limiter, 1, now).unwrap()];
}

#[test]
fn own_waits_double_up_to_half_a_minute_and_start_again_after_a_success() {
    let (limiter, mut now) = (limiter(100, 10_000), Instant::now());
    for seconds in [1, 2, 4, 8, 16, 30, 30] {
        let wait = refuse(send(&limiter, 1, now).unwrap(), None, now);
        assert_own(wait, seconds);
        now += wait;
    }
    call(&limiter, 1, now);
    assert_own(refuse(send(&limiter, 1, now).unwrap(), None, now), 1);
}

#[test]
fn calls_that_were_in_flight_together_are_one_lesson() {
    let (limiter, now) = (limiter(100, 100_000), Instant::now());
    let calls: Vec<_> = (0..8).map(|_| send(&limiter, 1, now).unwrap()).collect();
    let waits: Vec<_> = calls.into_iter().map(|call| refuse(call, None, now)).collect();
    assert_own(waits[0], 1);
    assert!(waits.iter().all(|wait| *wait == waits[0]), "{waits:?}");
    assert_eq!(limits(&limiter, now), (80, 80_000));
}

#[test]
fn a_longer_retry_after_of_an_older_call_counts_even_while_the_probe_is_out() {
    let (limiter, now) = (limiter(100, 10_000), Instant::now());
    let [first, second] = [send(&limiter, 1, now).unwrap(), send(&limiter, 1, now).unwrap()];
    assert_eq!(refuse(first, Some(1), now), secs(1));
    let now = now + secs(1);
    let probe = send(&limiter, 1, now).unwrap();
    assert_eq!(refuse(second, Some(9), now), secs(9));
    probe.settle(None, now);
    assert_eq!(send(&limiter, 1, now).unwrap_err().until, now + secs(9));
    call(&limiter, 1, now + secs(9));
}
