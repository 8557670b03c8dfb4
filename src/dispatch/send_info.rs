//! When items left, and what had held them up.

use std::{collections::VecDeque, time::Duration};

use tokio::time::Instant;

use crate::telemetry::trace::FanIn;

/// Hold-ups remembered; what waits longer than so many of them is counted as having waited for something else.
const MAX_HOLDUPS: usize = 64;

/// What an item's waiters learn when it is sent.
#[derive(Clone, Debug)]
pub struct SendInfo {
    /// When it was sent for the first time.
    pub(super) first_at: Instant,
    /// When it is sent now.
    pub(super) at: Instant,
    /// The batch it is part of, from its first departure to its landing.
    pub(super) batch: FanIn,
    pub(super) throttled: ThrottledIntervals,
}

/// How long somebody waited for an item to be sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Waited {
    /// For company, a turn and a free call.
    pub queue: Duration,
    /// For budget.
    pub limiter: Duration,
}

impl SendInfo {
    /// Returns the batch's span, to be told who waits and to be linked to.
    pub fn batch(&self) -> &FanIn {
        &self.batch
    }

    /// Returns when the item was sent last.
    pub fn at(&self) -> Instant {
        self.at
    }

    /// Returns how somebody waited who began to at `since`, which may be after the item was sent.
    pub fn waited(&self, since: Instant) -> Waited {
        let before = self.first_at.saturating_duration_since(since);
        Waited {
            queue: before.saturating_sub(self.throttled.within(since, self.first_at)),
            limiter: self.throttled.within(since, self.at),
        }
    }
}

/// The times during which there was known to be no budget: in order, and apart.
#[derive(Clone, Debug, Default)]
pub(super) struct ThrottledIntervals(VecDeque<(Instant, Instant)>);

impl ThrottledIntervals {
    /// Notes that there is no budget between now and a known time, or until [`Self::end`].
    pub(super) fn note(&mut self, now: Instant, until: Instant) {
        match self.0.back_mut() {
            Some((_, end)) if *end >= now => *end = until,
            _ => self.0.push_back((now, until)),
        }
        if self.0.len() > MAX_HOLDUPS {
            self.0.pop_front();
        }
    }

    /// Notes that there is budget now.
    pub(super) fn end(&mut self, now: Instant) {
        if let Some((_, end)) = self.0.back_mut() {
            *end = now.min(*end);
        }
    }

    /// Forgets what ended before a time.
    pub(super) fn forget(&mut self, before: Instant) {
        while self.0.front().is_some_and(|(_, end)| *end < before) {
            self.0.pop_front();
        }
    }

    /// Returns for how much of a time there was no budget.
    pub(super) fn within(&self, from: Instant, to: Instant) -> Duration {
        let part = |(start, end): &(Instant, Instant)| {
            (*end).min(to).saturating_duration_since((*start).max(from))
        };
        self.0.iter().map(part).sum()
    }
}

#[cfg(test)]
impl SendInfo {
    /// A departure of nothing, now.
    pub(crate) fn now() -> std::sync::Arc<Self> {
        let at = Instant::now();
        let send_info = Self {
            first_at: at,
            at,
            batch: FanIn::new(),
            throttled: ThrottledIntervals::default(),
        };
        std::sync::Arc::new(send_info)
    }
}

#[cfg(test)]
mod tests;
