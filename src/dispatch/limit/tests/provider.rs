//! An independent model of the provider's window: counts a call at one moment, for a minute, and refuses.

use super::*;

/// The provider's counts and their times.
pub(super) struct Provider {
    rpm: usize,
    tpm: u64,
    counted: Vec<(Instant, u64)>,
}

impl Provider {
    pub(super) fn new(rpm: usize, tpm: u64) -> Self {
        Self { rpm, tpm, counted: Vec::new() }
    }

    /// Counts a call at `now`; false: 429.
    pub(super) fn take(&mut self, tokens: u64, now: Instant) -> bool {
        let recent = self.counted.iter().filter(|(at, _)| *at + MINUTE > now);
        let (requests, used) = recent.fold((0, 0), |(n, sum), (_, tokens)| (n + 1, sum + tokens));
        let takes = requests < self.rpm && used + tokens <= self.tpm;
        if takes {
            self.counted.push((now, tokens));
        }
        takes
    }

    pub(super) fn requests(&self) -> usize {
        self.counted.len()
    }

    pub(super) fn tokens(&self) -> u64 {
        self.counted.iter().map(|(_, tokens)| tokens).sum()
    }
}
