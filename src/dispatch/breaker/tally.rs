//! How attempts ended lately.

use std::{collections::VecDeque, time::Duration};

use tokio::time::Instant;

/// A window is counted in so many parts: memory is bounded, and a call is forgotten at most a part early.
const PARTS: u32 = 20;

/// How the calls of the last while ended.
#[derive(Debug, Default)]
pub(super) struct Tally(VecDeque<Part>);

#[derive(Debug)]
struct Part {
    since: Instant,
    calls: u64,
    failures: u64,
}

impl Tally {
    /// Counts a call that ended now.
    pub(super) fn count(&mut self, failed: bool, window: Duration, now: Instant) {
        while self.0.front().is_some_and(|part| now.saturating_duration_since(part.since) >= window)
        {
            self.0.pop_front();
        }
        let length = window / PARTS;
        let failures = u64::from(failed);
        match self.0.back_mut() {
            Some(part) if now.saturating_duration_since(part.since) < length => {
                part.calls += 1;
                part.failures += failures;
            }
            _ => self.0.push_back(Part { since: now, calls: 1, failures }),
        }
    }

    /// Tells whether at least `percent` of at least `min_calls` calls failed.
    pub(super) fn is_bad(&self, percent: u32, min_calls: u32) -> bool {
        let calls: u64 = self.0.iter().map(|part| part.calls).sum();
        let failures: u64 = self.0.iter().map(|part| part.failures).sum();
        calls >= u64::from(min_calls) && failures * 100 >= calls * u64::from(percent)
    }
}

#[cfg(test)]
impl Tally {
    /// Returns how many parts are remembered.
    pub(super) fn parts(&self) -> usize {
        self.0.len()
    }
}
