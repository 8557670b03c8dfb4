//! A call's place in its model's budget.

use std::{sync::Arc, time::Duration};

use tokio::time::Instant;

use super::{Limiter, Ticket};

/// A call's place in its model's budget.
///
/// Dropped before it was sent, it gives everything back; dropped afterwards, it counts as failed: Voyage may
/// have counted the call whatever became of the task that made it.
#[derive(Debug)]
#[must_use]
pub(crate) struct Reservation {
    limiter: Arc<Limiter>,
    /// The window it is in.
    window: Arc<str>,
    /// Taken when the call lands.
    ticket: Option<Ticket>,
    sent: bool,
}

impl Reservation {
    pub(super) fn new(limiter: Arc<Limiter>, window: Arc<str>, ticket: Ticket) -> Self {
        Self { limiter, window, ticket: Some(ticket), sent: false }
    }

    /// Tells that the call is about to be sent: from now on it counts, even if dropped.
    pub(crate) fn sent(&mut self) {
        self.sent = true;
    }

    /// The call was answered; `reported` is the usage Voyage told, which replaces the estimate.
    pub(crate) fn settle(mut self, reported: Option<u64>, now: Instant) {
        if let Some(ticket) = self.ticket.take() {
            self.limiter.land(&self.window, |window| window.settle(ticket, reported, now));
        }
    }

    /// The call failed: it counts with its estimate for a minute from now.
    pub(crate) fn failed(mut self, now: Instant) {
        self.fail(now);
    }

    /// The call met a 429: it is not made again before the time that is returned.
    pub(crate) fn rate_limited(
        mut self,
        retry_after: Option<Duration>,
        free_tier: bool,
        now: Instant,
    ) -> Instant {
        if free_tier {
            self.limiter.fall_to_free_tier();
        }
        let Some(ticket) = self.ticket.take() else { return now };
        let work = |window: &mut super::Window| window.rate_limited(ticket, retry_after, now);
        self.limiter.land(&self.window, work).unwrap_or(now)
    }

    fn fail(&mut self, now: Instant) {
        if let Some(ticket) = self.ticket.take() {
            self.limiter.land(&self.window, |window| window.failed(ticket, now));
        }
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        if self.sent {
            self.fail(Instant::now());
        } else if let Some(ticket) = self.ticket.take() {
            self.limiter.land(&self.window, |window| window.refund(ticket));
        }
    }
}
