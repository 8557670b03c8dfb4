//! How telemetry leaves the process: traces and metrics over OTLP, or onto the console.
//!
//! Nothing here is waited for by a request. Spans that cannot leave are dropped and counted; a collector that is dead,
//! slow or silent costs only them. What is sent makes no spans of its own, and so feeds no loop.

mod console;
mod limits;
mod otlp;
mod outage;
mod plan;
mod points;
mod spans;
mod stage;
mod tally;

use std::{fmt, io, path::PathBuf, sync::Arc, thread, time::Duration};

use opentelemetry_sdk::{metrics::PeriodicReader, trace::SpanProcessor};
use tokio::{
    runtime::{self, Runtime},
    sync::{oneshot, watch},
    time::timeout,
};

pub use limits::Limits;
pub use points::Points;

use super::{
    Metrics, MetricsError, OtelEnvironment, Telemetry, TelemetryConfig,
    resource::resource,
    trace::{Propagation, Sampling, Tracer},
};
use console::Console;
use otlp::Collector;
use outage::Outage;
use plan::{Plan, Signal};
use spans::{Counted, Spans};
use stage::Stage;
use tally::Tally;

/// Spans that may wait to be exported, unless there is a variable for it.
pub(super) const QUEUE: usize = 2048;

/// How long what is buffered has to get out at the end, and how long the exporters then have to let go of the rest.
const LAST_EXPORT: (Duration, Duration) = (Duration::from_millis(2500), Duration::from_millis(500));

/// Why telemetry cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// A file of the configuration cannot be used.
    #[error("{setting} {path}: {problem}", path = path.display())]
    File {
        /// The setting that names it.
        setting: &'static str,
        /// The file.
        path: PathBuf,
        /// What is wrong with it; never its content.
        problem: String,
    },
    /// No URL can be made of the endpoint.
    #[error("telemetry.otlp_endpoint, or its OTEL_ variable, is no URL for OTLP")]
    Endpoint,
    /// The collector's certificates or address cannot be used.
    #[error("the OTLP exporter: {0}")]
    Collector(String),
    /// The system gives no thread.
    #[error("the OTLP exporter's thread: {0}")]
    Thread(#[from] io::Error),
    /// The metrics cannot be set up.
    #[error(transparent)]
    Metrics(#[from] MetricsError),
}

/// What leaves the process, set up.
#[derive(Debug)]
pub struct Exported {
    /// Where spans are written when they end: the tracer's sink. `None`: they go nowhere, and none need be made.
    pub spans: Option<Arc<dyn SpanProcessor>>,
    /// Which traces are recorded.
    pub sampler: Sampling,
    /// Whether callers' `traceparent` is heeded.
    pub propagates: bool,
    /// The gateway's metrics, which also leave by themselves where that is asked for.
    pub metrics: Metrics,
    /// What is to be finished when the process ends.
    pub flush: Flush,
}

/// Sets up what `config` and the `OTEL_` variables ask for. Connects to nothing yet; call it where there is a log.
pub fn start(
    config: &TelemetryConfig,
    environment: &OtelEnvironment,
) -> Result<Exported, ExportError> {
    environment.warn();
    let plan = Plan::new(config, environment)?;
    let resource = resource(environment.resource());
    let (stage, _) = watch::channel(Stage::Running);
    let mut flush =
        Flush { stage, runtime: None, spans: None, metrics: None, tally: Arc::default() };
    let spans = if plan.traces.is_on() {
        let exporter = Spans {
            console: plan.traces.console.then(Console::new),
            collector: flush.collector("traces", &plan.traces)?,
            tally: Arc::clone(&flush.tally),
            outage: Outage::new("traces"),
            resource: (&resource).into(),
        };
        let spans: Arc<dyn SpanProcessor> = Arc::new(Counted::new(&plan, &resource, exporter));
        flush.spans = Some(Arc::clone(&spans));
        Some(spans)
    } else {
        None
    };
    let reader = if plan.metrics.is_on() {
        let exporter = Points {
            console: plan.metrics.console,
            collector: flush.collector("metrics", &plan.metrics)?,
            outage: Outage::new("metrics"),
            temporality: environment.temporality.unwrap_or_default(),
        };
        Some(PeriodicReader::builder(exporter).with_interval(plan.interval).build())
    } else {
        None
    };
    let is_pushed = reader.is_some();
    let metrics = Metrics::with(|provider| {
        let provider = provider.with_resource(resource);
        match reader {
            Some(reader) => provider.with_reader(reader),
            None => provider,
        }
    })?;
    let tally = Arc::clone(&flush.tally);
    metrics.watch_spans(move || tally.counts());
    flush.metrics = is_pushed.then(|| metrics.clone());
    Ok(Exported { spans, sampler: plan.sampler, propagates: plan.propagates, metrics, flush })
}

impl Exported {
    /// Returns what RPCs are told with.
    pub fn telemetry(&self) -> Telemetry {
        let tracer = match &self.spans {
            Some(spans) => Tracer::new(self.sampler, Arc::clone(spans)),
            None => Tracer::off(),
        };
        let propagation =
            if self.propagates { Propagation::TraceContext } else { Propagation::None };
        Telemetry { metrics: self.metrics.clone(), tracer: tracer.reading(propagation) }
    }
}

/// Gets out what is buffered before the process ends. Dropped, it lets go of it.
pub struct Flush {
    stage: watch::Sender<Stage>,
    /// The exporters' own: they must not wait for requests, nor requests for them.
    runtime: Option<Runtime>,
    spans: Option<Arc<dyn SpanProcessor>>,
    /// `Some` if they leave by themselves.
    metrics: Option<Metrics>,
    tally: Arc<Tally>,
}

impl Flush {
    /// Gets a collector ready, if the signal has one.
    fn collector(
        &mut self,
        name: &'static str,
        signal: &Signal,
    ) -> Result<Option<Collector>, ExportError> {
        let Some(target) = &signal.otlp else { return Ok(None) };
        let runtime = match self.runtime.take() {
            Some(runtime) => runtime,
            None => runtime::Builder::new_multi_thread()
                .worker_threads(1)
                .thread_name("otlp-export")
                .enable_all()
                .build()?,
        };
        let handle = runtime.handle().clone();
        self.runtime = Some(runtime);
        let host = target.uri.authority().map_or("", http::uri::Authority::as_str);
        tracing::info!(
            signal = name,
            protocol = target.protocol.as_str(),
            host,
            "telemetry is exported"
        );
        let collector = Collector::new(target, handle, self.stage.subscribe());
        collector.map(Some).map_err(ExportError::Collector)
    }

    /// Exports what is buffered, for at most 3 s or until `hurry`, whatever the collector does. Returns how many spans
    /// were not exported since the start.
    pub async fn finish(self, hurry: impl Future<Output = ()>) -> u64 {
        self.finish_within(LAST_EXPORT.0, hurry).await
    }

    /// As [`Flush::finish`], with a limit of its own.
    pub async fn finish_within(mut self, limit: Duration, hurry: impl Future<Output = ()>) -> u64 {
        self.stage.send_replace(Stage::Ending);
        let spans = self.spans.take().map(|spans| {
            apart("flush-traces", move || {
                // Its own limit is the last resort.
                let _ = spans.shutdown_with_timeout(limit * 2);
            })
        });
        let metrics =
            self.metrics.take().map(|metrics| apart("flush-metrics", move || metrics.flush()));
        let mut both = std::pin::pin!(async {
            for flushed in [spans, metrics].into_iter().flatten() {
                // It fails when the thread could not be had, and then there is nothing to wait for.
                let _ = flushed.await;
            }
        });
        let is_over = tokio::select! {
            biased;
            () = both.as_mut() => true,
            () = hurry => false,
            () = tokio::time::sleep(limit) => false,
        };
        self.stage.send_replace(Stage::Cut);
        if !is_over {
            // What hung ends at once now, and is counted.
            let _ = timeout(LAST_EXPORT.1, both).await;
        }
        let left = self.tally.abandon();
        let lost: u64 = self.tally.counts()[2..].iter().map(|(_, spans)| spans).sum();
        if lost > 0 {
            tracing::warn!(lost, left, "spans were not exported");
        }
        lost
    }
}

impl Drop for Flush {
    fn drop(&mut self) {
        self.stage.send_replace(Stage::Cut);
        if let Some(runtime) = self.runtime.take() {
            // Waiting for it is forbidden where there may be another runtime around.
            runtime.shutdown_background();
        }
    }
}

impl fmt::Debug for Flush {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Flush").finish_non_exhaustive()
    }
}

/// Does blocking work on a thread of its own, and tells its end.
fn apart(name: &str, work: impl FnOnce() + Send + 'static) -> oneshot::Receiver<()> {
    let (done, ended) = oneshot::channel();
    let thread = thread::Builder::new().name(name.to_owned()).spawn(move || {
        work();
        let _ = done.send(());
    });
    // Without it `ended` fails at once.
    drop(thread);
    ended
}

#[cfg(test)]
mod tests;
