//! Requests a second: a bucket that holds the requests of one second and fills continuously.

use std::time::Duration;

use tokio::time::Instant;

/// The units of one request, so that a nanosecond fills a whole number of units: the rate.
const REQUEST: u64 = 1_000_000_000;

/// A bucket that holds as many requests as its rate; nothing is lost to rounding.
///
/// It keeps the taken units, not those left, so that it stays correct when the rate changes.
#[derive(Debug, Default)]
pub(crate) struct Bucket {
    taken: u64,
    /// The instant of `taken`.
    at: Option<Instant>,
}

impl Bucket {
    /// Takes one request from a bucket of `rate` requests a second; the error is the time until there is one.
    pub(crate) fn take(&mut self, rate: u32, now: Instant) -> Result<(), Duration> {
        let wait = self.wait(rate, now);
        if !wait.is_zero() {
            return Err(wait);
        }
        self.taken += REQUEST;
        Ok(())
    }

    /// Returns the time until a request can be taken, if no other is taken.
    pub(crate) fn wait(&mut self, rate: u32, now: Instant) -> Duration {
        // Less than one a second would never let a request through.
        let rate = u64::from(rate.max(1));
        self.fill(rate, now);
        let over = (self.taken + REQUEST).saturating_sub(rate * REQUEST);
        Duration::from_nanos(over.div_ceil(rate))
    }

    /// Returns whether the bucket is full again, which takes a second at any rate.
    pub(crate) fn is_idle(&self, now: Instant) -> bool {
        self.at.is_none_or(|at| at + Duration::from_secs(1) <= now)
    }

    fn fill(&mut self, rate: u64, now: Instant) {
        let since = self.at.map_or(Duration::ZERO, |at| now.saturating_duration_since(at));
        let nanos = u64::try_from(since.as_nanos()).unwrap_or(u64::MAX);
        // A lower rate makes a smaller bucket, of which no more than all is taken.
        self.taken = self.taken.saturating_sub(nanos.saturating_mul(rate)).min(rate * REQUEST);
        // Tasks read the clock before they take the lock, so instants may come out of order.
        self.at = Some(self.at.map_or(now, |at| at.max(now)));
    }
}
