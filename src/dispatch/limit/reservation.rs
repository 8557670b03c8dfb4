//! A call's reservation in the budget of a key and a model.

use std::{sync::Arc, time::Duration};

use tokio::time::Instant;

use super::{Limiter, Ticket, Window};
use crate::{caller::Priority, upstream::ApiKey};

/// A call's reservation in the budget of a key and a model.
///
/// Dropped before the call is sent, it is refunded; dropped afterwards, it counts as failed, because Voyage may have
/// counted the call.
#[derive(Debug)]
#[must_use]
pub(crate) struct Reservation {
    pub(super) limiter: Arc<Limiter>,
    /// The name of the model's windows.
    pub(super) model: Arc<str>,
    /// The index of the key.
    pub(super) index: usize,
    pub(super) key: Arc<ApiKey>,
    /// `None` once the call has ended.
    pub(super) ticket: Option<Ticket>,
    pub(super) sent: bool,
}

impl Reservation {
    /// Returns the index of the key in the pool.
    pub(crate) fn index(&self) -> usize {
        self.index
    }

    /// Returns the key of the call.
    pub(crate) fn key(&self) -> Arc<ApiKey> {
        Arc::clone(&self.key)
    }

    /// Marks the call as sent; its reply is expected to report `expected` tokens.
    pub(crate) fn sent(&mut self, expected: u64) {
        self.sent = true;
        if let Some(ticket) = &mut self.ticket {
            self.limiter.update(&self.model, self.index, |window| window.expect(ticket, expected));
        }
    }

    /// Ends an answered call; the reported usage replaces the estimate.
    pub(crate) fn settle(mut self, reported: Option<u64>, now: Instant) {
        self.end(|window, ticket| window.settle(ticket, reported, now));
    }

    /// Ends a failed call: its estimate counts for a minute from now.
    pub(crate) fn failed(mut self, now: Instant) {
        self.end(|window, ticket| window.failed(ticket, now));
    }

    /// Ends a call whose key was rejected: it may count as a request, but costs no tokens.
    pub(crate) fn rejected(mut self, now: Instant) {
        self.end(|window, ticket| window.rejected(ticket, now));
    }

    /// Ends a call that met a 429; returns the earliest time of the next attempt with any key.
    pub(crate) fn rate_limited(
        mut self,
        retry_after: Option<Duration>,
        free_tier: bool,
        now: Instant,
    ) -> Instant {
        if free_tier {
            self.limiter.fall_to_free_tier(self.index);
        }
        let tokens = self.end(|window, ticket| window.rate_limited(ticket, retry_after, now));
        tokens.map_or(now, |tokens| {
            self.limiter.free_at(&self.model, Priority::Interactive, tokens, now)
        })
    }

    fn end<R>(&mut self, work: impl FnOnce(&mut Window, Ticket) -> R) -> Option<R> {
        let ticket = self.ticket.take()?;
        self.limiter.update(&self.model, self.index, |window| work(window, ticket))
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        if self.sent {
            let now = Instant::now();
            self.end(|window, ticket| window.failed(ticket, now));
        } else {
            self.end(Window::refund);
        }
    }
}
