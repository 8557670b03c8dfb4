//! One sliding minute of one key and model: the calls in flight, and those that ended less than a minute ago.
//!
//! Voyage counts a call at some moment between its start and its reply. An entry that lasts from before the start until
//! a minute after the reply therefore covers every minute in which Voyage may count the call; a token bucket would
//! permit up to twice the limit.

use std::{collections::VecDeque, time::Duration};

use tokio::time::Instant;

use super::{
    Blocked, Cause, PerMinute, TokenRoom,
    allowance::Allowance,
    gate::{Gate, Passage, Stamp},
};
use crate::caller::Priority;

/// The length of the window.
pub(super) const WINDOW: Duration = Duration::from_mins(1);

/// The time between checks for the end of a call in flight.
pub(super) const GLANCE: Duration = Duration::from_secs(1);

/// More tokens than any call can have: sums must not overflow.
const MOST_TOKENS: u64 = 1 << 40;

/// The budget of one key and model.
#[derive(Clone, Debug)]
pub(super) struct Window {
    /// Ended calls, ordered by expiry.
    log: VecDeque<Entry>,
    /// The tokens in the log.
    logged: u64,
    /// Calls reserved or in flight.
    in_flight: u64,
    /// The tokens reserved for them.
    reserved: u64,
    /// The tokens expected in their replies.
    expected: u64,
    allowance: Allowance,
    /// The start of the current minute of learning.
    learning_since: Instant,
    gate: Gate,
}

/// An ended call.
#[derive(Clone, Debug)]
struct Entry {
    until: Instant,
    tokens: u64,
}

/// A reserved call, until it ends.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ticket {
    tokens: u64,
    expected: u64,
    stamp: Stamp,
}

impl Window {
    pub(super) fn new(allowance: Allowance, now: Instant) -> Self {
        Self {
            log: VecDeque::new(),
            logged: 0,
            in_flight: 0,
            reserved: 0,
            expected: 0,
            allowance,
            learning_since: now,
            gate: Gate::default(),
        }
    }

    /// Advances the window to `now`: removes expired entries, and ends a minute of learning. Returns whether that
    /// minute proved more than the free tier.
    pub(super) fn advance(&mut self, now: Instant) -> bool {
        while let Some(oldest) = self.log.front().filter(|entry| entry.until <= now) {
            self.logged -= oldest.tokens;
            self.log.pop_front();
        }
        let ended = now.saturating_duration_since(self.learning_since) >= WINDOW;
        if ended {
            self.learning_since = now;
        }
        ended && self.allowance.grow()
    }

    pub(super) fn reserve(
        &mut self,
        priority: Priority,
        tokens: u64,
        now: Instant,
    ) -> Result<Ticket, Blocked> {
        let tokens = tokens.min(MOST_TOKENS);
        let requests_at = self.requests_at(priority, now);
        let tokens_at = self.tokens_at(priority, tokens, now);
        let room_at = requests_at.max(tokens_at);
        match self.gate.passage(now) {
            Passage::Closed(until) => {
                return Err(Blocked { until: until.max(room_at), cause: Cause::Gate });
            }
            Passage::ProbeOut => {
                let until = room_at.max(now + GLANCE);
                return Err(Blocked { until, cause: Cause::InFlight });
            }
            Passage::Open | Passage::Probe => {}
        }
        if room_at > now {
            self.note(requests_at > now, tokens_at > now);
            let cause = if requests_at >= tokens_at { Cause::Requests } else { Cause::Tokens };
            return Err(Blocked { until: room_at, cause });
        }
        self.in_flight += 1;
        self.reserved += tokens;
        self.expected += tokens;
        self.note(false, false);
        Ok(Ticket { tokens, expected: tokens, stamp: self.gate.pass() })
    }

    /// Sets the tokens expected in the reply.
    pub(super) fn expect(&mut self, ticket: &mut Ticket, tokens: u64) {
        self.expected -= ticket.expected;
        ticket.expected = tokens.min(ticket.tokens);
        self.expected += ticket.expected;
    }

    /// Ends a call that was not sent.
    pub(super) fn refund(&mut self, ticket: Ticket) {
        self.take_off(ticket);
        self.gate.returned(ticket.stamp);
    }

    /// Ends an answered call; the reported tokens replace the estimate.
    pub(super) fn settle(&mut self, ticket: Ticket, tokens: Option<u64>, now: Instant) {
        self.hold(ticket, tokens.unwrap_or(ticket.tokens), now);
        self.gate.succeeded(ticket.stamp);
    }

    /// Ends a failed call: Voyage may have counted its tokens.
    pub(super) fn failed(&mut self, ticket: Ticket, now: Instant) {
        self.hold(ticket, ticket.tokens, now);
        self.gate.returned(ticket.stamp);
    }

    /// Ends a call whose key was rejected: it costs no tokens.
    pub(super) fn rejected(&mut self, ticket: Ticket, now: Instant) {
        self.hold(ticket, 0, now);
        self.gate.returned(ticket.stamp);
    }

    /// Ends a call that met a 429: it may count as a request, but costs no tokens. Returns its estimated tokens.
    pub(super) fn rate_limited(
        &mut self,
        ticket: Ticket,
        retry_after: Option<Duration>,
        now: Instant,
    ) -> u64 {
        self.hold(ticket, 0, now);
        // The 429s of calls that were in flight together lower the limit once.
        if self.gate.refused(ticket.stamp, retry_after, now) {
            self.allowance.shrink();
        }
        self.learning_since = now;
        ticket.tokens
    }

    pub(super) fn fall_to_free_tier(&mut self) {
        self.allowance.fall_to_free_tier();
    }

    /// Returns the earliest time at which a call has budget, if no other is sent.
    pub(super) fn free_at(&self, priority: Priority, tokens: u64, now: Instant) -> Instant {
        let tokens_at = self.tokens_at(priority, tokens, now);
        let room_at = self.requests_at(priority, now).max(tokens_at);
        self.gate.closed_until(now).map_or(room_at, |until| until.max(room_at))
    }

    /// Ranks the window for such a call: without a probe first, then by how many such calls fit, then by free tokens.
    pub(super) fn appeal(&self, priority: Priority, tokens: u64, now: Instant) -> impl Ord {
        let (used, limits) = (self.used(), self.limits(priority));
        let requests = limits.requests.saturating_sub(used.requests);
        let left = limits.tokens.saturating_sub(used.tokens);
        (self.gate.passage(now) == Passage::Open, requests.min(left / tokens.max(1)), left)
    }

    /// Ranks the window for any call: whether one is permitted, then by free tokens.
    pub(super) fn room(&self, now: Instant) -> impl Ord {
        let (used, limits) = (self.used(), self.limits(Priority::Interactive));
        let passes = matches!(self.gate.passage(now), Passage::Open | Passage::Probe);
        let has_requests = used.requests < limits.requests;
        (passes && has_requests, limits.tokens.saturating_sub(used.tokens))
    }

    /// Returns when the next entry is forgotten or the gate reopens: the earlier time.
    #[cfg(test)]
    pub(super) fn next_change(&self, now: Instant) -> Option<Instant> {
        let oldest = self.log.front().map(|entry| entry.until);
        [oldest, self.gate.closed_until(now)].into_iter().flatten().min()
    }

    /// Returns a copy for a forecast, in which all calls in flight have ended and the probe has succeeded.
    pub(super) fn ahead(&self, now: Instant) -> Self {
        let mut ahead = self.clone();
        let calls = std::mem::take(&mut ahead.in_flight);
        let mut tokens = std::mem::take(&mut ahead.expected);
        ahead.reserved = 0;
        for _ in 0..calls {
            ahead.enter(std::mem::take(&mut tokens), now);
        }
        ahead.gate.trust_the_probe();
        ahead
    }

    pub(super) fn token_room(&self) -> TokenRoom {
        let of = |priority| self.limits(priority).tokens;
        let (interactive, batch) = (of(Priority::Interactive), of(Priority::Batch));
        TokenRoom { used: self.used().tokens, interactive, batch }
    }

    /// Returns the limits of a priority.
    pub(super) fn limits(&self, priority: Priority) -> PerMinute {
        self.allowance.limits(priority)
    }

    /// Returns whether removing the window would lose nothing but learnt limits.
    pub(super) fn is_idle(&self, now: Instant) -> bool {
        self.used().requests == 0 && self.gate.closed_until(now).is_none()
    }

    /// Returns the usage of calls in flight or ended less than a minute ago.
    pub(super) fn used(&self) -> PerMinute {
        let requests = self.in_flight + self.log.len() as u64;
        PerMinute { requests, tokens: self.reserved + self.logged }
    }

    fn requests_at(&self, priority: Priority, now: Instant) -> Instant {
        let most = self.limits(priority).requests.saturating_sub(1);
        self.room_at(self.used().requests, most, |_| 1, now)
    }

    /// A call larger than the limit fits into an empty window.
    fn tokens_at(&self, priority: Priority, need: u64, now: Instant) -> Instant {
        let most = self.limits(priority).tokens.saturating_sub(need);
        self.room_at(self.used().tokens, most, |entry| entry.tokens, now)
    }

    /// Returns when at most `most` of `used` is left.
    fn room_at(
        &self,
        mut used: u64,
        most: u64,
        size: impl Fn(&Entry) -> u64,
        now: Instant,
    ) -> Instant {
        if used <= most {
            return now;
        }
        for entry in &self.log {
            used = used.saturating_sub(size(entry));
            if used <= most {
                return entry.until;
            }
        }
        // A call in flight counts until a minute after its end.
        now + WINDOW
    }

    fn note(&mut self, requests_held_back: bool, tokens_held_back: bool) {
        let used = self.used();
        self.allowance.requests.note(used.requests, requests_held_back);
        self.allowance.tokens.note(used.tokens, tokens_held_back);
    }

    fn take_off(&mut self, ticket: Ticket) {
        self.in_flight -= 1;
        self.reserved -= ticket.tokens;
        self.expected -= ticket.expected;
    }

    /// Moves a call from in flight to the log.
    fn hold(&mut self, ticket: Ticket, tokens: u64, now: Instant) {
        self.take_off(ticket);
        self.enter(tokens, now);
    }

    /// Adds an ended call to the log.
    fn enter(&mut self, tokens: u64, now: Instant) {
        let (tokens, until) = (tokens.min(MOST_TOKENS), now + WINDOW);
        // Tasks read the clock before they take the lock, so entries may come out of order.
        let place = self.log.partition_point(|entry| entry.until <= until);
        self.log.insert(place, Entry { until, tokens });
        self.logged += tokens;
    }
}
