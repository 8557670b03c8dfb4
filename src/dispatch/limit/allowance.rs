//! What a model's budget of a minute is believed to be: additive increase, multiplicative decrease.

use super::Class;

/// Of a hundred requests or tokens, those that batch work leaves to interactive calls.
const HEADROOM_PERCENT: u64 = 3;

/// What one model may be sent in a minute.
#[derive(Clone, Debug)]
pub(super) struct Allowance {
    pub(super) requests: Minute,
    pub(super) tokens: Minute,
}

/// One limit of a minute, and what was learnt about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Minute {
    /// What is in force.
    limit: u64,
    /// It never goes below: the free tier's limit, unless less is configured.
    floor: u64,
    /// It never goes above: what is configured, or tier 3's limit.
    ceiling: u64,
    /// What it grows by in a minute.
    step: u64,
    /// Whether it held somebody back, or nearly, in the present minute: a limit that is not tried proves
    /// nothing.
    pressed: bool,
}

impl Minute {
    /// Returns a limit that is known and never exceeded.
    pub(super) fn configured(limit: u64, free_tier: u64) -> Self {
        Self::new(limit, free_tier, limit)
    }

    /// Returns a limit that starts at tier 1 and may turn out to be tier 3's, three times as much.
    pub(super) fn assumed(tier_1: u64, free_tier: u64) -> Self {
        Self::new(tier_1, free_tier, tier_1.saturating_mul(3))
    }

    fn new(limit: u64, free_tier: u64, ceiling: u64) -> Self {
        let (floor, step) = (free_tier.min(limit), (limit / 20).max(1));
        Self { limit, floor, ceiling, step, pressed: false }
    }

    pub(super) fn limit(&self) -> u64 {
        self.limit
    }

    /// Notes what is used, or that the limit was in somebody's way.
    pub(super) fn note(&mut self, used: u64, held_back: bool) {
        self.pressed |= held_back || used >= self.limit - self.limit / 20;
    }

    /// Ends a minute without a 429: a limit that was tried grows. It doubles at most, so that the free tier
    /// is left with a small step. Returns whether the minute proved more than the free tier.
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
    /// Returns the requests and the tokens a minute that a class may use.
    ///
    /// Where the headroom is not even one request, interactive calls could do nothing with its tokens.
    pub(super) fn limits(&self, class: Class) -> (u64, u64) {
        let (requests, tokens) = (self.requests.limit, self.tokens.limit);
        match class {
            Class::Batch if headroom(requests) > 0 => {
                (requests - headroom(requests), tokens - headroom(tokens))
            }
            Class::Batch | Class::Interactive => (requests, tokens),
        }
    }

    /// Ends a minute without a 429; tells whether it proved more than the free tier.
    pub(super) fn grow(&mut self) -> bool {
        // Both must be asked: `||` would leave out the second.
        self.requests.grow() | self.tokens.grow()
    }

    /// Answers a 429, which does not say which limit it is about.
    pub(super) fn shrink(&mut self) {
        self.requests.shrink();
        self.tokens.shrink();
    }

    /// Answers a 429 that speaks of the free tier.
    pub(super) fn fall_to_free_tier(&mut self) {
        self.requests.fall();
        self.tokens.fall();
    }
}

fn headroom(limit: u64) -> u64 {
    // In this order, no limit is too large to be multiplied.
    limit / 100 * HEADROOM_PERCENT + limit % 100 * HEADROOM_PERCENT / 100
}
