//! What a request would do now, without doing it: nothing is sent, reserved, stored or counted as a hit.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use tokio::{task::spawn_blocking, time::Instant};

use super::{CacheMode, Permit, Pipeline, Request, Source};
use crate::{
    cache::{Age, Key},
    dispatch::{Plan, Wanted},
    error::Error,
    item::Input,
    tokens::Measure,
};

/// What a request would do.
#[derive(Debug)]
pub struct Explanation {
    /// One for each input, in the order of the request.
    pub inputs: Vec<ExplainedInput>,
    /// The tokens that it would cost.
    pub tokens: u64,
    /// Whether tokens are estimated.
    pub estimated: bool,
    /// The upstream calls that it would need by itself.
    pub calls: usize,
    /// The known time until the last of them can be sent.
    pub wait: Duration,
    /// The first reason for which it would fail.
    pub refusal: Option<Error>,
}

/// What would become of one input.
#[derive(Clone, Debug)]
pub struct ExplainedInput {
    /// Where its answer would come from.
    pub source: Source,
    /// Its tokens, if it would be fetched.
    pub tokens: u64,
    /// Why it would fail alone.
    pub error: Option<Error>,
    /// How long its answer has been stored, if the caller may know.
    pub age: Option<Age>,
    /// Whether a flight for it is open, if the caller may know.
    pub in_flight: bool,
}

/// An input that would be fetched.
struct Fetched {
    slot: usize,
    input: Input,
    measure: Measure,
}

impl Fetched {
    /// Returns an input that is not measured yet.
    fn new(slot: usize, input: Input) -> Self {
        Self { slot, input, measure: Measure::default() }
    }
}

impl Pipeline {
    /// Explains a request, which counts as one of its caller.
    pub async fn explain(
        &self,
        mut request: Request,
        permit: &Permit,
    ) -> Result<Explanation, Error> {
        self.quotas.count_request(&request.caller, Instant::now())?;
        permit.enter(request.size(), request.priority)?;
        let inputs = std::mem::take(&mut request.inputs);
        let (mut explained, fetched, stored) = self.sources(inputs, &request);
        if request.caller.may_explain(self.scope) && !stored.is_empty() {
            self.show_ages(&mut explained, stored).await?;
        }
        let fetched = self.measured(fetched, &request, &mut explained).await?;
        let plan = self.plan(&fetched, &request).await;
        let refusal = self.refuse(&request, &fetched, &plan, &mut explained);
        Ok(Explanation {
            tokens: explained.iter().map(|input| input.tokens).sum(),
            estimated: !self.counter().is_exact(&request.parameters.model),
            calls: plan.calls,
            wait: plan.wait,
            refusal,
            inputs: explained,
        })
    }

    /// Measures the inputs that would be fetched; returns those that Voyage would accept.
    async fn measured(
        &self,
        fetched: Vec<Fetched>,
        request: &Request,
        explained: &mut [ExplainedInput],
    ) -> Result<Vec<Fetched>, Error> {
        let inputs: Vec<&Input> = fetched.iter().map(|fetched| &fetched.input).collect();
        let measures = self.dispatch.measure(&request.parameters, &inputs).await?;
        let mut accepted = Vec::with_capacity(fetched.len());
        for (fetched, measure) in fetched.into_iter().zip(measures) {
            let of = &mut explained[fetched.slot];
            if let Some(error) = self.dispatch.refuses(&request.parameters, &measure) {
                of.error = Some(error.at_input(fetched.slot));
                continue;
            }
            of.tokens = self.counter().guess(&request.parameters.model, &measure);
            accepted.push(Fetched { measure, ..fetched });
        }
        Ok(accepted)
    }

    async fn plan(&self, fetched: &[Fetched], request: &Request) -> Plan {
        let inputs: Vec<&Input> = fetched.iter().map(|fetched| &fetched.input).collect();
        let measures: Vec<Measure> = fetched.iter().map(|fetched| fetched.measure).collect();
        let wanted = Wanted { inputs: &inputs, measures: &measures, priority: request.priority };
        self.dispatch.plan(&request.parameters, wanted).await
    }

    /// Looks up where the answers would come from; returns the inputs that would be fetched, and the stored ones.
    fn sources(
        &self,
        inputs: Vec<Result<Input, Error>>,
        request: &Request,
    ) -> (Vec<ExplainedInput>, Vec<Fetched>, HashMap<Key, Vec<usize>>) {
        let namespace = request.caller.namespace(self.scope);
        let prefix = self.keys.prefix(&namespace, &request.parameters);
        let mode = request.cache_mode;
        let may_fetch = mode != CacheMode::OnlyIfCached;
        let knows_flights = may_fetch && request.caller.may_explain(self.scope);
        let (mut explained, mut fetched) = (Vec::with_capacity(inputs.len()), Vec::new());
        let (mut stored, mut seen): (HashMap<Key, Vec<usize>>, HashSet<Key>) = Default::default();
        for (slot, input) in inputs.into_iter().enumerate() {
            let mut of = |source| {
                let (error, age) = (None, None);
                explained.push(ExplainedInput { source, tokens: 0, error, age, in_flight: false });
            };
            let input = match input {
                Ok(input) => input,
                Err(error) => {
                    of(Source::Refused);
                    explained[slot].error = Some(error.at_input(slot));
                    continue;
                }
            };
            let key = prefix.key(&input);
            if mode.reads() && self.cache.contains(&key) {
                of(Source::Hit);
                stored.entry(key).or_default().push(slot);
            } else if knows_flights && self.flights.would_join(&key, mode) {
                of(Source::Coalesced);
                explained[slot].in_flight = true;
            } else if mode == CacheMode::Bypass {
                of(Source::Bypassed);
                if seen.insert(key) {
                    fetched.push(Fetched::new(slot, input));
                }
            } else if !may_fetch {
                of(Source::Miss);
            } else if seen.insert(key) {
                of(Source::Miss);
                fetched.push(Fetched::new(slot, input));
            } else {
                of(Source::Coalesced);
            }
        }
        (explained, fetched, stored)
    }

    /// Adds the ages of the stored answers.
    async fn show_ages(
        &self,
        explained: &mut [ExplainedInput],
        stored: HashMap<Key, Vec<usize>>,
    ) -> Result<(), Error> {
        let (cache, keys) = (Arc::clone(&self.cache), stored.keys().copied().collect());
        // One walk at a time, also of callers that have left: it uses a whole core.
        let turn = Arc::clone(&self.walks).acquire_owned().await;
        let ages = spawn_blocking(move || {
            let ages = cache.ages(&keys);
            drop(turn);
            ages
        });
        let ages = ages.await;
        let ages = ages.map_err(|_| Error::Internal { cause: "reading the cache panicked" })?;
        for (key, slots) in stored {
            for slot in slots {
                explained[slot].age = ages.get(&key).copied();
            }
        }
        Ok(())
    }

    /// Returns the first reason for which the request would fail. With `allow_partial`, the inputs would fail instead.
    fn refuse(
        &self,
        request: &Request,
        fetched: &[Fetched],
        plan: &Plan,
        explained: &mut [ExplainedInput],
    ) -> Option<Error> {
        deny_fetching(request, explained);
        self.deny_unpaid(request, fetched, explained);
        let late = || refuse_late(request, plan.wait);
        if let Some(error) = plan.refusal.clone().or_else(late) {
            for fetched in fetched {
                explained[fetched.slot].error.get_or_insert_with(|| error.clone());
            }
        }
        let first = explained.iter().find_map(|input| input.error.clone());
        first.filter(|_| !request.allow_partial)
    }

    /// Fails the inputs whose tokens a quota or budget does not allow: all of them, or each for itself.
    fn deny_unpaid(
        &self,
        request: &Request,
        fetched: &[Fetched],
        explained: &mut [ExplainedInput],
    ) {
        let now = Instant::now();
        let payer = self.quotas.payer(&request.caller, now).filter(|_| !fetched.is_empty());
        let Some(payer) = payer else { return };
        let need = |fetched: &Fetched| {
            self.dispatch.tokens_to_reserve(&request.parameters, &fetched.measure)
        };
        let all = fetched.iter().map(need).sum();
        let whole = payer.refusal(all, now).filter(|_| !request.allow_partial);
        let mut reserved = 0;
        for fetched in fetched {
            let tokens = reserved + need(fetched);
            let each = || payer.refusal(tokens, now).filter(|_| request.allow_partial);
            match whole.clone().or_else(each) {
                Some(error) => explained[fetched.slot].error = Some(error),
                None => reserved = tokens,
            }
        }
    }
}

/// Fails the misses of a request that must not fetch.
fn deny_fetching(request: &Request, explained: &mut [ExplainedInput]) {
    if request.cache_mode != CacheMode::OnlyIfCached {
        return;
    }
    let all = explained.iter().filter(|input| input.source == Source::Miss).count();
    let misses = if request.allow_partial { 1 } else { all };
    for input in explained.iter_mut().filter(|input| input.source == Source::Miss) {
        input.error = Some(Error::CacheMiss { misses });
    }
}

/// Returns the error of a wait that the request does not allow.
fn refuse_late(request: &Request, wait: Duration) -> Option<Error> {
    let until_deadline = request.deadline.saturating_duration_since(Instant::now());
    let patience = request.max_queue_wait.map_or(until_deadline, |most| most.min(until_deadline));
    (!wait.is_zero() && wait >= patience).then_some(Error::QueueTimeout { retry_after: wait })
}
