//! Batches items into upstream calls. A call that was sent completes and is cached even if its callers leave.
//!
//! [`Dispatch::submit`] takes items; each carries the [`FlightOwner`] that receives its result ([`pending`]).
//! [`schedule`] queues items in lanes, in a fair order, and sends a [`batch`] when the [`breaker`] is closed, a key
//! ([`pool`]) has budget ([`limit`]) and a call is free. [`call`] makes one upstream call, [`isolate`] splits a
//! rejected batch and apportions costs, and [`retry`] repeats failed calls.

mod batch;
mod breaker;
mod call;
mod config;
mod isolate;
mod limit;
mod pending;
mod pending_limit;
mod pool;
mod retry;
mod schedule;
mod send_info;
mod spans;

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{
    sync::{mpsc, oneshot},
    time::Instant,
};

pub use breaker::Config as BreakerConfig;
pub use config::{Config, RetryConfig};
pub use limit::{Config as LimitsConfig, ModelLimits};
pub use pending::{Bill, CallStats, Demand, FlightOwner, Item, ReplyMetadata};
pub use send_info::SendInfo;

use crate::{
    caller::Priority,
    error::Error,
    item::{Input, Media, Parameters, Size, Usage},
    model::Catalogue,
    sync,
    telemetry::{BreakerState, DispatchState, Metrics, RateWindow},
    tokens::{Counter, Measure},
    upstream::{ApiKeys, Upstream},
};
use pending::Queued;
use pending_limit::PendingLimit;
use schedule::{Command, Planned, Scheduler};

/// Larger inputs are tokenized on a blocking thread: a tokenizer takes about 0.1 µs per byte.
const MAX_BYTES_COUNTED_HERE: usize = 64 * 1024;

/// The configuration and dependencies of the dispatch.
#[expect(missing_debug_implementations, reason = "an upstream need not have one")]
pub struct Parts<'a> {
    /// The models.
    pub catalogue: &'a Catalogue,
    /// `[batch]`.
    pub batch: &'a Config,
    /// `[limits]`.
    pub limits: &'a LimitsConfig,
    /// `[retry]`.
    pub retry: &'a RetryConfig,
    /// `[breaker]`.
    pub breaker: &'a BreakerConfig,
    /// Counts and estimates tokens.
    pub counter: Counter,
    /// API keys for the calls.
    pub keys: &'a ApiKeys,
    /// Receives the batches.
    pub upstream: Arc<dyn Upstream>,
    /// Receives the metrics.
    pub metrics: Metrics,
}

/// Sends items upstream in batches.
#[derive(Debug)]
pub struct Dispatch {
    commands: mpsc::UnboundedSender<Command>,
    shared: Arc<Shared>,
}

/// Inputs to plan for.
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'a> {
    /// The inputs.
    pub inputs: &'a [&'a Input],
    /// Their measures.
    pub measures: &'a [Measure],
    /// The priority of their request.
    pub priority: Priority,
}

/// The calls that a request would need.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The number of calls, if no other request shares them.
    pub calls: usize,
    /// The known time until the last of them can be sent.
    pub wait: Duration,
    /// The error of all inputs while nothing can be sent.
    pub refusal: Option<Error>,
}

/// State shared by the scheduler and the calls.
struct Shared {
    upstream: Arc<dyn Upstream>,
    counter: Counter,
    pool: Arc<pool::Pool>,
    limiter: Arc<limit::Limiter>,
    breaker: Arc<breaker::Breaker>,
    retries: retry::RetryBudget,
    max_attempts: u32,
    pending: Arc<PendingLimit>,
    /// Calls in flight.
    calls: AtomicUsize,
    max_calls: u32,
    metrics: Metrics,
}

impl Dispatch {
    /// Starts the scheduler on the current runtime. It ends when the dispatch is dropped and all items are completed.
    pub fn start(parts: Parts<'_>) -> Arc<Self> {
        let pool = pool::Pool::new(parts.keys);
        let shared = Arc::new(Shared {
            upstream: parts.upstream,
            counter: parts.counter,
            limiter: limit::Limiter::new(parts.limits, parts.catalogue, Arc::clone(&pool)),
            breaker: breaker::Breaker::new(parts.breaker),
            retries: retry::RetryBudget::new(Instant::now()),
            max_attempts: parts.retry.max_attempts,
            pending: Arc::new(PendingLimit::new(parts.batch)),
            calls: AtomicUsize::new(0),
            max_calls: parts.batch.max_in_flight,
            metrics: parts.metrics,
            pool,
        });
        // Weak: the shared state holds the metrics.
        let watched = Arc::downgrade(&shared);
        shared.metrics.watch_dispatch(move || {
            watched.upgrade().map(|shared| shared as Arc<dyn DispatchState>)
        });
        let (commands, received) = mpsc::unbounded_channel();
        let scheduler = Scheduler::new(parts.batch, Arc::clone(&shared));
        tokio::spawn(scheduler.run(received));
        Arc::new(Self { commands, shared })
    }

    /// Returns the counter of tokens, which learns from the usage of calls.
    pub fn counter(&self) -> &Counter {
        &self.shared.counter
    }

    /// Counts or estimates the tokens of each input.
    pub async fn measure(
        &self,
        parameters: &Arc<Parameters>,
        inputs: &[&Input],
    ) -> Result<Vec<Measure>, Error> {
        if !self.needs_blocking(parameters, inputs.iter().copied()) {
            let measure = self.shared.measuring(parameters);
            return Ok(inputs.iter().map(|input| measure(input)).collect());
        }
        let (shared, parameters) = (Arc::clone(&self.shared), Arc::clone(parameters));
        let inputs: Vec<Input> = inputs.iter().map(|&input| input.clone()).collect();
        let count = move || inputs.iter().map(shared.measuring(&parameters)).collect();
        let counted = tokio::task::spawn_blocking(count).await;
        counted.map_err(|_| Error::Internal { cause: "counting tokens panicked" })
    }

    /// Returns the most tokens an input can cost: at most the model's context if truncation is allowed.
    pub fn tokens_to_reserve(&self, parameters: &Parameters, measure: &Measure) -> u64 {
        self.shared.tokens_to_reserve(parameters, measure)
    }

    /// Takes ownership of items: they complete even if the caller leaves.
    ///
    /// Items over the pending limit fail at once with [`Error::Overloaded`]; all items fail at once with
    /// [`Error::CircuitOpen`] while the circuit breaker is open, or [`Error::Upstream`] while every key is rejected.
    pub fn submit(self: &Arc<Self>, parameters: &Arc<Parameters>, items: Vec<Item>) {
        if let Some(refusal) = self.shared.refusal(parameters, Instant::now()) {
            for item in items {
                item.owner.complete(Err(refusal.clone()), Bill::default());
            }
            return;
        }
        let unmeasured = items.iter().filter(|item| item.measure.is_none());
        if self.needs_blocking(parameters, unmeasured.map(|item| &item.input)) {
            let (dispatch, parameters) = (Arc::clone(self), Arc::clone(parameters));
            tokio::task::spawn_blocking(move || dispatch.queue(&parameters, items));
        } else {
            self.queue(parameters, items);
        }
    }

    /// Returns the calls that a request of these inputs would need by itself, and when they could be sent. Nothing is sent.
    pub async fn plan(&self, parameters: &Arc<Parameters>, wanted: Wanted<'_>) -> Plan {
        let refusal = self.shared.refusal(parameters, Instant::now());
        let sizes = wanted.inputs.iter().zip(wanted.measures);
        let sizes =
            sizes.map(|(input, measure)| self.shared.size(parameters, input, measure)).collect();
        let (parameters, priority) = (Arc::clone(parameters), wanted.priority);
        let (reply, planned) = oneshot::channel();
        let _ = self.commands.send(Command::Plan { parameters, sizes, priority, reply });
        let Planned { calls, wait } = planned.await.unwrap_or_default();
        Plan { calls, wait, refusal }
    }

    /// Returns the error of an input that Voyage would refuse.
    pub fn refuses(&self, parameters: &Parameters, measure: &Measure) -> Option<Error> {
        too_long(parameters, measure)
    }

    /// Waits until the scheduler has ended, which happens only if it panics. Nothing is sent after that.
    pub async fn ended(&self) {
        self.commands.closed().await;
    }

    /// Returns whether counting these inputs' tokens needs a blocking thread.
    fn needs_blocking<'a>(
        &self,
        parameters: &Parameters,
        inputs: impl Iterator<Item = &'a Input>,
    ) -> bool {
        self.shared.counter.is_exact(&parameters.model)
            && inputs.flat_map(Input::texts).map(str::len).sum::<usize>() > MAX_BYTES_COUNTED_HERE
    }

    /// Counts the items' tokens and sends them to the scheduler.
    fn queue(&self, parameters: &Arc<Parameters>, items: Vec<Item>) {
        let at = Instant::now();
        let shared = &self.shared;
        let measuring = shared.measuring(parameters);
        let mut accepted = Vec::with_capacity(items.len());
        // The text that the items share is in memory once: it counts with the first.
        let mut shared_bytes = parameters.shared_text().map_or(0, str::len);
        for item in items {
            let bytes = item.input.footprint() + std::mem::take(&mut shared_bytes);
            let Some(permit) = shared.pending.enter(bytes) else {
                shared.metrics.shed();
                let full = Error::Overloaded { what: "inputs waiting for Voyage" };
                item.owner.complete(Err(full), Bill::default());
                continue;
            };
            let measure = item.measure.unwrap_or_else(|| measuring(&item.input));
            if let Some(error) = too_long(parameters, &measure) {
                item.owner.complete(Err(error), Bill::default());
                continue;
            }
            accepted.push(Queued {
                size: shared.size(parameters, &item.input, &measure),
                item,
                measure,
                expected: shared.counter.guess(&parameters.model, &measure),
                at,
                wasted: 0,
                _permit: permit,
            });
        }
        let parameters = Arc::clone(parameters);
        // Only a panic ends the scheduler before the dispatch; the items are dropped then, and report it.
        let _ = self.commands.send(Command::Submit { parameters, items: accepted });
    }

    /// Reports a new waiter for an item that may be queued.
    ///
    /// An interactive waiter raises the item's priority; waiters whose deadline is before the known wait are rejected.
    /// If the item is not queued yet, the scheduler sees the waiter when the item arrives.
    pub fn joined(&self, parameters: &Arc<Parameters>, id: u64, priority: Priority) {
        let parameters = Arc::clone(parameters);
        let _ = self.commands.send(Command::Joined { parameters, id, priority });
    }
}

impl Shared {
    /// Returns a function that measures inputs of these parameters; the text they share is measured once.
    fn measuring<'a>(&'a self, parameters: &'a Parameters) -> impl Fn(&Input) -> Measure + 'a {
        let shared = self.counter.measure(&parameters.model, parameters.shared_text());
        move |input| {
            let own = self.counter.measure(&parameters.model, input.texts());
            (own + shared).with_media(&input.media())
        }
    }

    /// Returns the most likely usage of an item.
    fn guess(&self, parameters: &Parameters, queued: &Queued) -> Usage {
        let Media { image_pixels, video_pixels, .. } = queued.item.input.media();
        Usage {
            tokens: self.counter.guess(&parameters.model, &queued.measure),
            text_tokens: self.counter.guess_texts(&parameters.model, &queued.measure),
            image_pixels,
            video_pixels,
        }
    }

    /// Returns the error for all items while nothing can be sent.
    fn refusal(&self, parameters: &Parameters, now: Instant) -> Option<Error> {
        self.breaker.check(now).err().or_else(|| self.pool.refusal(parameters, now))
    }

    fn size(&self, parameters: &Parameters, input: &Input, measure: &Measure) -> Size {
        Size {
            inputs: 1,
            chunks: input.chunks() as u64,
            tokens: self.tokens_to_reserve(parameters, measure),
            bytes: input.bytes() as u64,
        }
    }

    fn tokens_to_reserve(&self, parameters: &Parameters, measure: &Measure) -> u64 {
        let bound = self.counter.bound(&parameters.model, measure);
        parameters.max_input_tokens().map_or(bound, |most| bound.min(most))
    }
}

/// Returns the error of an input that Voyage would refuse. An estimate refuses nothing.
fn too_long(parameters: &Parameters, measure: &Measure) -> Option<Error> {
    let limit = parameters.refuses_beyond()?;
    let tokens = measure.exact_tokens().filter(|tokens| *tokens > limit)?;
    Some(Error::InputTooLong { endpoint: parameters.endpoint(), index: 0, tokens, limit })
}

/// Returns whether Voyage truncates an input. An estimate says nothing.
fn is_truncated(parameters: &Parameters, measure: &Measure) -> bool {
    let context = parameters.max_input_tokens();
    context.is_some_and(|most| measure.exact_tokens().is_some_and(|tokens| tokens > most))
}

impl DispatchState for Shared {
    fn batches(&self) -> (u64, u64) {
        (self.calls.load(Ordering::Relaxed) as u64, self.max_calls.into())
    }

    fn queue(&self) -> (u64, u64) {
        let (inputs, bytes) = (&self.pending.inputs, &self.pending.bytes);
        (inputs.load(Ordering::Relaxed) as u64, bytes.load(Ordering::Relaxed) as u64)
    }

    fn rate_windows(&self) -> Vec<RateWindow> {
        self.limiter.windows(Instant::now())
    }

    fn retry_balance(&self) -> f64 {
        self.retries.balance(Instant::now())
    }

    fn breaker(&self) -> BreakerState {
        self.breaker.state(Instant::now())
    }

    fn is_free_tier(&self) -> bool {
        self.limiter.is_free_tier()
    }

    fn rejected_keys(&self) -> Vec<(Arc<str>, bool)> {
        self.pool.set_aside()
    }
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Shared")
    }
}

#[cfg(test)]
mod tests;
