//! Tokens of the last minute, day or month: a sliding log in a bounded number of slots.
//!
//! A bucket that refills would admit up to twice its size in a window of its own length. An entry of this log
//! counts for the whole window and a slot at most: no window ever holds more than the limit, and a caller that
//! always takes all there is gets at least 99 % of it.

use std::{collections::VecDeque, time::Duration};

use tokio::time::Instant;

/// The slots of a window; a log keeps one more at most.
const SLOTS: u32 = 100;

/// Tokens used in a sliding window, by the time of their reservation.
#[derive(Debug)]
pub(crate) struct Sliding {
    window: Duration,
    /// The start of the first slot.
    epoch: Instant,
    /// Oldest first; slots without tokens are left out.
    slots: VecDeque<Bin>,
    used: u64,
}

#[derive(Debug)]
struct Bin {
    number: u64,
    tokens: u64,
}

impl Sliding {
    /// Returns an empty log of the last `window`.
    pub(crate) fn new(window: Duration, now: Instant) -> Self {
        Self { window, epoch: now, slots: VecDeque::new(), used: 0 }
    }

    /// Removes the slots that are older than the window.
    pub(crate) fn advance(&mut self, now: Instant) {
        while let Some(oldest) = self.slots.front()
            && self.end(oldest.number) <= now
        {
            self.used -= oldest.tokens;
            self.slots.pop_front();
        }
    }

    /// Returns the tokens used in the window.
    pub(crate) fn used(&self) -> u64 {
        self.used
    }

    /// Returns when `need` more tokens fit into `limit`, if no others are used until then; `None`: never.
    pub(crate) fn free_at(&self, need: u64, limit: u64, now: Instant) -> Option<Instant> {
        let most = limit.checked_sub(need)?;
        let mut used = self.used;
        if used <= most {
            return Some(now);
        }
        self.slots.iter().find_map(|slot| {
            used -= slot.tokens;
            (used <= most).then(|| self.end(slot.number))
        })
    }

    /// Counts tokens as used at `at`.
    pub(crate) fn add(&mut self, tokens: u64, at: Instant) {
        if tokens == 0 {
            return;
        }
        self.used += tokens;
        let number = self.number(at);
        // Tasks read the clock before they take the lock, so instants may come out of order.
        match self.slots.binary_search_by_key(&number, |slot| slot.number) {
            Ok(found) => self.slots[found].tokens += tokens,
            Err(place) => self.slots.insert(place, Bin { number, tokens }),
        }
    }

    /// Takes back tokens that were counted as used at `at`, if that is within the window.
    pub(crate) fn take_back(&mut self, tokens: u64, at: Instant) {
        let number = self.number(at);
        if let Ok(found) = self.slots.binary_search_by_key(&number, |slot| slot.number) {
            let slot = &mut self.slots[found];
            let tokens = tokens.min(slot.tokens);
            slot.tokens -= tokens;
            self.used -= tokens;
            if slot.tokens == 0 {
                self.slots.remove(found);
            }
        }
    }

    /// Returns the number of the slot of an instant.
    fn number(&self, at: Instant) -> u64 {
        let width = self.width().as_nanos();
        let since = at.saturating_duration_since(self.epoch).as_nanos();
        u64::try_from(since / width).unwrap_or(u64::MAX)
    }

    /// Returns the instant at which the end of a slot is one window ago.
    fn end(&self, number: u64) -> Instant {
        let nanos = u64::try_from(self.width().as_nanos()).unwrap_or(u64::MAX);
        let since = Duration::from_nanos(nanos.saturating_mul(number.saturating_add(1)));
        self.epoch + since + self.window
    }

    fn width(&self) -> Duration {
        self.window / SLOTS
    }
}
