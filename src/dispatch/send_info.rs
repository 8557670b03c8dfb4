//! When items were sent, and how long they were throttled.

use std::{collections::VecDeque, time::Duration};

use tokio::time::Instant;

use crate::telemetry::trace::FanIn;

/// Intervals kept; older throttled time counts as queue time.
const MAX_INTERVALS: usize = 64;

/// Times and batch of a sent item.
#[derive(Clone, Debug)]
pub struct SendInfo {
    /// When it was first sent.
    pub(super) first_at: Instant,
    /// When it was last sent.
    pub(super) at: Instant,
    /// The span of its batch.
    pub(super) batch: FanIn,
    pub(super) throttled: ThrottledIntervals,
}

/// How long a waiter waited for an item to be sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Waited {
    /// For other items, a turn and a free call.
    pub queue: Duration,
    /// For rate limit budget.
    pub limiter: Duration,
}

impl SendInfo {
    /// Returns the batch's span.
    pub fn batch(&self) -> &FanIn {
        &self.batch
    }

    /// Returns when the item was last sent.
    pub fn at(&self) -> Instant {
        self.at
    }

    /// Returns the time waited from `since`, which may be after the item was sent.
    pub fn waited(&self, since: Instant) -> Waited {
        let before = self.first_at.saturating_duration_since(since);
        Waited {
            queue: before.saturating_sub(self.throttled.within(since, self.first_at)),
            limiter: self.throttled.within(since, self.at),
        }
    }
}

/// The intervals without rate limit budget, ordered and disjoint.
#[derive(Clone, Debug, Default)]
pub(super) struct ThrottledIntervals(VecDeque<(Instant, Instant)>);

impl ThrottledIntervals {
    /// Notes that there is no budget until a time, or until [`Self::end`].
    pub(super) fn note(&mut self, now: Instant, until: Instant) {
        match self.0.back_mut() {
            Some((_, end)) if *end >= now => *end = until,
            _ => self.0.push_back((now, until)),
        }
        if self.0.len() > MAX_INTERVALS {
            self.0.pop_front();
        }
    }

    /// Notes that there is budget now.
    pub(super) fn end(&mut self, now: Instant) {
        if let Some((_, end)) = self.0.back_mut() {
            *end = now.min(*end);
        }
    }

    /// Removes intervals that ended before a time.
    pub(super) fn forget(&mut self, before: Instant) {
        while self.0.front().is_some_and(|(_, end)| *end < before) {
            self.0.pop_front();
        }
    }

    /// Returns the throttled time between two times.
    pub(super) fn within(&self, from: Instant, to: Instant) -> Duration {
        let part = |(start, end): &(Instant, Instant)| {
            (*end).min(to).saturating_duration_since((*start).max(from))
        };
        self.0.iter().map(part).sum()
    }
}

#[cfg(test)]
impl SendInfo {
    /// An item sent now.
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
