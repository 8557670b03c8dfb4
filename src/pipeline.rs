//! The caller's half of the corridor: lives and dies with the caller.
//!
//! [`Pipeline::run`] is the request's walk; each step is a room of its own. Dropping its future at any point
//! loses nothing of anybody else: what has gone through the door lands by itself.

mod admission;
mod coalesce;
mod config;
mod gather;

use std::{collections::HashMap, sync::Arc};

use tokio::{sync::mpsc, time::Instant};

pub use admission::Admission;
use admission::Cargo;
pub use config::Config;
pub use gather::{Outcome, Response, Source};

use crate::{
    cache::{Cache, Key, Keys},
    dispatch::{Dispatch, Item},
    embedding::{Input, Parameters},
    error::Error,
    telemetry::Metrics,
};
use coalesce::{Flights, Seat};
use gather::Gathering;

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
}

impl Request {
    /// Bytes the request takes while it is in flight.
    fn size(&self) -> usize {
        let texts: usize = self.inputs.iter().flatten().map(Input::size).sum();
        texts + self.inputs.len() * INPUT_OVERHEAD
    }
}

/// What an input takes beside its text, in bytes: its flight, seat and places, measured at 800,000 in flight.
const INPUT_OVERHEAD: usize = 512;

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
    fn reads(self) -> bool {
        matches!(self, Self::ReadWrite | Self::ReadOnly | Self::OnlyIfCached)
    }

    fn stores(self) -> bool {
        matches!(self, Self::ReadWrite | Self::Refresh)
    }
}

/// Whose answers may be shared with whom. One for all callers until callers have identities.
const NAMESPACE: &str = "";

/// The rooms of the caller's half.
#[derive(Debug)]
pub struct Pipeline {
    admission: Admission,
    keys: Keys,
    cache: Arc<Cache>,
    flights: Arc<Flights>,
    dispatch: Arc<Dispatch>,
    metrics: Metrics,
}

impl Pipeline {
    /// Wires the rooms together.
    pub fn new(
        config: &Config,
        keys: Keys,
        cache: Arc<Cache>,
        dispatch: Arc<Dispatch>,
        metrics: Metrics,
    ) -> Self {
        let admission = Admission::new(config, metrics.clone());
        let flights = Flights::new(Arc::clone(&cache), metrics.clone());
        Self { admission, keys, cache, flights, dispatch, metrics }
    }

    /// Walks one request: admit, look up, join or open flights, wait, put together.
    ///
    /// Without `allow_partial` the first failure is the answer, naming the caller's own index.
    pub async fn run(&self, request: Request) -> Result<Response, Error> {
        let permit = self.admission.enter(request.size())?;
        let Request { parameters, inputs, cache_mode, allow_partial, deadline } = request;

        let mut gathering = Gathering::new(inputs.len(), cache_mode, allow_partial);
        let misses = self.look_up(&parameters, inputs, cache_mode, &mut gathering);
        if cache_mode == CacheMode::OnlyIfCached {
            gathering.refuse_misses(&misses)?;
        } else if !misses.is_empty() {
            let (landings, landed) = mpsc::unbounded_channel();
            let boarding = Boarding { mode: cache_mode, landings, cargo: permit.cargo() };
            let items = self.board(misses, boarding, &mut gathering);
            if !items.is_empty() {
                self.dispatch.submit(&parameters, items);
            }
            gathering.wait(landed, deadline).await?;
        }

        let response = gathering.finish();
        for source in Source::ALL {
            self.metrics.lookups(source.as_str(), response.count(source));
        }
        Ok(response)
    }

    /// Fills in the hits and returns the misses, each distinct input once.
    fn look_up(
        &self,
        parameters: &Parameters,
        inputs: Vec<Result<Input, Error>>,
        mode: CacheMode,
        gathering: &mut Gathering,
    ) -> Vec<Miss> {
        let prefix = self.keys.prefix(NAMESPACE, parameters);
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
                && let Some(answer) = self.cache.get(&key, now)
            {
                gathering.hit(slot, answer);
            } else if let Some(&first) = seen.get(&key) {
                misses[first].slots.push(slot);
            } else {
                seen.insert(key, misses.len());
                misses.push(Miss { key, input, slots: vec![slot] });
            }
        }
        misses
    }

    /// Gives every miss a seat in a flight; returns the items of the flights that were opened for it.
    fn board(
        &self,
        misses: Vec<Miss>,
        boarding: Boarding<'_>,
        gathering: &mut Gathering,
    ) -> Vec<Item> {
        let Boarding { mode, landings, cargo } = boarding;
        let mut items = Vec::new();
        for (number, Miss { key, input, slots }) in misses.into_iter().enumerate() {
            let seat = Seat::new(number, landings.clone(), mode.stores());
            let (flight, opened) = self.flights.board(key, mode, seat, cargo);
            gathering.expect(slots, flight, opened.is_none());
            if let Some(waiter) = opened {
                items.push(Item { input, waiter });
            }
        }
        items
    }
}

/// What all misses of a request board with. Dropping it leaves only the seats to hear from.
struct Boarding<'a> {
    mode: CacheMode,
    landings: mpsc::UnboundedSender<coalesce::Landed>,
    cargo: &'a Arc<Cargo>,
}

/// A distinct input that is not in the cache, and the positions that wait for it.
#[derive(Debug)]
struct Miss {
    key: Key,
    input: Input,
    slots: Vec<usize>,
}

#[cfg(test)]
mod tests;
