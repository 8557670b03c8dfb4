//! The caller's half of the corridor: lives and dies with the caller.
//!
//! [`Pipeline::run`] is the request's walk; each step is a room of its own. Dropping its future at any point
//! loses nothing of anybody else: what has gone through the door lands by itself.

mod admission;
mod coalesce;
mod config;
mod gather;
mod quota;
mod seat;
mod wait;

use std::{collections::HashMap, sync::Arc, time::Duration};

use tokio::{
    sync::mpsc,
    time::{Instant, timeout_at},
};

pub use admission::{Admission, Permit};
pub use config::Config;
pub use gather::{Outcome, Response, Source};
pub use quota::Budgets;

use crate::{
    cache::{Cache, Key, Keys},
    caller::{Caller, Priority, Scope},
    dispatch::{Dispatch, Item},
    embedding::{Input, Parameters},
    error::{Error, Phase},
    sync,
    telemetry::{
        Metrics, semconv,
        trace::{Span, TraceContext},
    },
    tokens::Measure,
};
use coalesce::{Boarding, Flights};
use gather::Gathering;
use quota::{Charge, Quotas};
use seat::Seat;
use wait::Wait;

/// A valid request for answers to inputs of one kind.
#[derive(Debug)]
pub struct Request {
    /// What shapes the answers.
    pub parameters: Arc<Parameters>,
    /// At least one; answered by position. An error stands for an input that was refused by itself, which
    /// `allow_partial` permits.
    pub inputs: Vec<Result<Input, Error>>,
    /// What the cache may do.
    pub cache_mode: CacheMode,
    /// Return what worked instead of failing the whole request.
    pub allow_partial: bool,
    /// When the caller must have its answer.
    pub deadline: Instant,
    /// The longest the caller wants to wait before its inputs are sent; `None`: up to its deadline.
    pub max_queue_wait: Option<Duration>,
    /// How urgent it is.
    pub priority: Priority,
    /// Who asks.
    pub caller: Caller,
    /// The span of its RPC.
    pub trace: TraceContext,
    /// Bytes the reply is predicted to take.
    pub reply_bytes: usize,
    /// Counts the request for as long as anybody holds it, the reply's bearer too; `None`: until it is answered.
    pub permit: Option<Permit>,
}

impl Request {
    /// Bytes the request and its reply take while they are in flight.
    fn size(&self) -> usize {
        let inputs: usize = self.inputs.iter().flatten().map(Input::footprint).sum();
        inputs.saturating_add(self.reply_bytes)
    }
}

/// What the cache may do for a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CacheMode {
    /// Look up, store.
    #[default]
    ReadWrite,
    /// Look up, store nothing.
    ReadOnly,
    /// Fetch and overwrite.
    Refresh,
    /// Neither, and share no call.
    Bypass,
    /// Look up and never fetch.
    OnlyIfCached,
}

impl CacheMode {
    /// Returns the name used in traces.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ReadWrite => "read_write",
            Self::ReadOnly => "read_only",
            Self::Refresh => "refresh",
            Self::Bypass => "bypass",
            Self::OnlyIfCached => "only_if_cached",
        }
    }

    fn reads(self) -> bool {
        matches!(self, Self::ReadWrite | Self::ReadOnly | Self::OnlyIfCached)
    }

    fn stores(self) -> bool {
        matches!(self, Self::ReadWrite | Self::Refresh)
    }
}

/// What the caller's half is made of.
#[derive(Debug)]
pub struct Parts<'a> {
    /// `[admission]`.
    pub admission: &'a Config,
    /// What all callers together may spend.
    pub budgets: Budgets,
    /// Whose answers a caller is given whose rules do not say.
    pub scope: Scope,
    /// Derives cache keys.
    pub keys: Keys,
    /// Where answers are kept.
    pub cache: Arc<Cache>,
    /// The door.
    pub dispatch: Arc<Dispatch>,
    /// Where it is counted.
    pub metrics: Metrics,
}

/// The rooms of the caller's half.
#[derive(Debug)]
pub struct Pipeline {
    quotas: Quotas,
    admission: Admission,
    scope: Scope,
    keys: Keys,
    cache: Arc<Cache>,
    flights: Arc<Flights>,
    dispatch: Arc<Dispatch>,
    metrics: Metrics,
}

impl Pipeline {
    /// Wires the rooms together.
    pub fn new(parts: Parts<'_>) -> Self {
        let Parts { admission, budgets, scope, keys, cache, dispatch, metrics } = parts;
        let quotas = Quotas::new(&budgets, metrics.clone());
        let admission = Admission::new(admission, metrics.clone());
        let flights = Flights::new(Arc::clone(&cache), metrics.clone());
        Self { quotas, admission, scope, keys, cache, flights, dispatch, metrics }
    }

    /// Returns what admits requests, for whoever counts their bytes before they are requests.
    pub fn admission(&self) -> &Admission {
        &self.admission
    }

    /// Walks one request: admit, look up, hold tokens, join or open flights, wait, put together.
    ///
    /// Without `allow_partial` the first failure is the answer, naming the caller's own index.
    pub async fn run(&self, mut request: Request) -> Result<Response, Error> {
        self.quotas.count_request(&request.caller, Instant::now())?;
        let permit = request.permit.take().unwrap_or_else(|| self.admission.permit());
        permit.enter(request.size(), request.priority)?;
        let inputs = std::mem::take(&mut request.inputs);
        let Request { cache_mode, allow_partial, deadline, .. } = request;

        let mut gathering = Gathering::new(inputs.len(), cache_mode, allow_partial);
        let mut looking = request.trace.child(semconv::CACHE_SPAN);
        let misses = self.look_up(&request, inputs, &mut gathering);
        looking.ends();
        if cache_mode == CacheMode::OnlyIfCached {
            let refused = gathering.refuse_misses(&misses);
            self.count(&request, &gathering, looking);
            refused?;
        } else {
            let held = self.hold_tokens(&request, misses, &mut gathering).await;
            let misses = match held {
                Ok(misses) => misses,
                Err(error) => {
                    self.count(&request, &gathering, looking);
                    return Err(error);
                }
            };
            let (landings, landed) = mpsc::unbounded_channel();
            let items = self.board(misses, &request, &landings, &mut gathering);
            drop(landings);
            self.count(&request, &gathering, looking);
            let wait = Wait::begin(&request.trace, &gathering);
            if !items.is_empty() {
                self.dispatch.submit(&request.parameters, items);
            }
            gathering.wait(landed, deadline).await?;
            drop(wait);
        }
        Ok(gathering.finish())
    }

    /// Counts what was found and what was not, whatever becomes of the request.
    fn count(&self, request: &Request, gathering: &Gathering, mut looking: Span) {
        self.metrics.saved(&request.parameters.model, gathering.saved_tokens());
        for (source, inputs) in gathering.lookups() {
            self.metrics.lookups(source.as_str(), inputs);
        }
        if !looking.is_recorded() {
            return;
        }
        let of = |wanted: &[Source]| {
            let lookups = gathering.lookups().filter(|(source, _)| wanted.contains(source));
            lookups.map(|(_, inputs)| inputs).sum()
        };
        looking.set(semconv::CACHE_MODE, request.cache_mode.as_str());
        looking.count(semconv::INPUTS, of(&Source::ALL));
        looking.count(semconv::CACHE_HITS, of(&[Source::Hit]));
        looking.count(semconv::CACHE_MISSES, of(&[Source::Miss, Source::Bypassed]));
        looking.count(semconv::CACHE_COALESCED, of(&[Source::Coalesced]));
    }

    /// Fills in the hits and returns the misses, each distinct input once.
    fn look_up(
        &self,
        request: &Request,
        inputs: Vec<Result<Input, Error>>,
        gathering: &mut Gathering,
    ) -> Vec<Miss> {
        let namespace = request.caller.namespace(self.scope);
        let prefix = self.keys.prefix(&namespace, &request.parameters);
        let mode = request.cache_mode;
        let now = Instant::now();
        let mut misses: Vec<Miss> = Vec::new();
        let mut seen: HashMap<Key, usize> = HashMap::new();
        for (slot, input) in inputs.into_iter().enumerate() {
            let input = match input {
                Ok(input) => input,
                Err(error) => {
                    gathering.refuse(slot, error);
                    continue;
                }
            };
            let key = prefix.key(&input);
            if mode.reads()
                && let Some(stored) = self.cache.get(&key, now)
            {
                gathering.hit(slot, stored);
            } else if let Some(&first) = seen.get(&key) {
                misses[first].slots.push(slot);
            } else {
                seen.insert(key, misses.len());
                let (slots, charge) = (vec![slot], Charge::default());
                misses.push(Miss { key, input, measure: None, slots, charge });
            }
        }
        misses
    }

    /// Holds the tokens of the misses that no flight carries yet, where anybody counts tokens; returns the misses that
    /// may board.
    ///
    /// Without `allow_partial` all of them must fit; with it, each that does not is refused by itself.
    async fn hold_tokens(
        &self,
        request: &Request,
        misses: Vec<Miss>,
        gathering: &mut Gathering,
    ) -> Result<Vec<Miss>, Error> {
        let Some(payer) = self.quotas.payer(&request.caller, Instant::now()) else {
            return Ok(misses);
        };
        let joins = |miss: &Miss| self.flights.would_join(&miss.key, request.cache_mode);
        let (mut boarding, unsent): (Vec<Miss>, Vec<Miss>) = misses.into_iter().partition(joins);
        for miss in &mut boarding {
            miss.charge = payer.unreserved();
        }
        if unsent.is_empty() {
            return Ok(boarding);
        }
        let inputs: Vec<&Input> = unsent.iter().map(|miss| &miss.input).collect();
        let counting = self.dispatch.estimate(&request.parameters, &inputs);
        let Ok(needs) = timeout_at(request.deadline, counting).await else {
            let late = Error::DeadlineExceeded { phase: Phase::Queue };
            for miss in &unsent {
                gathering.deny(miss, &late);
            }
            return if request.allow_partial { Ok(boarding) } else { Err(late) };
        };
        let needs = needs?;
        let now = Instant::now();
        if !request.allow_partial {
            let total = needs.iter().map(|(_, need)| need).sum();
            let mut held = match payer.reserve(total, now) {
                Ok(held) => held,
                Err(error) => {
                    for miss in boarding.iter().chain(&unsent) {
                        gathering.deny(miss, &error);
                    }
                    return Err(error);
                }
            };
            boarding.extend(unsent.into_iter().zip(needs).map(|(miss, (measure, need))| {
                let charge = held.split_off(need);
                Miss { measure: Some(measure), charge, ..miss }
            }));
            return Ok(boarding);
        }
        for (miss, (measure, need)) in unsent.into_iter().zip(needs) {
            match payer.reserve(need, now) {
                Ok(charge) => boarding.push(Miss { measure: Some(measure), charge, ..miss }),
                Err(error) => gathering.deny(&miss, &error),
            }
        }
        Ok(boarding)
    }

    /// Gives every miss a seat in a flight; returns the items of the flights that were opened for it.
    fn board(
        &self,
        misses: Vec<Miss>,
        request: &Request,
        landings: &mpsc::UnboundedSender<seat::Landed>,
        gathering: &mut Gathering,
    ) -> Vec<Item> {
        let now = Instant::now();
        let patience = request.max_queue_wait.and_then(|wait| now.checked_add(wait));
        let mut items = Vec::new();
        for (number, Miss { key, input, measure, slots, charge }) in misses.into_iter().enumerate()
        {
            let seat = Seat {
                number,
                trace: request.trace.clone(),
                places: u32::try_from(slots.len()).unwrap_or(u32::MAX),
                parameters: Arc::clone(&request.parameters),
                landings: landings.clone(),
                stores: request.cache_mode.stores(),
                priority: request.priority,
                caller: request.caller.clone(),
                charge,
                deadline: request.deadline,
                patience: patience.unwrap_or(request.deadline),
            };
            let (flight, boarding) = self.flights.board(key, request.cache_mode, seat);
            let joined = !matches!(boarding, Boarding::Opened(_));
            match boarding {
                Boarding::Opened(waiter) => items.push(Item {
                    id: flight.id(),
                    input,
                    measure,
                    priority: request.priority,
                    caller: request.caller.clone(),
                    waiter,
                }),
                Boarding::Joined if !flight.has_departed() => {
                    self.dispatch.joined(&request.parameters, flight.id(), request.priority);
                }
                Boarding::Joined | Boarding::Landed => {}
            }
            gathering.expect(slots, flight, joined);
        }
        items
    }
}

/// A distinct input that is not in the cache, and the positions that wait for it.
#[derive(Debug)]
struct Miss {
    key: Key,
    input: Input,
    /// What was found out about it on the way.
    measure: Option<Measure>,
    slots: Vec<usize>,
    /// What is held for it.
    charge: Charge,
}

#[cfg(test)]
mod tests;
