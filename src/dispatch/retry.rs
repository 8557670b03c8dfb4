//! Retries: whether and when a failed call is repeated, and the retry budget of all calls.
//!
//! Only this layer retries: at most `retry.max_attempts` calls for the same items, and retries for at most a tenth of
//! all calls and one a second.

use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use crate::error::Retry;

/// The longest first wait; the bound doubles with every retry.
const FIRST_WAIT: Duration = Duration::from_millis(100);

/// The longest wait without `Retry-After`.
const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// The longest `Retry-After` that is obeyed.
const LONGEST_RETRY_AFTER: Duration = Duration::from_mins(1);

/// Returns whether a call may be repeated after so many attempts, `most` being `retry.max_attempts`.
pub(crate) fn allows(retry: Retry, attempts: u32, most: u32) -> bool {
    match retry {
        Retry::Never => false,
        Retry::Once => attempts < most.min(2),
        Retry::Backoff | Retry::Gate => attempts < most,
    }
}

/// Returns the wait before a retry after `attempts` failed calls.
///
/// `jitter` draws it from 100 ms·2^(`attempts` − 1), at most 5 s ([`full_jitter`]). `retry_after`, at most a minute, is
/// added, so that clients with the same `Retry-After` do not retry together.
pub(crate) fn backoff(
    attempts: u32,
    retry_after: Option<Duration>,
    jitter: impl FnOnce(Duration) -> Duration,
) -> Duration {
    let doublings = attempts.saturating_sub(1).min(16);
    let longest = FIRST_WAIT.saturating_mul(1 << doublings).min(LONGEST_WAIT);
    retry_after.unwrap_or_default().min(LONGEST_RETRY_AFTER) + jitter(longest)
}

/// Draws a wait from zero up to `longest`, evenly.
pub(crate) fn full_jitter(longest: Duration) -> Duration {
    longest.mul_f64(rand::random::<f64>())
}

/// The cost of a retry, in thousandths.
const RETRY: u64 = 1_000;

/// The earnings of a call, in thousandths of a retry.
const CALL: u64 = 100;

/// The largest and the first balance.
const FULL: u64 = 10 * RETRY;

/// The retries that all calls to one upstream may have: one for ten calls, one a second, and ten at once.
///
/// Without it, retries could become the load that keeps a failing upstream down.
#[derive(Debug)]
pub(crate) struct RetryBudget(Mutex<Balance>);

#[derive(Debug)]
struct Balance {
    /// In thousandths of a retry.
    balance: u64,
    /// The time up to which the earnings of time are added.
    paid_until: Instant,
}

impl RetryBudget {
    /// Returns a full budget.
    pub(crate) fn new(now: Instant) -> Self {
        Self(Mutex::new(Balance { balance: FULL, paid_until: now }))
    }

    /// Adds the earnings of one call that is not a retry.
    pub(crate) fn earn(&self, now: Instant) {
        self.with(now, |account| account.balance = (account.balance + CALL).min(FULL));
    }

    /// Takes one retry; false when there is none.
    #[must_use]
    pub(crate) fn spend(&self, now: Instant) -> bool {
        self.with(now, |account| {
            let rest = account.balance.checked_sub(RETRY);
            account.balance = rest.unwrap_or(account.balance);
            rest.is_some()
        })
    }

    /// Returns the retries left, in fractions.
    #[expect(clippy::cast_precision_loss, reason = "it is 10,000 at most")]
    pub(crate) fn balance(&self, now: Instant) -> f64 {
        self.with(now, |account| account.balance as f64 / RETRY as f64)
    }

    fn with<R>(&self, now: Instant, work: impl FnOnce(&mut Balance) -> R) -> R {
        let mut account = self.0.lock();
        // One retry a second is a thousandth a millisecond; the rest of a millisecond is added later.
        let millis = now.saturating_duration_since(account.paid_until).as_millis();
        let millis = u64::try_from(millis).unwrap_or(u64::MAX);
        account.paid_until += Duration::from_millis(millis);
        account.balance = account.balance.saturating_add(millis).min(FULL);
        work(&mut account)
    }
}

#[cfg(test)]
mod tests;
