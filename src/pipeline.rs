//! The part of a request's path that ends with its caller.
//!
//! [`Pipeline::run`] is the whole path; each step is a module of its own. Its future may be dropped at any point
//! without harm to other requests: items that were submitted to the dispatch complete by themselves.

mod admission;
mod coalesce;
mod config;
mod explain;
mod gather;
mod quota;
mod request;
mod wait;
mod waiter;

use std::{collections::HashMap, sync::Arc};

use tokio::{
    sync::Semaphore,
    time::{Instant, timeout_at},
};

pub use admission::{Admission, Permit};
pub use config::Config;
pub use explain::{ExplainedInput, Explanation};
pub use request::{CacheMode, ItemResult, Request, Response, Source};

use crate::{
    cache::{Cache, Key, KeyDeriver},
    caller::{Caller, Scope},
    dispatch::{Dispatch, Item, LimitsConfig},
    error::{Error, Phase},
    item::{Input, Parameters},
    sync,
    telemetry::{Metrics, trace::TraceContext},
    tokens::{Counter, Measure},
};
use coalesce::{Flights, Join};
use gather::{Gathering, LookUp};
use quota::{Charge, Quotas};
use wait::Wait;
use waiter::{Requester, Waiter};

/// The parts of a pipeline.
#[derive(Debug)]
pub struct Parts<'a> {
    /// `[admission]`.
    pub admission: &'a Config,
    /// `[limits]`.
    pub limits: &'a LimitsConfig,
    /// The cache scope of callers whose rules name none.
    pub scope: Scope,
    /// Derives cache keys.
    pub keys: KeyDeriver,
    /// The answers in memory.
    pub cache: Arc<Cache>,
    /// The upstream side: batching, limits, calls.
    pub dispatch: Arc<Dispatch>,
    /// Receives the pipeline's counts.
    pub metrics: Metrics,
}

/// Answers requests from the cache, from flights of other requests, or by calls to Voyage.
#[derive(Debug)]
pub struct Pipeline {
    quotas: Quotas,
    admission: Admission,
    scope: Scope,
    keys: KeyDeriver,
    cache: Arc<Cache>,
    flights: Arc<Flights>,
    dispatch: Arc<Dispatch>,
    /// Permits a walk over the cache, for explanations.
    walks: Arc<Semaphore>,
    metrics: Metrics,
}

impl Pipeline {
    /// Builds a pipeline of its parts.
    pub fn new(parts: Parts<'_>) -> Self {
        let Parts { admission, limits, scope, keys, cache, dispatch, metrics } = parts;
        let quotas = Quotas::new(limits, metrics.clone());
        let admission = Admission::new(admission, metrics.clone());
        let flights = Flights::new(Arc::clone(&cache), metrics.clone());
        let walks = Arc::new(Semaphore::new(1));
        Self { quotas, admission, scope, keys, cache, flights, dispatch, walks, metrics }
    }

    /// Returns the admission, which also counts the bytes of messages while they arrive.
    pub fn admission(&self) -> &Admission {
        &self.admission
    }

    /// Returns the counter of tokens.
    pub fn counter(&self) -> &Counter {
        self.dispatch.counter()
    }

    /// Counts a request that needs no answers of Voyage, or refuses it when it exceeds the caller's requests a second.
    pub fn count_request(&self, caller: &Caller) -> Result<(), Error> {
        self.quotas.count_request(caller, Instant::now())
    }

    /// Answers one request: admits it, looks its inputs up, reserves tokens, joins or opens flights, and waits for
    /// them.
    ///
    /// The permit counts the request until its last clone is dropped. Without `allow_partial`, the first failure is the
    /// answer, with the index of the caller's own input.
    pub async fn run(
        &self,
        mut request: Request,
        trace: &TraceContext,
        permit: &Permit,
    ) -> Result<Response, Error> {
        self.quotas.count_request(&request.caller, Instant::now())?;
        permit.enter(request.size(), request.priority)?;
        let inputs = std::mem::take(&mut request.inputs);
        let mut gathering = Gathering::new(&request, inputs.len());
        let items = self.find(inputs, trace, &mut gathering).await?;
        let wait = Wait::begin(trace, &gathering);
        for LaneItems { parameters, items } in items {
            self.dispatch.submit(&parameters, items);
        }
        gathering.wait().await?;
        drop(wait);
        Ok(gathering.finish())
    }

    /// Looks the inputs up, and joins or opens flights for the misses; returns the items that must be sent, by lane.
    async fn find(
        &self,
        inputs: Vec<Result<Input, Error>>,
        trace: &TraceContext,
        gathering: &mut Gathering<'_>,
    ) -> Result<Vec<LaneItems>, Error> {
        let mut look_up = LookUp::begin(gathering, trace, &self.metrics);
        let misses = self.look_up(inputs, look_up.gathering);
        look_up.span.ends();
        if look_up.gathering.request.cache_mode == CacheMode::OnlyIfCached {
            look_up.gathering.deny_fetching(&misses)?;
            return Ok(Vec::new());
        }
        let misses = self.reserve(misses, look_up.gathering).await?;
        Ok(self.join(misses, trace, look_up.gathering))
    }

    /// Takes the hits from the cache; returns the misses, each distinct input once.
    fn look_up(
        &self,
        inputs: Vec<Result<Input, Error>>,
        gathering: &mut Gathering<'_>,
    ) -> Vec<Miss> {
        let request = gathering.request;
        let namespace = request.caller.namespace(self.scope);
        let prefix = self.keys.prefix(&namespace, &request.parameters);
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
            if request.cache_mode.reads()
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

    /// Reserves tokens for the misses without a flight, if the caller or the gateway has a token limit; returns the
    /// misses that may join or open a flight.
    async fn reserve(
        &self,
        misses: Vec<Miss>,
        gathering: &mut Gathering<'_>,
    ) -> Result<Vec<Miss>, Error> {
        let request = gathering.request;
        let Some(payer) = self.quotas.payer(&request.caller, Instant::now()) else {
            return Ok(misses);
        };
        let joins = |miss: &Miss| self.flights.would_join(&miss.key, request.cache_mode);
        let (mut ready, mut unsent): (Vec<Miss>, Vec<Miss>) = misses.into_iter().partition(joins);
        for miss in &mut ready {
            miss.charge = payer.unreserved();
        }
        if unsent.is_empty() {
            return Ok(ready);
        }

        let inputs: Vec<&Input> = unsent.iter().map(|miss| &miss.input).collect();
        let measuring = self.dispatch.measure(&request.parameters, &inputs);
        let Ok(measures) = timeout_at(request.deadline, measuring).await else {
            gathering.deny(&unsent, &Error::DeadlineExceeded { phase: Phase::Queue })?;
            return Ok(ready);
        };
        let needs = unsent.iter_mut().zip(measures?).map(|(miss, measure)| {
            miss.measure = Some(measure);
            self.dispatch.tokens_to_reserve(&request.parameters, &measure)
        });
        let needs: Vec<u64> = needs.collect();
        let (need, now) = (needs.iter().sum(), Instant::now());
        let mut whole = if request.allow_partial { None } else { Some(payer.reserve(need, now)?) };
        for (mut miss, need) in unsent.into_iter().zip(needs) {
            let part = whole.as_mut().map(|whole| Ok(whole.split_off(need)));
            match part.unwrap_or_else(|| payer.reserve(need, now)) {
                Ok(charge) => {
                    miss.charge = charge;
                    ready.push(miss);
                }
                Err(error) => gathering.deny(&[miss], &error)?,
            }
        }
        Ok(ready)
    }

    /// Joins or opens a flight for every miss; returns the items of the opened flights, by lane.
    fn join(
        &self,
        misses: Vec<Miss>,
        trace: &TraceContext,
        gathering: &mut Gathering<'_>,
    ) -> Vec<LaneItems> {
        if misses.is_empty() {
            return Vec::new();
        }
        let request = gathering.request;
        let patience = request.max_queue_wait.and_then(|wait| Instant::now().checked_add(wait));
        let requester = Arc::new(Requester {
            trace: trace.clone(),
            parameters: Arc::clone(&request.parameters),
            caller: request.caller.clone(),
            priority: request.priority,
            stores: request.cache_mode.stores(),
            deadline: request.deadline,
            patience: patience.map_or(request.deadline, |at| at.min(request.deadline)),
            results: gathering.results(),
        });
        let mut lanes: Vec<LaneItems> = Vec::new();
        let mut first = None;
        for (number, Miss { key, input, measure, slots, charge }) in misses.into_iter().enumerate()
        {
            let copies = u32::try_from(slots.len()).unwrap_or(u32::MAX);
            let waiter = Waiter { requester: Arc::clone(&requester), number, copies, charge };
            let (flight, join) =
                self.flights.join(key, input.call_group(), request.cache_mode, waiter);
            let joined = !matches!(join, Join::Opened(_));
            match join {
                Join::Opened(owner) => {
                    let item = Item {
                        id: flight.id(),
                        request: *first.get_or_insert(flight.id()),
                        input,
                        measure,
                        priority: request.priority,
                        caller: request.caller.clone(),
                        owner,
                    };
                    let parameters = flight.lane(&request.parameters);
                    match lanes.iter_mut().find(|lane| lane.parameters == parameters) {
                        Some(lane) => lane.items.push(item),
                        None => lanes.push(LaneItems { parameters, items: vec![item] }),
                    }
                }
                Join::Joined if !flight.was_sent() => {
                    let parameters = flight.lane(&request.parameters);
                    self.dispatch.joined(&parameters, flight.id(), request.priority);
                }
                Join::Joined | Join::Completed => {}
            }
            gathering.expect(slots, flight, joined);
        }
        lanes
    }
}

/// Items of a request that may share calls.
#[derive(Debug)]
struct LaneItems {
    parameters: Arc<Parameters>,
    items: Vec<Item>,
}

/// A distinct input that is not in the cache.
#[derive(Debug)]
struct Miss {
    key: Key,
    input: Input,
    /// Its token count, if that is known.
    measure: Option<Measure>,
    /// Its positions in the request.
    slots: Vec<usize>,
    /// The tokens reserved for it.
    charge: Charge,
}

#[cfg(test)]
mod tests;
