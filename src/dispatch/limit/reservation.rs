//! A call's place in the budget of a key and a model.

use std::{sync::Arc, time::Duration};

use tokio::time::Instant;

use super::{Class, Limiter, Need, Ticket, Window};
use crate::upstream::ApiKey;

/// A call's place in the budget of a key and a model, and the key.
///
/// Dropped before it was sent, it gives everything back; dropped afterwards, it counts as failed: Voyage may
/// have counted the call whatever became of the task that made it.
#[derive(Debug)]
#[must_use]
pub(crate) struct Reservation {
    limiter: Arc<Limiter>,
    /// The windows it is in one of.
    windows: Arc<str>,
    /// Whose.
    index: usize,
    key: Arc<ApiKey>,
    /// Taken when the call lands.
    ticket: Option<Ticket>,
    sent: bool,
}

impl Reservation {
    pub(super) fn new(
        limiter: Arc<Limiter>,
        (windows, index): (Arc<str>, usize),
        key: Arc<ApiKey>,
        ticket: Ticket,
    ) -> Self {
        Self { limiter, windows, index, key, ticket: Some(ticket), sent: false }
    }

    /// Returns the place in the pool of the key that the call is made with, and the key.
    pub(crate) fn key(&self) -> (usize, Arc<ApiKey>) {
        (self.index, Arc::clone(&self.key))
    }

    /// The call is about to be sent: from now on it counts, even if dropped. Its reply is expected to report so many
    /// tokens.
    pub(crate) fn sent(&mut self, expected: u64) {
        self.sent = true;
        if let Some(ticket) = &mut self.ticket {
            self.limiter
                .update(&self.windows, self.index, |window| window.expect(ticket, expected));
        }
    }

    /// The call was answered; `reported` is the usage Voyage told, which replaces the estimate.
    pub(crate) fn settle(mut self, reported: Option<u64>, now: Instant) {
        if let Some(ticket) = self.ticket.take() {
            self.update(|window| window.settle(ticket, reported, now));
        }
    }

    /// The call failed: it counts with its estimate for a minute from now.
    pub(crate) fn failed(mut self, now: Instant) {
        self.fail(now);
    }

    /// The key was rejected: the call may count as a request, but its texts were not read.
    pub(crate) fn rejected(mut self, now: Instant) {
        if let Some(ticket) = self.ticket.take() {
            self.update(|window| window.rejected(ticket, now));
        }
    }

    /// The call met a 429: it cannot be made again, with any key, before the time that is returned.
    pub(crate) fn rate_limited(
        mut self,
        retry_after: Option<Duration>,
        free_tier: bool,
        now: Instant,
    ) -> Instant {
        if free_tier {
            self.limiter.fall_to_free_tier(self.index);
        }
        let Some(ticket) = self.ticket.take() else { return now };
        let Some(tokens) = self.update(|window| window.rate_limited(ticket, retry_after, now))
        else {
            return now;
        };
        let again = Need { requests: 1, tokens };
        self.limiter.free_at(&self.windows, Class::Interactive, again, now)
    }

    fn update<R>(&self, work: impl FnOnce(&mut Window) -> R) -> Option<R> {
        self.limiter.update(&self.windows, self.index, work)
    }

    fn fail(&mut self, now: Instant) {
        if let Some(ticket) = self.ticket.take() {
            self.update(|window| window.failed(ticket, now));
        }
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        if self.sent {
            self.fail(Instant::now());
        } else if let Some(ticket) = self.ticket.take() {
            self.update(|window| window.refund(ticket));
        }
    }
}
