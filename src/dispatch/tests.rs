//! The dispatch on a paused clock, before an upstream within the test; callers come through the pipeline.

mod breaker;
mod clock;
mod completion;
mod ends;
mod fairness;
mod fake;
mod gathering;
mod isolation;
mod keys;
mod lanes;
mod models;
mod panics;
mod properties;
mod retries;
mod saturation;
mod waiting;

use std::{
    sync::{Arc, Weak},
    time::Duration,
};

use tokio::{task::JoinHandle, time::Instant};

use super::*;
use crate::{
    cache::{self, Cache, KeyDeriver},
    caller::{Caller, Rule, Scope},
    error::{Fault, Phase},
    item::{Answer, InputType, TextParameters},
    model::{Catalogue, Dtype},
    pipeline::{self, CacheMode, Pipeline, Request, Response},
    secret::Secret,
    telemetry::trace::TraceContext,
    tokens,
    units::TimeSpan,
    upstream::{KeyLimits, KeySources},
};
use fake::{Fake, vector_of};

const MODEL: &str = "voyage-4-large";
const MINUTE: Duration = Duration::from_mins(1);
const HOUR: Duration = Duration::from_hours(1);

const fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

const fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// The dispatch's settings; without effective limits unless a test sets them.
struct Settings {
    batch: Config,
    limits: LimitsConfig,
    retry: RetryConfig,
    breaker: BreakerConfig,
    keys: KeySources,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            batch: Config::default(),
            limits: limits(1_000_000, 1_000_000_000),
            retry: RetryConfig::default(),
            // Failures are the retries' tests' matter; the breaker has its own.
            breaker: BreakerConfig { min_calls: u32::MAX, ..BreakerConfig::default() },
            keys: KeySources::from(Secret::new("pa-key")),
        }
    }
}

fn limits(rpm: u32, tpm: u64) -> LimitsConfig {
    LimitsConfig { rpm: Some(rpm), tpm: Some(tpm), ..LimitsConfig::default() }
}

fn batches(max_inputs: u32, max_in_flight: u32) -> Config {
    Config { max_inputs, max_in_flight, ..Config::default() }
}

/// A gateway without its door to the outside.
#[derive(Clone)]
struct Stage {
    fake: Arc<Fake>,
    dispatch: Arc<Dispatch>,
    pipeline: Arc<Pipeline>,
    metrics: Metrics,
}

impl Stage {
    fn new(fake: Fake, settings: &Settings) -> Self {
        let (fake, metrics) = (Arc::new(fake), Metrics::new().unwrap());
        let dispatch = Dispatch::start(Parts {
            catalogue: &Catalogue::built_in(),
            batch: &settings.batch,
            limits: &settings.limits,
            retry: &settings.retry,
            breaker: &settings.breaker,
            counter: Counter::new(&tokens::Config::default()).unwrap(),
            keys: &settings.keys.load(&metrics).unwrap(),
            upstream: Arc::clone(&fake) as Arc<dyn Upstream>,
            metrics: metrics.clone(),
        });
        let admission = pipeline::Config { max_in_flight: u32::MAX, ..pipeline::Config::default() };
        let cache = Arc::new(Cache::new(&cache::Config::default(), &Metrics::off()));
        let pipeline = Arc::new(Pipeline::new(pipeline::Parts {
            admission: &admission,
            limits: &LimitsConfig::default(),
            scope: Scope::Shared,
            keys: KeyDeriver::random(),
            cache,
            dispatch: Arc::clone(&dispatch),
            metrics: metrics.clone(),
        }));
        Self { fake, dispatch, pipeline, metrics }
    }

    /// Starts a request beside the test and lets it run until it waits.
    async fn start(&self, request: Request) -> JoinHandle<Result<Response, Error>> {
        let task = self.spawn(request);
        settled().await;
        task
    }

    fn spawn(&self, request: Request) -> JoinHandle<Result<Response, Error>> {
        let pipeline = Arc::clone(&self.pipeline);
        tokio::spawn(async move { pipeline.answer(request).await })
    }

    async fn run(&self, request: Request) -> Result<Response, Error> {
        self.pipeline.answer(request).await
    }

    async fn run_traced(&self, request: Request, trace: &TraceContext) -> Result<Response, Error> {
        let permit = self.pipeline.admission().permit();
        self.pipeline.run(request, trace, &permit).await
    }

    /// Returns the requests and tokens of the last minute.
    fn used(&self) -> (u64, u64) {
        self.dispatch.shared.limiter.used(MODEL, Instant::now())
    }

    /// Returns how many inputs and bytes the dispatch holds.
    fn held(&self) -> (usize, usize) {
        let pending = &self.dispatch.shared.pending;
        (pending.inputs.load(Ordering::Relaxed), pending.bytes.load(Ordering::Relaxed))
    }

    /// Asserts that nothing is pending, reserved or queued a minute after all calls have ended.
    async fn assert_idle(&self, parameters: &Arc<Parameters>) {
        settled().await;
        assert_eq!(self.held(), (0, 0), "a place leaked");
        assert_eq!(Arc::strong_count(parameters), 1, "a lane was left");
        tokio::time::sleep(MINUTE).await;
        assert_eq!(self.used(), (0, 0), "a reservation leaked");
    }

    /// Drops the stage; returns the state that only the scheduler can still hold.
    fn close(self) -> Weak<Shared> {
        Arc::downgrade(&self.dispatch.shared)
    }
}

fn parameters() -> Arc<Parameters> {
    Arc::new(Parameters::texts(MODEL, TextParameters::default()))
}

fn documents() -> Arc<Parameters> {
    Arc::new(parameters().changed(|of| of.vector.input_type = Some(InputType::Document)))
}

/// An interactive request with an hour's patience.
fn request<T: AsRef<str>>(texts: &[T]) -> Request {
    Request {
        parameters: parameters(),
        inputs: texts.iter().map(|text| Ok(Input::Text(text.as_ref().to_owned()))).collect(),
        cache_mode: CacheMode::ReadWrite,
        allow_partial: false,
        deadline: Instant::now() + HOUR,
        max_queue_wait: None,
        priority: Priority::Interactive,
        caller: Caller::anonymous(),
        reply_bytes: 0,
    }
}

/// A request of a caller in no hurry.
fn bulk<T: AsRef<str>>(texts: &[T], caller: &str) -> Request {
    Request { priority: Priority::Batch, caller: named(caller, 1), ..request(texts) }
}

/// A request that must have its answer in `time`.
fn within<T: AsRef<str>>(texts: &[T], time: Duration) -> Request {
    Request { deadline: Instant::now() + time, ..request(texts) }
}

fn named(name: &str, weight: u32) -> Caller {
    let rule = Rule { weight: Some(weight), ..Rule::default() };
    Caller { rule: Arc::new(rule), ..Caller::unruled(name) }
}

fn numbered(name: &str, count: usize) -> Vec<String> {
    (0..count).map(|number| format!("{name} {number}")).collect()
}

/// Lets every task run until it waits for time to pass: the clock stands still meanwhile.
async fn settled() {
    for _ in 0..200 {
        tokio::task::yield_now().await;
    }
}

/// Runs a property's case in simulated time.
fn on_a_paused_clock<T>(case: impl Future<Output = T>) -> T {
    let builder = &mut tokio::runtime::Builder::new_current_thread();
    builder.enable_time().start_paused(true).build().unwrap().block_on(case)
}
