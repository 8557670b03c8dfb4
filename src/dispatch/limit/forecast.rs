//! What a model's budget will be at later times, if only planned calls are sent.

use tokio::time::Instant;

use super::{Blocked, Class, Need, Ticket, TokenRoom, Usable, Window, reserve_best, roomiest};

/// A copy of one model's windows, of every key, that runs ahead of time; nothing done to it changes the budget.
///
/// Calls take no time in it: one that is in flight counts as answered at the moment of the copy, with the part of its
/// tokens that is usually reported. Limits grow as they would without a 429, and keys stay as usable as they are.
#[derive(Clone, Debug)]
pub(crate) struct Forecast {
    windows: Vec<Window>,
    usable: Usable,
    at: Instant,
}

/// A planned call, until it is settled.
#[derive(Clone, Copy, Debug)]
#[must_use]
pub(crate) struct Planned {
    index: usize,
    ticket: Ticket,
}

impl Forecast {
    pub(super) fn new(windows: &[Window], usable: Usable, now: Instant) -> Self {
        let windows = windows.iter().map(|window| window.ahead(now)).collect();
        Self { windows, usable, at: now }
    }

    /// Lets time pass until `at`, which is no earlier than before.
    pub(crate) fn advance(&mut self, at: Instant) {
        self.at = at;
        for window in &mut self.windows {
            window.advance(at);
        }
    }

    /// Reserves as [`super::Limiter::reserve`] would at the time reached.
    pub(crate) fn reserve(&mut self, class: Class, tokens: u64) -> Result<Planned, Blocked> {
        reserve_best(&mut self.windows, self.usable, class, tokens, self.at)
            .map(|(index, ticket)| Planned { index, ticket })
    }

    /// Ends a call that took `tokens` tokens.
    pub(crate) fn settle(&mut self, planned: Planned, tokens: u64) {
        if let Some(window) = self.windows.get_mut(planned.index) {
            window.settle(planned.ticket, Some(tokens), self.at);
        }
    }

    /// Returns the tokens of the key with the most room, at the time reached.
    pub(crate) fn token_room(&self) -> TokenRoom {
        roomiest(&self.windows, self.usable, self.at).token_room()
    }

    /// Returns when one more call has budget, if no other is sent.
    pub(crate) fn free_at(&self, class: Class, tokens: u64) -> Instant {
        let need = Need { requests: 1, tokens };
        let windows = self.windows.iter().enumerate();
        let usable = windows.filter(|(index, _)| self.usable.has(*index));
        usable.map(|(_, window)| window.free_at(class, need, self.at)).min().unwrap_or(self.at)
    }
}
