//! The corridor from admission to answer, on a paused clock, before an upstream within the test.

mod deadlines;
mod fake;
mod flights;
mod merge;
mod models;
mod modes;
mod panics;
mod quotas;

use std::sync::{Arc, LazyLock};

use tokio::time::{Duration, Instant};

use super::{CacheMode, LimitsConfig, Parts, Pipeline, Request, Response, Source};
use crate::{
    cache::{self, Cache, KeyDeriver},
    caller::{Caller, Priority, Scope},
    dispatch::{self, Dispatch},
    error::Error,
    item::{Answer, CallGroup, Input, Parameters, TextParameters},
    secret::Secret,
    telemetry::{Metrics, trace::TraceContext},
    tokens::{self, Counter},
    upstream::{KeySources, Upstream},
};
use fake::Fake;

/// Long enough for everything that is not about deadlines.
const MINUTE: Duration = Duration::from_mins(1);

fn parameters() -> Arc<Parameters> {
    Arc::new(Parameters::texts("voyage-4", TextParameters::default()))
}

fn request(texts: &[&str]) -> Request {
    Request {
        parameters: parameters(),
        inputs: texts.iter().map(|text| Ok(Input::Text((*text).to_owned()))).collect(),
        cache_mode: CacheMode::ReadWrite,
        allow_partial: false,
        deadline: Instant::now() + MINUTE,
        max_queue_wait: None,
        priority: Priority::Interactive,
        caller: Caller::anonymous(),
        reply_bytes: 0,
    }
}

impl Pipeline {
    /// Answers a request that has no trace, with a permit of its own.
    pub(crate) async fn answer(&self, request: Request) -> Result<Response, Error> {
        self.run(request, &TraceContext::none(), &self.admission.permit()).await
    }
}

fn in_mode(cache_mode: CacheMode, texts: &[&str]) -> Request {
    Request { cache_mode, ..request(texts) }
}

/// A pipeline before `fake`, with batches of at most `max_inputs` and `max_in_flight` calls at once.
fn pipeline_with(fake: &Arc<Fake>, max_inputs: u32, max_in_flight: u32) -> Arc<Pipeline> {
    let batch = dispatch::Config { max_inputs, max_in_flight, ..dispatch::Config::default() };
    build(fake, &super::Config::default(), &batch)
}

fn build(fake: &Arc<Fake>, admission: &super::Config, batch: &dispatch::Config) -> Arc<Pipeline> {
    let metrics = Metrics::new().unwrap();
    Arc::new(Pipeline::new(parts(fake, admission, batch, metrics)))
}

static DEFAULT_LIMITS: LazyLock<LimitsConfig> = LazyLock::new(LimitsConfig::default);

fn parts<'a>(
    fake: &Arc<Fake>,
    admission: &'a super::Config,
    batch: &dispatch::Config,
    metrics: Metrics,
) -> Parts<'a> {
    let counter = Counter::new(&tokens::Config::default()).unwrap();
    let dispatch = start(fake, batch, counter, metrics.clone());
    Parts {
        admission,
        limits: &DEFAULT_LIMITS,
        scope: Scope::Shared,
        keys: KeyDeriver::random(),
        cache: Arc::new(Cache::new(&cache::Config::default(), &Metrics::off())),
        dispatch,
        metrics,
    }
}

fn start(
    fake: &Arc<Fake>,
    batch: &dispatch::Config,
    counter: Counter,
    metrics: Metrics,
) -> Arc<Dispatch> {
    Dispatch::start(dispatch::Parts {
        catalogue: &crate::model::Catalogue::built_in(),
        batch,
        limits: &dispatch::LimitsConfig::default(),
        // The fake's failures are the answer: repeats are the dispatch's own tests' matter.
        retry: &dispatch::RetryConfig { max_attempts: 1 },
        breaker: &dispatch::BreakerConfig::default(),
        counter,
        keys: &KeySources::from(Secret::new("pa-key")).load(&metrics).unwrap(),
        upstream: Arc::clone(fake) as Arc<dyn Upstream>,
        metrics,
    })
}

fn pipeline(fake: &Arc<Fake>) -> Arc<Pipeline> {
    pipeline_with(fake, 1000, 8)
}

/// Starts a request beside the test and lets it run until it waits.
async fn started(
    pipeline: &Arc<Pipeline>,
    request: Request,
) -> tokio::task::JoinHandle<Result<Response, Error>> {
    let pipeline = Arc::clone(pipeline);
    let task = tokio::spawn(async move { pipeline.answer(request).await });
    settled().await;
    task
}

/// Lets every task run until it waits for time to pass: the clock stands still meanwhile.
async fn settled() {
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
}

fn sources(response: &Response) -> Vec<Source> {
    response.items.iter().map(|outcome| outcome.source).collect()
}

fn answer(response: &Response, slot: usize) -> &Answer {
    response.items[slot].result.as_ref().unwrap()
}
