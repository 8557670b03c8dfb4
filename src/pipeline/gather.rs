//! Puts hits, duplicates, joined and fresh answers back into the places they were asked from.

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::mpsc,
    time::{Instant, timeout_at},
};

use super::{
    CacheMode, Miss,
    coalesce::{Flight, Landed},
};
use crate::{
    cache::Stored,
    dispatch::{Bill, ReplyMetadata, Trip},
    embedding::Answer,
    error::{Error, Phase},
};

/// Where an answer came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// The cache.
    Hit,
    /// A flight opened for this input.
    Miss,
    /// A flight opened for an identical input.
    Coalesced,
    /// A flight of a request that bypasses the cache.
    Bypassed,
    /// Nowhere: the input was refused before it was looked for.
    Refused,
}

impl Source {
    pub(super) const ALL: [Self; 5] =
        [Self::Hit, Self::Miss, Self::Coalesced, Self::Bypassed, Self::Refused];

    /// Returns the name used in metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Hit => "hit",
            Self::Miss => "miss",
            Self::Coalesced => "coalesced",
            Self::Bypassed => "bypassed",
            Self::Refused => "refused",
        }
    }
}

/// What became of one input.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The answer, or why there is none.
    pub result: Result<Answer, Error>,
    /// Where it came from, or was looked for.
    pub source: Source,
}

/// What became of a request.
#[derive(Debug)]
pub struct Response {
    /// One an input, in the order of the request.
    pub outcomes: Vec<Outcome>,
    /// Tokens billed for this request.
    pub tokens: u64,
    /// Whether the tokens are a share, or a guess.
    pub estimated: bool,
    /// The upstream trips this request paid for.
    pub trips: Vec<Arc<Trip>>,
    /// For how long upstream calls for its inputs were out, whoever paid.
    pub upstream_time: Duration,
}

impl Response {
    /// Returns how many inputs have this source.
    pub fn count(&self, source: Source) -> u64 {
        self.outcomes.iter().filter(|outcome| outcome.source == source).count() as u64
    }

    /// Returns the HTTP requests sent upstream for this request, repeated ones included.
    pub fn upstream_requests(&self) -> u32 {
        self.trips.iter().map(|trip| trip.requests()).sum()
    }

    /// Returns what the one upstream reply said beside its answers; `None` when there were none or several.
    pub fn only_reply(&self) -> Option<&ReplyMetadata> {
        match self.trips.as_slice() {
            [trip] if trip.requests() == 1 => trip.reply(),
            _ => None,
        }
    }
}

/// A request's answers while they come in.
#[derive(Debug)]
pub(super) struct Gathering {
    began: Instant,
    outcomes: Vec<Option<Outcome>>,
    /// By the number of the seat; a flight's slots are filled once.
    expected: Vec<Expected>,
    mode: CacheMode,
    allow_partial: bool,
    tokens: u64,
    guessed: bool,
    /// Every trip this request pays for, and how many of its items.
    trips: Vec<(Arc<Trip>, u32)>,
    /// How many inputs were looked up, by source.
    lookups: [u64; Source::ALL.len()],
    /// What the hits cost when they were fetched.
    saved_tokens: u64,
}

#[derive(Debug)]
struct Expected {
    slots: Vec<usize>,
    flight: Arc<Flight>,
    /// Whether somebody else opened the flight.
    joined: bool,
    landed: bool,
}

impl Gathering {
    pub(super) fn new(inputs: usize, mode: CacheMode, allow_partial: bool) -> Self {
        Self {
            began: Instant::now(),
            outcomes: vec![None; inputs],
            expected: Vec::new(),
            mode,
            allow_partial,
            tokens: 0,
            guessed: false,
            trips: Vec::new(),
            lookups: [0; Source::ALL.len()],
            saved_tokens: 0,
        }
    }

    /// Returns how many inputs were looked up, by where their answers come from.
    pub(super) fn lookups(&self) -> impl Iterator<Item = (Source, u64)> {
        Source::ALL.into_iter().zip(self.lookups)
    }

    /// Returns the tokens that the answers found in the cache have cost.
    pub(super) fn saved_tokens(&self) -> u64 {
        self.saved_tokens
    }

    fn note(&mut self, source: Source, inputs: usize) {
        self.lookups[source as usize] += inputs as u64;
    }

    pub(super) fn hit(&mut self, slot: usize, Stored { answer, tokens }: Stored) {
        self.note(Source::Hit, 1);
        self.saved_tokens += u64::from(tokens);
        self.outcomes[slot] = Some(Outcome { result: Ok(answer), source: Source::Hit });
    }

    pub(super) fn refuse(&mut self, slot: usize, error: Error) {
        self.note(Source::Refused, 1);
        self.outcomes[slot] = Some(Outcome { result: Err(error), source: Source::Refused });
    }

    /// Answers a miss that there are no tokens for.
    pub(super) fn deny(&mut self, miss: &Miss, error: &Error) {
        self.note(Source::Miss, miss.slots.len());
        for &slot in &miss.slots {
            let result = Err(error.clone());
            self.outcomes[slot] = Some(Outcome { result, source: Source::Miss });
        }
    }

    /// Answers the misses of a request that must not fetch.
    pub(super) fn refuse_misses(&mut self, misses: &[Miss]) -> Result<(), Error> {
        let slots = || misses.iter().flat_map(|miss| &miss.slots);
        let count = slots().count();
        self.note(Source::Miss, count);
        if count > 0 && !self.allow_partial {
            return Err(Error::CacheMiss { misses: count });
        }
        for &slot in slots() {
            let result = Err(Error::CacheMiss { misses: 1 });
            self.outcomes[slot] = Some(Outcome { result, source: Source::Miss });
        }
        Ok(())
    }

    /// Notes the next seat, and the slots that wait for it.
    pub(super) fn expect(&mut self, slots: Vec<usize>, flight: Arc<Flight>, joined: bool) {
        for nth in 0..slots.len() {
            self.note(self.source(joined, nth), 1);
        }
        self.expected.push(Expected { slots, flight, joined, landed: false });
    }

    /// Returns the flights whose answers it waits for.
    pub(super) fn flights(&self) -> impl Iterator<Item = &Arc<Flight>> {
        self.expected.iter().map(|expected| &expected.flight)
    }

    /// Waits until every flight has landed, one has failed, or the deadline has passed.
    pub(super) async fn wait(
        &mut self,
        mut landings: mpsc::UnboundedReceiver<Landed>,
        deadline: Instant,
    ) -> Result<(), Error> {
        let mut missing = self.expected.len();
        while missing > 0 {
            match timeout_at(deadline, landings.recv()).await {
                Ok(Some(landed)) => self.take(landed)?,
                // Every flight tells its passengers, even when it is lost; were one not to, this says so.
                Ok(None) => return Err(Error::Internal { cause: "a flight told nobody" }),
                Err(_) => return self.give_up(),
            }
            missing -= 1;
        }
        Ok(())
    }

    /// Where the answer of a distinct input's `nth` slot comes from.
    fn source(&self, joined: bool, nth: usize) -> Source {
        match self.mode {
            CacheMode::Bypass => Source::Bypassed,
            _ if joined || nth > 0 => Source::Coalesced,
            _ => Source::Miss,
        }
    }

    fn take(&mut self, landed: Landed) -> Result<(), Error> {
        let Landed { number, result, bill } = landed;
        if let Some(bill) = bill {
            self.pay(bill);
        }
        let expected = &mut self.expected[number];
        expected.landed = true;
        let slots = std::mem::take(&mut expected.slots);
        let joined = expected.joined;
        for (nth, slot) in slots.into_iter().enumerate() {
            let source = self.source(joined, nth);
            let result = result.clone().map_err(|error| error.at_input(slot));
            if let Err(error) = &result
                && !self.allow_partial
            {
                return Err(error.clone());
            }
            self.outcomes[slot] = Some(Outcome { result, source });
        }
        Ok(())
    }

    fn pay(&mut self, bill: Bill) {
        self.tokens += bill.tokens;
        self.guessed |= bill.guessed;
        match self.trips.iter_mut().find(|(trip, _)| Arc::ptr_eq(trip, &bill.trip)) {
            Some((_, items)) => *items += 1,
            None => self.trips.push((bill.trip, 1)),
        }
    }

    /// The deadline has passed: the answer is what is there.
    fn give_up(&mut self) -> Result<(), Error> {
        let late = || self.expected.iter().filter(|expected| !expected.landed);
        let sent = late().any(|expected| expected.flight.has_departed());
        let error =
            Error::DeadlineExceeded { phase: if sent { Phase::Upstream } else { Phase::Queue } };
        if !self.allow_partial {
            return Err(error);
        }
        let slots: Vec<usize> = late().flat_map(|expected| expected.slots.clone()).collect();
        for slot in slots {
            self.outcomes[slot] =
                Some(Outcome { result: Err(error.clone()), source: Source::Miss });
        }
        Ok(())
    }

    /// Returns for how long upstream calls for its inputs were out, until now.
    fn upstream_time(&self, now: Instant) -> Duration {
        let (mut trips, mut calls) = (Vec::<Arc<Trip>>::new(), Vec::new());
        for flight in self.flights() {
            match flight.trip() {
                Some(trip) if trips.last().is_some_and(|last| Arc::ptr_eq(last, &trip)) => {}
                Some(trip) => {
                    calls.extend(trip.calls());
                    trips.push(trip);
                }
                // It has not landed: its call may still be out.
                None => calls.extend(flight.departure().map(|departure| (departure.at(), now))),
            }
        }
        covered(calls, self.began, now)
    }

    pub(super) fn finish(self) -> Response {
        let upstream_time = self.upstream_time(Instant::now());
        let lost = || Outcome {
            result: Err(Error::Internal { cause: "an input was lost" }),
            source: Source::Miss,
        };
        Response {
            // Every slot is a hit's or one flight's, and both fill it.
            outcomes: self
                .outcomes
                .into_iter()
                .map(|outcome| outcome.unwrap_or_else(lost))
                .collect(),
            tokens: self.tokens,
            // Paying for some items of a trip only means that its tokens were divided.
            estimated: self.guessed || self.trips.iter().any(|(trip, paid)| *paid < trip.items()),
            trips: self.trips.into_iter().map(|(trip, _)| trip).collect(),
            upstream_time,
        }
    }
}

/// Returns how much of the time between two instants these calls cover, several at once counting once.
fn covered(mut calls: Vec<(Instant, Instant)>, from: Instant, to: Instant) -> Duration {
    calls.sort_unstable();
    let (mut covered, mut until) = (Duration::ZERO, from);
    for (sent, ended) in calls {
        let (sent, ended) = (sent.max(until), ended.min(to));
        covered += ended.saturating_duration_since(sent);
        until = until.max(ended);
    }
    covered
}
