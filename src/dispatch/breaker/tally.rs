//! The recent results of attempts.

use std::{collections::VecDeque, time::Duration};

use tokio::time::Instant;

/// The intervals of a window, which bound the memory: a call counts for the window, less one interval at most.
const INTERVALS: u32 = 20;

/// The results of the calls of one window.
#[derive(Debug, Default)]
pub(super) struct Tally(VecDeque<Interval>);

#[derive(Debug)]
struct Interval {
    since: Instant,
    calls: u64,
    failures: u64,
}

impl Tally {
    /// Counts a call that ended now.
    pub(super) fn count(&mut self, failed: bool, window: Duration, now: Instant) {
        let age = |interval: &Interval| now.saturating_duration_since(interval.since);
        while self.0.front().is_some_and(|interval| age(interval) >= window) {
            self.0.pop_front();
        }
        let length = window / INTERVALS;
        let failures = u64::from(failed);
        match self.0.back_mut() {
            Some(interval) if age(interval) < length => {
                interval.calls += 1;
                interval.failures += failures;
            }
            _ => self.0.push_back(Interval { since: now, calls: 1, failures }),
        }
    }

    /// Returns whether at least `percent` of at least `min_calls` calls failed.
    pub(super) fn is_bad(&self, percent: u32, min_calls: u32) -> bool {
        let calls: u64 = self.0.iter().map(|interval| interval.calls).sum();
        let failures: u64 = self.0.iter().map(|interval| interval.failures).sum();
        calls >= u64::from(min_calls) && failures * 100 >= calls * u64::from(percent)
    }
}

#[cfg(test)]
impl Tally {
    /// Returns the number of intervals.
    pub(super) fn intervals(&self) -> usize {
        self.0.len()
    }
}
