//! Whether a failed call is made again, when, and how often all calls together may be.
//!
//! One layer retries, this one: at most `retry.max_attempts` calls for the same items, and retries of at most a
//! tenth of all calls and one a second.

use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use crate::error::Retry;

/// The longest first wait; it doubles with every retry.
const FIRST_WAIT: Duration = Duration::from_millis(100);

/// The longest wait of the gateway's own choice.
const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// A longer `Retry-After` is not believed.
const LONGEST_RETRY_AFTER: Duration = Duration::from_mins(1);

/// Returns whether a call may be repeated after so many attempts, `most` being `retry.max_attempts`.
pub(crate) fn allows(retry: Retry, attempts: u32, most: u32) -> bool {
    match retry {
        Retry::Never => false,
        Retry::Once => attempts < most.min(2),
        Retry::Backoff | Retry::Gate => attempts < most,
    }
}

/// Returns how long to wait before a retry, `attempts` calls having failed.
///
/// The wait is drawn from 100 ms·2^(`attempts` − 1), at most 5 s; `retry_after`, at most a minute, comes on top, so that
/// those who were told the same time do not return together. `jitter` draws from zero up to its argument:
/// [`full_jitter`].
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

/// What a retry costs, in thousandths.
const RETRY: u64 = 1_000;

/// What a call earns, in thousandths of a retry.
const CALL: u64 = 100;

/// What the budget holds at most, and at first.
const FULL: u64 = 10 * RETRY;

/// How many retries all calls to one upstream may have: one for ten calls and one a second, and ten at once.
///
/// When everything fails, retries must not become the load that keeps it failing.
#[derive(Debug)]
pub(crate) struct RetryBudget(Mutex<Account>);

#[derive(Debug)]
struct Account {
    /// In thousandths of a retry.
    balance: u64,
    /// Up to when time has been paid for.
    paid_until: Instant,
}

impl RetryBudget {
    /// Returns a full budget.
    pub(crate) fn new(now: Instant) -> Self {
        Self(Mutex::new(Account { balance: FULL, paid_until: now }))
    }

    /// Earns for one call that is no retry.
    pub(crate) fn earn(&self, now: Instant) {
        self.with(now, |account| account.balance = (account.balance + CALL).min(FULL));
    }

    /// Takes one retry out; false when there is none.
    #[must_use]
    pub(crate) fn spend(&self, now: Instant) -> bool {
        self.with(now, |account| match account.balance.checked_sub(RETRY) {
            Some(rest) => {
                account.balance = rest;
                true
            }
            None => false,
        })
    }

    /// Returns how many retries there are, in fractions.
    #[expect(clippy::cast_precision_loss, reason = "it is 10,000 at most")]
    pub(crate) fn balance(&self, now: Instant) -> f64 {
        self.with(now, |account| account.balance as f64 / RETRY as f64)
    }

    fn with<R>(&self, now: Instant, work: impl FnOnce(&mut Account) -> R) -> R {
        let mut account = self.0.lock();
        // One retry a second is a thousandth a millisecond; what is left of a millisecond is paid later.
        let millis = now.saturating_duration_since(account.paid_until).as_millis();
        let millis = u64::try_from(millis).unwrap_or(u64::MAX);
        account.paid_until += Duration::from_millis(millis);
        account.balance = account.balance.saturating_add(millis).min(FULL);
        work(&mut account)
    }
}

#[cfg(test)]
mod tests;
