//! The limits of one key and model, learnt from 429s: additive increase, multiplicative decrease.

use super::PerMinute;
use crate::caller::Priority;

/// The percentage of requests and tokens that batch calls leave to interactive calls.
const HEADROOM_PERCENT: u64 = 3;

/// The limits of one key and model in a minute.
#[derive(Clone, Debug)]
pub(super) struct Allowance {
    pub(super) requests: Minute,
    pub(super) tokens: Minute,
}

/// One limit of a minute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Minute {
    /// The current limit.
    limit: u64,
    /// The lowest limit: the free tier's, unless less is configured.
    floor: u64,
    /// The highest limit: the configured one, or tier 3's.
    ceiling: u64,
    /// The growth in a minute.
    step: u64,
    /// Whether the limit was reached, or nearly, in the current minute. A limit that is not tried proves nothing.
    pressed: bool,
}

impl Minute {
    /// Returns a known limit, which is never exceeded.
    pub(super) fn configured(limit: u64, free_tier: u64) -> Self {
        Self::new(limit, free_tier, limit)
    }

    /// Returns a limit that starts at tier 1 and may grow to tier 3's, three times as much.
    pub(super) fn assumed(tier_1: u64, free_tier: u64) -> Self {
        Self::new(tier_1, free_tier, tier_1.saturating_mul(3))
    }

    fn new(limit: u64, free_tier: u64, ceiling: u64) -> Self {
        let (floor, step) = (free_tier.min(limit), (limit / 20).max(1));
        Self { limit, floor, ceiling, step, pressed: false }
    }

    /// Notes the usage, and whether the limit blocked a call.
    pub(super) fn note(&mut self, used: u64, held_back: bool) {
        self.pressed |= held_back || used >= self.limit - self.limit / 20;
    }

    /// Ends a minute without a 429: a limit that was reached grows, but at most doubles, so that the first step above
    /// the free tier is small. Returns whether the minute proved more than the free tier.
    fn grow(&mut self) -> bool {
        let proven = self.pressed && self.limit > self.floor;
        if self.pressed {
            self.limit = self.limit.saturating_add(self.step.min(self.limit)).min(self.ceiling);
        }
        self.pressed = false;
        proven
    }

    fn shrink(&mut self) {
        self.limit = (self.limit - self.limit.div_ceil(5)).max(self.floor);
        self.pressed = false;
    }

    fn fall(&mut self) {
        self.limit = self.floor;
        self.pressed = false;
    }
}

impl Allowance {
    /// Returns the limits of a priority. Without headroom for one request, headroom of tokens would be useless.
    pub(super) fn limits(&self, priority: Priority) -> PerMinute {
        let (requests, tokens) = (self.requests.limit, self.tokens.limit);
        match priority {
            Priority::Batch if headroom(requests) > 0 => PerMinute {
                requests: requests - headroom(requests),
                tokens: tokens - headroom(tokens),
            },
            Priority::Batch | Priority::Interactive => PerMinute { requests, tokens },
        }
    }

    /// Ends a minute without a 429; returns whether it proved more than the free tier.
    pub(super) fn grow(&mut self) -> bool {
        // Both must grow: `||` would skip the second.
        self.requests.grow() | self.tokens.grow()
    }

    /// Lowers both limits after a 429, which does not name the exceeded one.
    pub(super) fn shrink(&mut self) {
        self.requests.shrink();
        self.tokens.shrink();
    }

    /// Applies the limits of the free tier, which a 429 reported.
    pub(super) fn fall_to_free_tier(&mut self) {
        self.requests.fall();
        self.tokens.fall();
    }
}

fn headroom(limit: u64) -> u64 {
    // In this order, no limit is too large to be multiplied.
    limit / 100 * HEADROOM_PERCENT + limit % 100 * HEADROOM_PERCENT / 100
}
