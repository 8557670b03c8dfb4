//! A rate limit for lines that callers can cause at will.

use std::{collections::HashMap, sync::LazyLock, time::Duration};

use parking_lot::Mutex;
use tokio::time::Instant;

/// Lines in a second for each reason.
const LINES: u32 = 10;

const SECOND: Duration = Duration::from_secs(1);

/// One for the process, as the log is. Reasons are a closed list, so this stays small.
static REASONS: LazyLock<Mutex<HashMap<&'static str, LineLimit>>> = LazyLock::new(Mutex::default);

/// Returns whether a failed RPC may log a line at its level, and if so the number of lines of the same reason that were
/// left out since the last one. Reasons do not limit each other.
pub fn bounded_line(reason: &'static str) -> Option<u64> {
    let mut reasons = REASONS.lock();
    reasons.entry(reason).or_insert_with(LineLimit::new).line(Instant::now())
}

/// The limit of one reason.
#[derive(Debug)]
struct LineLimit {
    second: Instant,
    said: u32,
    unsaid: u64,
}

impl LineLimit {
    fn new() -> Self {
        Self { second: Instant::now(), said: 0, unsaid: 0 }
    }

    fn line(&mut self, now: Instant) -> Option<u64> {
        if now.saturating_duration_since(self.second) >= SECOND {
            (self.second, self.said) = (now, 0);
        }
        if self.said == LINES {
            self.unsaid += 1;
            return None;
        }
        self.said += 1;
        Some(std::mem::take(&mut self.unsaid))
    }
}

#[cfg(test)]
mod tests;
