//! A rate limit for lines that callers can cause at will.

use std::{collections::HashMap, sync::LazyLock, time::Duration};

use parking_lot::Mutex;
use tokio::time::Instant;

/// Lines in a second for each reason.
const LINES: u32 = 10;

const SECOND: Duration = Duration::from_secs(1);

/// One for the process, as the log is. Reasons are a closed list, so this stays small.
static REASONS: LazyLock<Mutex<HashMap<&'static str, Bound>>> = LazyLock::new(Mutex::default);

/// Returns whether a failed RPC may log a line at its level, and if so the number of lines of the same reason that were
/// left out since the last one. Reasons do not limit each other.
pub fn bounded_line(reason: &'static str) -> Option<u64> {
    let mut reasons = REASONS.lock();
    reasons.entry(reason).or_insert_with(Bound::new).line(Instant::now())
}

/// The limit of one reason.
#[derive(Debug)]
struct Bound {
    second: Instant,
    said: u32,
    unsaid: u64,
}

impl Bound {
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
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_flood_has_ten_lines_a_second_and_the_next_tells_of_the_rest() {
        let mut bound = Bound::new();
        let now = Instant::now();
        let said: Vec<_> = (0..25).map(|_| bound.line(now)).collect();
        assert_eq!(said.iter().flatten().collect::<Vec<_>>(), [&0; 10]);
        assert_eq!(bound.line(now + Duration::from_millis(999)), None);
        assert_eq!(bound.line(now + SECOND), Some(16));
        assert_eq!(bound.line(now + SECOND), Some(0));
    }

    #[test]
    fn one_reason_does_not_hide_another() {
        while bounded_line("A_REASON_OF_A_TEST").is_some() {}
        assert_eq!(bounded_line("ANOTHER_REASON_OF_A_TEST"), Some(0));
    }
}
