//! What is free when, if nothing is sent but what is known of today.

use std::time::Duration;

use tokio::time::Instant;

use super::{Blocked, Class, Ticket, Usable, Usage, Window, reserve_best, roomiest};

/// A copy of one model's minute, of every key, that runs ahead of time.
///
/// Nothing that is done to it touches the budget. It knows no more than the budget does: what is out counts as landed at
/// the moment of the copy with the part of its tokens that is usually reported, further calls take as long as calls took
/// lately, limits grow as they would without a 429, and keys stay as usable as they are.
#[derive(Debug)]
pub(crate) struct Outlook {
    windows: Vec<Window>,
    usable: Usable,
    /// How far it has come.
    at: Instant,
    latency: Duration,
    trusts_a_probe: bool,
}

/// A call of the outlook that has not landed, and whose key it takes.
#[derive(Clone, Copy, Debug)]
#[must_use]
pub(crate) struct Planned(usize, Ticket);

impl Outlook {
    pub(super) fn new(windows: &[Window], usable: Usable, now: Instant) -> Self {
        let of_usable = || windows.iter().enumerate().filter(|(seat, _)| usable.has(*seat));
        Self {
            windows: windows.iter().map(|window| window.ahead(now)).collect(),
            usable,
            at: now,
            latency: of_usable().map(|(_, window)| window.latency()).max().unwrap_or_default(),
            trusts_a_probe: of_usable().any(|(_, window)| window.is_probed()),
        }
    }

    /// Reserves as [`super::Limiter::reserve`] would at `at`, which never goes back from call to call.
    pub(crate) fn reserve(
        &mut self,
        class: Class,
        tokens: u64,
        at: Instant,
    ) -> Result<Planned, Blocked> {
        self.advance(at);
        reserve_best(&mut self.windows, self.usable, class, (tokens, at))
            .map(|(seat, ticket)| Planned(seat, ticket))
    }

    /// The call has landed, and `tokens` is what it took.
    pub(crate) fn settle(&mut self, planned: Planned, tokens: u64, at: Instant) {
        if let Some(window) = self.windows.get_mut(planned.0) {
            window.settle(planned.1, Some(tokens), at);
        }
    }

    /// The call does not go.
    pub(crate) fn give_back(&mut self, planned: Planned) {
        if let Some(window) = self.windows.get_mut(planned.0) {
            window.refund(planned.1);
        }
    }

    /// Returns what is used at the time of the last reservation, of the key that has the most room.
    pub(crate) fn usage(&mut self, at: Instant) -> Usage {
        self.advance(at);
        roomiest(&self.windows, self.usable, at).usage(at)
    }

    /// Returns how long a call is thought to take.
    pub(crate) fn latency(&self) -> Duration {
        self.latency
    }

    /// Tells whether the first call after a 429 is out, and its success taken for granted.
    pub(crate) fn trusts_a_probe(&self) -> bool {
        self.trusts_a_probe
    }

    /// Returns the tokens of a minute that batch work may use of the key that has the most room.
    pub(crate) fn tokens_for_batch(&self) -> u64 {
        let (_, tokens) = roomiest(&self.windows, self.usable, self.at).limits(Class::Batch);
        tokens
    }

    fn advance(&mut self, at: Instant) {
        self.at = at;
        for window in &mut self.windows {
            window.advance(at);
        }
    }
}
