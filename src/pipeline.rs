//! The part of a request's path that ends with its caller.
//!
//! [`Pipeline::run`] is the whole path; each step is a module of its own. Its future may be dropped at any point without
//! harm to other requests: items that were submitted to the dispatch complete by themselves.

mod admission;
mod coalesce;
mod config;
mod gather;
mod quota;
mod request;
mod wait;
mod waiter;

use std::{collections::HashMap, sync::Arc};

use tokio::time::{Instant, timeout_at};

pub use admission::{Admission, Permit};
pub use config::Config;
pub use quota::TokenBudgets;
pub use request::{CacheMode, ItemResult, Request, Response, Source};

use crate::{
    cache::{Cache, Key, KeyDeriver},
    caller::Scope,
    dispatch::{Dispatch, Item},
    embedding::Input,
    error::{Error, Phase},
    sync,
    telemetry::{Metrics, trace::TraceContext},
    tokens::Measure,
};
use coalesce::{Flights, Join};
use gather::{Gathering, LookUp};
use quota::{Charge, Payer, Quotas};
use wait::Wait;
use waiter::Waiter;

/// The parts of a pipeline.
#[derive(Debug)]
pub struct Parts<'a> {
    /// `[admission]`.
    pub admission: &'a Config,
    /// The token limits of all callers together.
    pub budgets: TokenBudgets,
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
    metrics: Metrics,
}

impl Pipeline {
    /// Builds a pipeline of its parts.
    pub fn new(parts: Parts<'_>) -> Self {
        let Parts { admission, budgets, scope, keys, cache, dispatch, metrics } = parts;
        let quotas = Quotas::new(&budgets, metrics.clone());
        let admission = Admission::new(admission, metrics.clone());
        let flights = Flights::new(Arc::clone(&cache), metrics.clone());
        Self { quotas, admission, scope, keys, cache, flights, dispatch, metrics }
    }

    /// Returns the admission, which also counts the bytes of messages that are not yet requests.
    pub fn admission(&self) -> &Admission {
        &self.admission
    }

    /// Answers one request: admit, look up, reserve tokens, join or open flights, wait, put together.
    ///
    /// The permit counts the request, and is free when its last clone is dropped. Without `allow_partial` the first failure
    /// is the answer, with the index of the caller's own input.
    pub async fn run(
        &self,
        mut request: Request,
        trace: &TraceContext,
        permit: &Permit,
    ) -> Result<Response, Error> {
        self.quotas.count_request(&request.caller, Instant::now())?;
        permit.enter(request.size(), request.priority)?;
        let mut gathering = Gathering::new(&request);
        let inputs = std::mem::take(&mut request.inputs);
        let items = self.find(&request, inputs, trace, &mut gathering).await?;
        let wait = Wait::begin(trace, &gathering);
        if !items.is_empty() {
            self.dispatch.submit(&request.parameters, items);
        }
        gathering.wait(request.deadline).await?;
        drop(wait);
        Ok(gathering.finish())
    }

    /// Looks the inputs up, and joins or opens flights for the misses; returns the items that must be sent.
    async fn find(
        &self,
        request: &Request,
        inputs: Vec<Result<Input, Error>>,
        trace: &TraceContext,
        gathering: &mut Gathering,
    ) -> Result<Vec<Item>, Error> {
        let mut look_up = LookUp::begin(gathering, request, trace, &self.metrics);
        let misses = self.look_up(request, inputs, look_up.gathering);
        look_up.span.ends();
        if request.cache_mode == CacheMode::OnlyIfCached {
            look_up.gathering.deny_fetching(&misses)?;
            return Ok(Vec::new());
        }
        let misses = self.reserve(request, misses, look_up.gathering).await?;
        Ok(self.join(misses, request, trace, look_up.gathering))
    }

    /// Takes the hits from the cache; returns the misses, each distinct input once.
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

    /// Reserves tokens for the misses that no flight carries yet, if the caller or the gateway has a token limit; returns
    /// the misses that may join or open a flight.
    async fn reserve(
        &self,
        request: &Request,
        misses: Vec<Miss>,
        gathering: &mut Gathering,
    ) -> Result<Vec<Miss>, Error> {
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
        let estimating = self.dispatch.estimate(&request.parameters, &inputs);
        let late = Error::DeadlineExceeded { phase: Phase::Queue };
        let needs: Vec<u64> = match timeout_at(request.deadline, estimating).await {
            Ok(estimates) => {
                let estimates = estimates?.into_iter().zip(&mut unsent);
                estimates
                    .map(|((measure, need), miss)| {
                        miss.measure = Some(measure);
                        need
                    })
                    .collect()
            }
            Err(_) if request.allow_partial => {
                for miss in &unsent {
                    gathering.deny(miss, &late);
                }
                return Ok(ready);
            }
            Err(_) => return Err(late),
        };
        if request.allow_partial {
            ready.extend(reserve_each(&payer, unsent, needs, gathering));
        } else {
            reserve_all(&payer, &mut unsent, &needs)?;
            ready.extend(unsent);
        }
        Ok(ready)
    }

    /// Gives every miss a seat in a flight; returns the items of the flights that were opened for it.
    fn join(
        &self,
        misses: Vec<Miss>,
        request: &Request,
        trace: &TraceContext,
        gathering: &mut Gathering,
    ) -> Vec<Item> {
        if misses.is_empty() {
            return Vec::new();
        }
        let (results, now) = (gathering.results(), Instant::now());
        let patience = request.max_queue_wait.and_then(|wait| now.checked_add(wait));
        let mut items = Vec::new();
        for (number, Miss { key, input, measure, slots, charge }) in misses.into_iter().enumerate()
        {
            let waiter = Waiter {
                number,
                trace: trace.clone(),
                places: u32::try_from(slots.len()).unwrap_or(u32::MAX),
                parameters: Arc::clone(&request.parameters),
                results: results.clone(),
                stores: request.cache_mode.stores(),
                priority: request.priority,
                caller: request.caller.clone(),
                charge,
                deadline: request.deadline,
                patience: patience.unwrap_or(request.deadline),
            };
            let (flight, join) = self.flights.join(key, request.cache_mode, waiter);
            let joined = !matches!(join, Join::Opened(_));
            match join {
                Join::Opened(owner) => items.push(Item {
                    id: flight.id(),
                    input,
                    measure,
                    priority: request.priority,
                    caller: request.caller.clone(),
                    owner,
                }),
                Join::Joined if !flight.was_sent() => {
                    self.dispatch.joined(&request.parameters, flight.id(), request.priority);
                }
                Join::Joined | Join::Completed => {}
            }
            gathering.expect(slots, flight, joined);
        }
        items
    }
}

/// Reserves the tokens of all misses, or of none.
fn reserve_all(payer: &Payer<'_>, misses: &mut [Miss], needs: &[u64]) -> Result<(), Error> {
    let mut held = payer.reserve(needs.iter().sum(), Instant::now())?;
    for (miss, &need) in misses.iter_mut().zip(needs) {
        miss.charge = held.split_off(need);
    }
    Ok(())
}

/// Reserves the tokens of each miss by itself; returns the misses that have theirs.
fn reserve_each(
    payer: &Payer<'_>,
    misses: Vec<Miss>,
    needs: Vec<u64>,
    gathering: &mut Gathering,
) -> Vec<Miss> {
    let now = Instant::now();
    let reserve = |(mut miss, need): (Miss, u64)| match payer.reserve(need, now) {
        Ok(charge) => {
            miss.charge = charge;
            Some(miss)
        }
        Err(error) => {
            gathering.deny(&miss, &error);
            None
        }
    };
    misses.into_iter().zip(needs).filter_map(reserve).collect()
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
