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
    error::{Error, Phase},
    item::Usage,
    telemetry::{
        Metrics, semconv,
        trace::{Span, TraceContext},
    },
};

/// The results of a request while they arrive.
#[derive(Debug)]
pub(super) struct Gathering<'a> {
    pub(super) request: &'a Request,
    began: Instant,
    items: Vec<ItemResult>,
    /// The flights, by the number of the waiter.
    expected: Vec<Expected>,
    /// `None` when no flight is expected.
    results: Option<mpsc::UnboundedReceiver<FlightResult>>,
    usage: Usage,
    guessed: bool,
    /// The statistics of every batch that the request pays for, and the number of its items in it.
    paid: Vec<(Arc<CallStats>, u32)>,
    /// The cost of the hits when they were fetched.
    saved: Usage,
}

#[derive(Debug)]
struct Expected {
    /// The positions of the inputs; empty once they have a result.
    slots: Vec<usize>,
    flight: Arc<Flight>,
}

impl<'a> Gathering<'a> {
    pub(super) fn new(request: &'a Request, inputs: usize) -> Self {
        // An input is a hit, a denied miss or expected of one flight: each of them sets its result.
        let lost = Err(Error::Internal { cause: "an input was lost" });
        Self {
            request,
            began: Instant::now(),
            items: vec![ItemResult { source: Source::Miss, result: lost }; inputs],
            expected: Vec::new(),
            results: None,
            usage: Usage::default(),
            guessed: false,
            paid: Vec::new(),
            saved: Usage::default(),
        }
    }

    pub(super) fn hit(&mut self, slot: usize, stored: Stored) {
        self.saved += stored.saves();
        self.items[slot] = ItemResult { source: Source::Hit, result: Ok(stored.answer) };
    }

    pub(super) fn refuse(&mut self, slot: usize, error: Error) {
        self.items[slot] = ItemResult { source: Source::Refused, result: Err(error) };
    }

    /// Fails misses before a flight is joined or opened for them: each alone, or the whole request.
    pub(super) fn deny(&mut self, misses: &[Miss], error: &Error) -> Result<(), Error> {
        if !misses.is_empty() && !self.request.allow_partial {
            return Err(error.clone());
        }
        for &slot in misses.iter().flat_map(|miss| &miss.slots) {
            self.items[slot].result = Err(error.clone());
        }
        Ok(())
    }

    /// Fails the misses of a request that must not fetch.
    pub(super) fn deny_fetching(&mut self, misses: &[Miss]) -> Result<(), Error> {
        let all = misses.iter().map(|miss| miss.slots.len()).sum();
        let count = if self.request.allow_partial { 1 } else { all };
        self.deny(misses, &Error::CacheMiss { misses: count })
    }

    /// Returns the sender for the results of the expected flights.
    pub(super) fn results(&mut self) -> mpsc::UnboundedSender<FlightResult> {
        let (sender, receiver) = mpsc::unbounded_channel();
        self.results = Some(receiver);
        sender
    }

    /// Expects the next flight, for these slots; `joined`: another request opened it.
    pub(super) fn expect(&mut self, slots: Vec<usize>, flight: Arc<Flight>, joined: bool) {
        for (nth, &slot) in slots.iter().enumerate() {
            self.items[slot].source = match self.request.cache_mode {
                CacheMode::Bypass => Source::Bypassed,
                _ if joined || nth > 0 => Source::Coalesced,
                _ => Source::Miss,
            };
        }
        self.expected.push(Expected { slots, flight });
    }

    /// Returns the expected flights.
    pub(super) fn flights(&self) -> impl Iterator<Item = &Arc<Flight>> {
        self.expected.iter().map(|expected| &expected.flight)
    }

    /// Waits until every flight has completed, one has failed, or the deadline has passed.
    pub(super) async fn wait(&mut self) -> Result<(), Error> {
        let Some(mut results) = self.results.take() else { return Ok(()) };
        for _ in 0..self.expected.len() {
            match timeout_at(self.request.deadline, results.recv()).await {
                Ok(Some(result)) => self.take(result)?,
                // Every flight sends its result, even when it is lost to a panic.
                Ok(None) => return Err(Error::Internal { cause: "a flight sent no result" }),
                Err(_) => return self.give_up(),
            }
        }
        Ok(())
    }

    fn take(&mut self, result: FlightResult) -> Result<(), Error> {
        let FlightResult { number, result, bill } = result;
        if let Some(bill) = bill {
            self.pay(bill);
        }
        for slot in std::mem::take(&mut self.expected[number].slots) {
            let result = result.clone().map_err(|error| error.at_input(slot));
            if let Err(error) = &result
                && !self.request.allow_partial
            {
                return Err(error.clone());
            }
            self.items[slot].result = result;
        }
        Ok(())
    }

    fn pay(&mut self, bill: Bill) {
        self.usage += bill.usage;
        self.guessed |= bill.guessed;
        match self.paid.iter_mut().find(|(stats, _)| Arc::ptr_eq(stats, &bill.stats)) {
            Some((_, items)) => *items += 1,
            None => self.paid.push((bill.stats, 1)),
        }
    }

    /// Fails the inputs that have no answer at the deadline.
    fn give_up(&mut self) -> Result<(), Error> {
        let late = || self.expected.iter().filter(|expected| !expected.slots.is_empty());
        let sent = late().any(|expected| expected.flight.was_sent());
        let phase = if sent { Phase::Upstream } else { Phase::Queue };
        let error = Error::DeadlineExceeded { phase };
        if !self.request.allow_partial {
            return Err(error);
        }
        for &slot in late().flat_map(|expected| &expected.slots) {
            self.items[slot] = ItemResult { source: Source::Miss, result: Err(error.clone()) };
        }
        Ok(())
    }

    /// Returns the time until now during which upstream calls for its inputs were in flight.
    fn upstream_time(&self, now: Instant) -> Duration {
        let (mut counted, mut calls) = (Vec::<Arc<CallStats>>::new(), Vec::new());
        for flight in self.flights() {
            match flight.stats() {
                Some(stats) if counted.last().is_some_and(|last| Arc::ptr_eq(last, &stats)) => {}
                Some(stats) => {
                    calls.extend(stats.calls());
                    counted.push(stats);
                }
                // It has not completed: its call may still be in flight.
                None => calls.extend(flight.send_info().map(|send_info| (send_info.at(), now))),
            }
        }
        covered(calls, self.began, now)
    }

    pub(super) fn finish(self) -> Response {
        Response {
            upstream_time: self.upstream_time(Instant::now()),
            items: self.items,
            usage: self.usage,
            // If a call is paid in part, its usage is divided.
            estimated: self.guessed || self.paid.iter().any(|(stats, paid)| *paid < stats.items()),
            calls: self.paid.into_iter().map(|(stats, _)| stats).collect(),
        }
    }
}

/// The look-up of a request's inputs. When dropped, it is counted, even if the request was cancelled.
#[derive(Debug)]
pub(super) struct LookUp<'a, 'r> {
    pub(super) gathering: &'a mut Gathering<'r>,
    pub(super) span: Span,
    metrics: &'a Metrics,
}

impl<'a, 'r> LookUp<'a, 'r> {
    pub(super) fn begin(
        gathering: &'a mut Gathering<'r>,
        trace: &TraceContext,
        metrics: &'a Metrics,
    ) -> Self {
        Self { gathering, span: trace.child(semconv::CACHE_SPAN), metrics }
    }
}

impl Drop for LookUp<'_, '_> {
    fn drop(&mut self) {
        let mut inputs = [0; Source::ALL.len()];
        for item in &self.gathering.items {
            inputs[item.source as usize] += 1;
        }
        let Request { parameters, cache_mode, .. } = self.gathering.request;
        self.metrics.saved(&parameters.model, &self.gathering.saved);
        for source in Source::ALL {
            self.metrics.lookups(source.as_str(), inputs[source as usize]);
        }
        let of = |source: Source| inputs[source as usize];
        self.span.set(semconv::CACHE_MODE, cache_mode.as_str());
        self.span.count(semconv::INPUTS, inputs.iter().sum());
        self.span.count(semconv::CACHE_HITS, of(Source::Hit));
        self.span.count(semconv::CACHE_MISSES, of(Source::Miss) + of(Source::Bypassed));
        self.span.count(semconv::CACHE_COALESCED, of(Source::Coalesced));
    }
}

/// Returns how much of the time between two instants these calls cover; overlaps count once.
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
