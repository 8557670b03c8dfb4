//! Puts hits, duplicates, joined and fetched answers back at the positions of their inputs.

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::mpsc,
    time::{Instant, timeout_at},
};

use super::{
    Miss,
    coalesce::Flight,
    request::{CacheMode, ItemResult, Request, Response, Source},
    waiter::FlightResult,
};
use crate::{
    cache::Stored,
    dispatch::{Bill, CallStats},
    embedding::Answer,
    error::{Error, Phase},
    telemetry::{
        Metrics, semconv,
        trace::{Span, TraceContext},
    },
};

/// The results of a request while they come in.
#[derive(Debug)]
pub(super) struct Gathering {
    began: Instant,
    slots: Vec<Slot>,
    /// By the number of the seat; a flight's slots are filled once.
    expected: Vec<Expected>,
    /// `None` when no flight is expected.
    results: Option<mpsc::UnboundedReceiver<FlightResult>>,
    mode: CacheMode,
    allow_partial: bool,
    tokens: u64,
    guessed: bool,
    /// Every trip this request pays for, and how many of its items.
    trips: Vec<(Arc<CallStats>, u32)>,
    /// What the hits cost when they were fetched.
    saved_tokens: u64,
}

/// The result of one input, once there is one.
#[derive(Clone, Debug)]
struct Slot {
    source: Source,
    result: Option<Result<Answer, Error>>,
}

#[derive(Debug)]
struct Expected {
    slots: Vec<usize>,
    flight: Arc<Flight>,
    landed: bool,
}

impl Gathering {
    pub(super) fn new(request: &Request) -> Self {
        Self {
            began: Instant::now(),
            slots: vec![Slot { source: Source::Miss, result: None }; request.inputs.len()],
            expected: Vec::new(),
            results: None,
            mode: request.cache_mode,
            allow_partial: request.allow_partial,
            tokens: 0,
            guessed: false,
            trips: Vec::new(),
            saved_tokens: 0,
        }
    }

    pub(super) fn hit(&mut self, slot: usize, Stored { answer, tokens }: Stored) {
        self.saved_tokens += u64::from(tokens);
        self.slots[slot] = Slot { source: Source::Hit, result: Some(Ok(answer)) };
    }

    pub(super) fn refuse(&mut self, slot: usize, error: Error) {
        self.slots[slot] = Slot { source: Source::Refused, result: Some(Err(error)) };
    }

    /// Fails a miss before a flight is joined or opened for it.
    pub(super) fn deny(&mut self, miss: &Miss, error: &Error) {
        for &slot in &miss.slots {
            self.slots[slot].result = Some(Err(error.clone()));
        }
    }

    /// Fails the misses of a request that must not fetch.
    pub(super) fn deny_fetching(&mut self, misses: &[Miss]) -> Result<(), Error> {
        let count = misses.iter().map(|miss| miss.slots.len()).sum();
        if count > 0 && !self.allow_partial {
            return Err(Error::CacheMiss { misses: count });
        }
        for miss in misses {
            self.deny(miss, &Error::CacheMiss { misses: 1 });
        }
        Ok(())
    }

    /// Returns where the flights that are expected send their results.
    pub(super) fn results(&mut self) -> mpsc::UnboundedSender<FlightResult> {
        let (sender, receiver) = mpsc::unbounded_channel();
        self.results = Some(receiver);
        sender
    }

    /// Expects the next flight, for these slots; `joined`: another request opened it.
    pub(super) fn expect(&mut self, slots: Vec<usize>, flight: Arc<Flight>, joined: bool) {
        for (nth, &slot) in slots.iter().enumerate() {
            self.slots[slot].source = match self.mode {
                CacheMode::Bypass => Source::Bypassed,
                _ if joined || nth > 0 => Source::Coalesced,
                _ => Source::Miss,
            };
        }
        self.expected.push(Expected { slots, flight, landed: false });
    }

    /// Returns the flights whose answers it waits for.
    pub(super) fn flights(&self) -> impl Iterator<Item = &Arc<Flight>> {
        self.expected.iter().map(|expected| &expected.flight)
    }

    /// Waits until every flight has landed, one has failed, or the deadline has passed.
    pub(super) async fn wait(&mut self, deadline: Instant) -> Result<(), Error> {
        let Some(mut results) = self.results.take() else { return Ok(()) };
        for _ in 0..self.expected.len() {
            match timeout_at(deadline, results.recv()).await {
                Ok(Some(landed)) => self.take(landed)?,
                // Every flight sends its result, even when it is lost to a panic.
                Ok(None) => return Err(Error::Internal { cause: "a flight sent no result" }),
                Err(_) => return self.give_up(),
            }
        }
        Ok(())
    }

    fn take(&mut self, landed: FlightResult) -> Result<(), Error> {
        let FlightResult { number, result, bill } = landed;
        if let Some(bill) = bill {
            self.pay(bill);
        }
        let expected = &mut self.expected[number];
        expected.landed = true;
        for slot in std::mem::take(&mut expected.slots) {
            let result = result.clone().map_err(|error| error.at_input(slot));
            if let Err(error) = &result
                && !self.allow_partial
            {
                return Err(error.clone());
            }
            self.slots[slot].result = Some(result);
        }
        Ok(())
    }

    fn pay(&mut self, bill: Bill) {
        self.tokens += bill.tokens;
        self.guessed |= bill.guessed;
        match self.trips.iter_mut().find(|(stats, _)| Arc::ptr_eq(stats, &bill.stats)) {
            Some((_, items)) => *items += 1,
            None => self.trips.push((bill.stats, 1)),
        }
    }

    /// Fails the inputs that have no answer at the deadline.
    fn give_up(&mut self) -> Result<(), Error> {
        let late = || self.expected.iter().filter(|expected| !expected.landed);
        let sent = late().any(|expected| expected.flight.was_sent());
        let phase = if sent { Phase::Upstream } else { Phase::Queue };
        let error = Error::DeadlineExceeded { phase };
        if !self.allow_partial {
            return Err(error);
        }
        let slots: Vec<usize> = late().flat_map(|expected| expected.slots.clone()).collect();
        for slot in slots {
            self.slots[slot] = Slot { source: Source::Miss, result: Some(Err(error.clone())) };
        }
        Ok(())
    }

    /// Returns the time until now during which upstream calls for its inputs were in flight.
    fn upstream_time(&self, now: Instant) -> Duration {
        let (mut trips, mut calls) = (Vec::<Arc<CallStats>>::new(), Vec::new());
        for flight in self.flights() {
            match flight.stats() {
                Some(stats) if trips.last().is_some_and(|last| Arc::ptr_eq(last, &stats)) => {}
                Some(stats) => {
                    calls.extend(stats.calls());
                    trips.push(stats);
                }
                // It has not landed: its call may still be in flight.
                None => calls.extend(flight.send_info().map(|send_info| (send_info.at(), now))),
            }
        }
        covered(calls, self.began, now)
    }

    pub(super) fn finish(self) -> Response {
        let upstream_time = self.upstream_time(Instant::now());
        // A slot belongs to a hit, a denied miss or one flight, and each of them fills it.
        let lost = || Err(Error::Internal { cause: "an input was lost" });
        let items = self.slots.into_iter().map(|Slot { source, result }| ItemResult {
            result: result.unwrap_or_else(lost),
            source,
        });
        Response {
            items: items.collect(),
            tokens: self.tokens,
            // A call that is paid in part has its tokens divided.
            estimated: self.guessed || self.trips.iter().any(|(stats, paid)| *paid < stats.items()),
            trips: self.trips.into_iter().map(|(stats, _)| stats).collect(),
            upstream_time,
        }
    }
}

/// The look-up of a request's inputs. Dropped, it is counted, whether or not the request goes on.
#[derive(Debug)]
pub(super) struct LookUp<'a> {
    pub(super) gathering: &'a mut Gathering,
    pub(super) span: Span,
    request: &'a Request,
    metrics: &'a Metrics,
}

impl<'a> LookUp<'a> {
    pub(super) fn begin(
        gathering: &'a mut Gathering,
        request: &'a Request,
        trace: &TraceContext,
        metrics: &'a Metrics,
    ) -> Self {
        Self { gathering, span: trace.child(semconv::CACHE_SPAN), request, metrics }
    }
}

impl Drop for LookUp<'_> {
    fn drop(&mut self) {
        let mut inputs = [0; Source::ALL.len()];
        for slot in &self.gathering.slots {
            inputs[slot.source as usize] += 1;
        }
        self.metrics.saved(&self.request.parameters.model, self.gathering.saved_tokens);
        for source in Source::ALL {
            self.metrics.lookups(source.as_str(), inputs[source as usize]);
        }
        let of = |source: Source| inputs[source as usize];
        self.span.set(semconv::CACHE_MODE, self.request.cache_mode.as_str());
        self.span.count(semconv::INPUTS, inputs.iter().sum());
        self.span.count(semconv::CACHE_HITS, of(Source::Hit));
        self.span.count(semconv::CACHE_MISSES, of(Source::Miss) + of(Source::Bypassed));
        self.span.count(semconv::CACHE_COALESCED, of(Source::Coalesced));
    }
}

/// Returns how much of the time between two instants is covered by these calls; overlaps count once.
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
