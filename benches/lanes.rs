//! The cost of many lanes: CPU of the scheduler for one more item while other lanes wait for the rate limit.
//!
//! Every query of a reranking is a lane of its own. The upstream never answers, and one call uses up the limit, so each new
//! item makes the scheduler look for a lane that can be served. The floor is the same with ten lanes. Medians of items; ends
//! with status 1 when the bar is missed. See `README.md` beside this.

#![expect(clippy::print_stdout, reason = "its purpose is its output")]

use std::{future::pending, sync::Arc, time::Duration};

use clap::Parser;
use futures_util::future::BoxFuture;
use rustix::time::{ClockId, clock_gettime};
use tokio::{task::yield_now, time::Instant};
use voyage_gateway::{
    caller::{Caller, Priority},
    dispatch::{
        Bill, BreakerConfig, Config, Demand, Dispatch, FlightOwner, Item, LimitsConfig, Parts,
        RetryConfig, SendInfo,
    },
    error::Error,
    item::{Answer, EndpointParameters, Input, Parameters, Query, RerankParameters},
    model::Catalogue,
    secret::Secret,
    telemetry::{Metrics, trace::Span},
    tokens::{self, Counter},
    upstream::{ApiKey, KeySources, Reply, Upstream},
};

/// The bar: microseconds of CPU for an item behind ten thousand lanes, more than behind ten.
const BAR: f64 = 20.0;

/// CPU of one more item behind many lanes.
#[derive(Debug, Parser)]
struct Options {
    /// Items that are measured.
    #[arg(long, default_value_t = 2_000, value_parser = clap::value_parser!(u64).range(100..))]
    items: u64,
    /// Set by `cargo bench`.
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> anyhow::Result<()> {
    let Options { items, bench: _ } = Options::parse();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let measure = |lanes| runtime.block_on(median(lanes, items));
    println!("| lanes that wait | CPU of one more, µs | more than with 10, µs | bar |");
    println!("|---|---|---|---|");
    let floor = measure(10)?;
    let mut is_met = true;
    for lanes in [10, 100, 1_000, 10_000] {
        let (taken, bar) = (measure(lanes)?, if lanes == 10_000 { "≤ 20" } else { "–" });
        println!("| {lanes} | {taken:.1} | {:.1} | {bar} |", taken - floor);
        is_met &= lanes < 10_000 || taken - floor <= BAR;
    }
    if !is_met {
        anyhow::bail!("the bar is missed");
    }
    Ok(())
}

/// Returns the median of the CPU of an item in microseconds, while so many lanes wait.
async fn median(lanes: u64, items: u64) -> anyhow::Result<f64> {
    let metrics = Metrics::off();
    let dispatch = Dispatch::start(Parts {
        catalogue: &Catalogue::built_in(),
        batch: &Config::default(),
        limits: &LimitsConfig { rpm: Some(1), tpm: Some(1_000_000), ..LimitsConfig::default() },
        retry: &RetryConfig::default(),
        breaker: &BreakerConfig::default(),
        counter: Counter::new(&tokens::Config::default())?,
        keys: &KeySources::from(Secret::new("pa-key")).load(&metrics)?,
        upstream: Arc::new(Silent),
        metrics,
    });
    for number in 0..lanes {
        submit(&dispatch, number).await;
    }
    // The first estimates of the wait.
    tokio::time::sleep(Duration::from_secs(1)).await;
    let mut taken = Vec::new();
    for number in lanes..lanes + items {
        let before = cpu();
        submit(&dispatch, number).await;
        taken.push(cpu() - before);
    }
    taken.sort_by(f64::total_cmp);
    Ok(taken[taken.len() / 2])
}

/// Submits an item of a lane of its own, and lets the scheduler look for a lane to serve.
async fn submit(dispatch: &Arc<Dispatch>, number: u64) {
    let query = Query::new(format!("query {number}"));
    let of = EndpointParameters::Pairs(RerankParameters { query, truncation: true });
    let item = Item {
        id: number,
        request: number,
        input: Input::Candidate("a document".into()),
        measure: None,
        priority: Priority::Interactive,
        caller: Caller::anonymous(),
        owner: Box::new(Patient),
    };
    dispatch.submit(&Arc::new(Parameters::new("rerank-3", of)), vec![item]);
    yield_now().await;
    yield_now().await;
}

/// Returns the CPU time of this thread in microseconds.
#[expect(clippy::cast_precision_loss, reason = "nothing depends on the last digits")]
fn cpu() -> f64 {
    let now = clock_gettime(ClockId::ThreadCPUTime);
    now.tv_sec as f64 * 1e6 + now.tv_nsec as f64 / 1e3
}

/// Never answers.
struct Silent;

impl Upstream for Silent {
    fn call<'a>(
        &'a self,
        _: &'a ApiKey,
        _: &'a Parameters,
        _: &'a [&'a Input],
        _: &'a mut Span,
    ) -> BoxFuture<'a, Result<Reply, Error>> {
        Box::pin(pending())
    }
}

/// Waits for an hour.
#[derive(Debug)]
struct Patient;

impl FlightOwner for Patient {
    fn demand(&self) -> Option<Demand> {
        let until = Instant::now() + Duration::from_hours(1);
        let priority = Priority::Interactive;
        Some(Demand { until, priority, least_patience: until, most_patience: until })
    }

    fn send(&self, _: &Arc<SendInfo>) -> bool {
        true
    }

    fn requeue(&self) {}

    fn reject_late(&self, _: Instant, _: &Error) {}

    fn cancel(self: Box<Self>, _: u64) {}

    fn complete(self: Box<Self>, _: Result<Answer, Error>, _: Bill) {}
}
