//! What is free when, if nothing is sent but what is known of today.

use std::time::Duration;

use tokio::time::Instant;

use super::{Blocked, Class, Ticket, Usage, Window};

/// A copy of one model's minute that runs ahead of time.
///
/// Nothing that is done to it touches the budget. It knows no more than the budget does: what is out counts as landed at
/// the moment of the copy with the part of its tokens that is usually reported, further calls take as long as calls took lately, and limits grow as they would without a 429.
#[derive(Debug)]
pub(crate) struct Outlook {
    window: Window,
    latency: Duration,
    trusts_a_probe: bool,
}

/// A call of the outlook that has not landed.
#[derive(Clone, Copy, Debug)]
#[must_use]
pub(crate) struct Planned(Ticket);

impl Outlook {
    pub(super) fn new(window: &Window, now: Instant) -> Self {
        Self {
            window: window.ahead(now),
            latency: window.latency(),
            trusts_a_probe: window.is_probed(),
        }
    }

    /// Reserves as [`super::Limiter::reserve`] would at `at`, which never goes back from call to call.
    pub(crate) fn reserve(
        &mut self,
        class: Class,
        tokens: u64,
        at: Instant,
    ) -> Result<Planned, Blocked> {
        self.window.advance(at);
        self.window.reserve(class, tokens, at).map(Planned)
    }

    /// The call has landed, and `tokens` is what it took.
    pub(crate) fn settle(&mut self, planned: Planned, tokens: u64, at: Instant) {
        self.window.settle(planned.0, Some(tokens), at);
    }

    /// The call does not go.
    pub(crate) fn give_back(&mut self, planned: Planned) {
        self.window.refund(planned.0);
    }

    /// Returns what is used at the time of the last reservation.
    pub(crate) fn usage(&mut self, at: Instant) -> Usage {
        self.window.advance(at);
        self.window.usage(at)
    }

    /// Returns how long a call is thought to take.
    pub(crate) fn latency(&self) -> Duration {
        self.latency
    }

    /// Tells whether the first call after a 429 is out, and its success taken for granted.
    pub(crate) fn trusts_a_probe(&self) -> bool {
        self.trusts_a_probe
    }

    /// Returns the tokens of a minute that batch work may use.
    pub(crate) fn tokens_for_batch(&self) -> u64 {
        let (_, tokens) = self.window.limits(Class::Batch);
        tokens
    }
}
