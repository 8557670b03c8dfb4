//! One sliding minute, of one key and model: what is in flight, and a log of what ended less than a minute ago.
//!
//! Voyage counts a call at some moment between its sending and its reply. An entry that is held from before the
//! one until a minute after the other is therefore in the log whenever Voyage may still count it; a bucket
//! that refills would let up to twice the limit through.

use std::{collections::VecDeque, time::Duration};

use tokio::time::Instant;

use super::{
    Blocked, Cause, Class, Need, TokenRoom, Usage,
    allowance::Allowance,
    gate::{Gate, Passage, Stamp},
};

/// "The most recent minute", in Voyage's words.
pub(super) const WINDOW: Duration = Duration::from_mins(1);

/// When to look again for the end of a call of which only that is known: that it has not ended.
pub(super) const GLANCE: Duration = Duration::from_secs(1);

/// More tokens than any call can have: sums of nonsense must not overflow.
const MOST_TOKENS: u64 = 1 << 40;

/// The budget of one key and model.
#[derive(Clone, Debug)]
pub(super) struct Window {
    /// Ended calls, soonest to be forgotten first.
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
    /// When the present minute of learning began.
    learning_since: Instant,
    gate: Gate,
}

/// An ended call.
#[derive(Clone, Debug)]
struct Entry {
    until: Instant,
    tokens: u64,
}

/// A reserved call, until it lands.
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

    /// Lets time pass: forgets what ended a minute ago, and ends a minute of learning. Returns whether that
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
        class: Class,
        tokens: u64,
        now: Instant,
    ) -> Result<Ticket, Blocked> {
        let tokens = tokens.min(MOST_TOKENS);
        let requests_at = self.requests_at(class, 1, now);
        let tokens_at = self.tokens_at(class, tokens, now);
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

    /// The reply is expected to report fewer tokens than are reserved.
    pub(super) fn expect(&mut self, ticket: &mut Ticket, tokens: u64) {
        self.expected -= ticket.expected;
        ticket.expected = tokens.min(ticket.tokens);
        self.expected += ticket.expected;
    }

    /// The call was not sent.
    pub(super) fn refund(&mut self, ticket: Ticket) {
        self.take_off(ticket);
        self.gate.returned(ticket.stamp);
    }

    /// The call was answered; `tokens` is what Voyage counted, if it said so.
    pub(super) fn settle(&mut self, ticket: Ticket, tokens: Option<u64>, now: Instant) {
        self.hold(ticket, tokens.unwrap_or(ticket.tokens), now);
        self.gate.succeeded(ticket.stamp);
    }

    /// The call failed: nobody knows what Voyage counted.
    pub(super) fn failed(&mut self, ticket: Ticket, now: Instant) {
        self.hold(ticket, ticket.tokens, now);
        self.gate.returned(ticket.stamp);
    }

    /// The key was rejected: the texts were not read.
    pub(super) fn rejected(&mut self, ticket: Ticket, now: Instant) {
        self.hold(ticket, 0, now);
        self.gate.returned(ticket.stamp);
    }

    /// The call met a 429: it may count as a request, but its texts were not read. Returns its estimated tokens.
    pub(super) fn rate_limited(
        &mut self,
        ticket: Ticket,
        retry_after: Option<Duration>,
        now: Instant,
    ) -> u64 {
        self.hold(ticket, 0, now);
        // Calls that were in flight together meet their 429s together: that is one lesson, not many.
        if self.gate.refused(ticket.stamp, retry_after, now) {
            self.allowance.shrink();
        }
        self.learning_since = now;
        ticket.tokens
    }

    pub(super) fn fall_to_free_tier(&mut self) {
        self.allowance.fall_to_free_tier();
    }

    /// Returns when so much is free at the earliest, if nobody else takes it.
    pub(super) fn free_at(&self, class: Class, need: Need, now: Instant) -> Instant {
        let (requests, tokens) = (u64::from(need.requests), need.tokens);
        let (requests_limit, tokens_limit) = self.limits(class);
        // One call is let through whole, however large; many take as many minutes as they fill.
        let minutes = |need: u64, limit: u64| match requests {
            0 | 1 => 0,
            _ => need.saturating_sub(1) / limit,
        };
        let (for_requests, for_tokens) =
            (minutes(requests, requests_limit), minutes(tokens, tokens_limit));
        let requests_at = self.requests_at(class, requests - for_requests * requests_limit, now);
        let tokens_at = self.tokens_at(class, tokens - for_tokens * tokens_limit, now);
        let room_at = later(requests_at, for_requests).max(later(tokens_at, for_tokens));
        self.gate.closed_until(now).map_or(room_at, |until| until.max(room_at))
    }

    /// Returns how good a choice it is for such a call: whether it needs no probe first, how many such calls there is
    /// room for, and how many tokens.
    pub(super) fn appeal(&self, class: Class, tokens: u64, now: Instant) -> (bool, u64, u64) {
        let (requests_limit, tokens_limit) = self.limits(class);
        let requests = requests_limit.saturating_sub(self.requests());
        let left = tokens_limit.saturating_sub(self.tokens());
        (self.gate.passage(now) == Passage::Open, requests.min(left / tokens.max(1)), left)
    }

    /// Returns how good a choice it is for any call: whether there can be one at all, and the tokens it may have.
    pub(super) fn room(&self, now: Instant) -> (bool, u64) {
        let (requests_limit, tokens_limit) = self.limits(Class::Interactive);
        let passes = matches!(self.gate.passage(now), Passage::Open | Passage::Probe);
        (passes && self.requests() < requests_limit, tokens_limit.saturating_sub(self.tokens()))
    }

    /// Returns when the next entry is forgotten or the gate reopens, whichever is first.
    #[cfg(test)]
    pub(super) fn next_change(&self, now: Instant) -> Option<Instant> {
        let oldest = self.log.front().map(|entry| entry.until);
        [oldest, self.gate.closed_until(now)].into_iter().flatten().min()
    }

    /// Returns a copy to be run ahead of time: all that is out lands now, and the probe succeeds.
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
        let ((_, interactive), (_, batch)) =
            (self.limits(Class::Interactive), self.limits(Class::Batch));
        TokenRoom { used: self.tokens(), interactive, batch }
    }

    pub(super) fn usage(&self, now: Instant) -> Usage {
        Usage {
            requests: self.requests(),
            requests_limit: self.allowance.requests.limit(),
            tokens: self.tokens(),
            tokens_limit: self.allowance.tokens.limit(),
            closed_until: self.gate.closed_until(now),
        }
    }

    /// Returns the requests and the tokens a minute that a class may use.
    pub(super) fn limits(&self, class: Class) -> (u64, u64) {
        self.allowance.limits(class)
    }

    /// Tells whether nothing but what was learnt would be lost by forgetting the window.
    pub(super) fn is_idle(&self, now: Instant) -> bool {
        self.requests() == 0 && self.gate.closed_until(now).is_none()
    }

    fn requests(&self) -> u64 {
        self.in_flight + self.log.len() as u64
    }

    fn tokens(&self) -> u64 {
        self.reserved + self.logged
    }

    fn requests_at(&self, class: Class, need: u64, now: Instant) -> Instant {
        let (limit, _) = self.limits(class);
        self.room_at(self.requests(), limit.saturating_sub(need), |_| 1, now)
    }

    /// A call that is larger than the limit fits when nothing else is in the window.
    fn tokens_at(&self, class: Class, need: u64, now: Instant) -> Instant {
        let (_, limit) = self.limits(class);
        self.room_at(self.tokens(), limit.saturating_sub(need), |entry| entry.tokens, now)
    }

    /// Returns when no more than `most` of what is `used` is left.
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
        // What is in flight counts until a minute after it has ended.
        now + WINDOW
    }

    fn note(&mut self, requests_held_back: bool, tokens_held_back: bool) {
        let (requests, tokens) = (self.requests(), self.tokens());
        self.allowance.requests.note(requests, requests_held_back);
        self.allowance.tokens.note(tokens, tokens_held_back);
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
        // Tasks read the clock before they take the lock: one may come a moment late.
        let place = self.log.partition_point(|entry| entry.until <= until);
        self.log.insert(place, Entry { until, tokens });
        self.logged += tokens;
    }
}

/// Returns the time so many minutes later; a day is as good as never.
fn later(at: Instant, minutes: u64) -> Instant {
    at + WINDOW * u32::try_from(minutes).unwrap_or(u32::MAX).min(24 * 60)
}
