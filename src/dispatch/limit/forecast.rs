//! A model's budget at later times, if only planned calls are sent.

use tokio::time::Instant;

use super::{Blocked, Placed, TokenRoom, Usable, Window, reserve_best, roomiest};
use crate::caller::Priority;

/// A copy of one model's windows for every key, on a simulated clock; it never changes the real budget.
///
/// Calls take no time: those in flight count as answered when the copy is made, with their expected tokens. Limits grow
/// as they would without a 429, and the usable keys stay the same.
#[derive(Clone, Debug)]
pub(crate) struct Forecast {
    windows: Vec<Window>,
    usable: Usable,
    at: Instant,
}

impl Forecast {
    pub(super) fn new(windows: &[Window], usable: Usable, now: Instant) -> Self {
        let windows = windows.iter().map(|window| window.ahead(now)).collect();
        Self { windows, usable, at: now }
    }

    /// Advances the clock to `at`, which is not earlier than before.
    pub(crate) fn advance(&mut self, at: Instant) {
        self.at = at;
        for window in &mut self.windows {
            window.advance(at);
        }
    }

    /// Reserves as [`super::Limiter::reserve`] would at the simulated time.
    pub(crate) fn reserve(&mut self, priority: Priority, tokens: u64) -> Result<Placed, Blocked> {
        reserve_best(&mut self.windows, self.usable, priority, tokens, self.at)
    }

    /// Ends a call that used `tokens` tokens.
    pub(crate) fn settle(&mut self, placed: Placed, tokens: u64) {
        if let Some(window) = self.windows.get_mut(placed.index) {
            window.settle(placed.ticket, Some(tokens), self.at);
        }
    }

    /// Returns the tokens of the key with the most free budget.
    pub(crate) fn token_room(&self) -> TokenRoom {
        roomiest(&self.windows, self.usable, self.at).token_room()
    }

    /// Returns when one more call has budget, if no other is sent.
    pub(crate) fn free_at(&self, priority: Priority, tokens: u64) -> Instant {
        let windows = self.windows.iter().enumerate();
        let usable = windows.filter(|(index, _)| self.usable.has(*index));
        usable.map(|(_, window)| window.free_at(priority, tokens, self.at)).min().unwrap_or(self.at)
    }
}
