//! Export of traces and metrics: over OTLP, or to standard output.
//!
//! No request waits for an export. Spans that cannot be exported are dropped and counted; a collector that is
//! down, slow or hung costs nothing else. Exports make no spans.

mod collector;
mod config;
mod console;
mod environment;
mod metrics;
mod span_counts;
mod spans;
mod target;

use std::{io, path::PathBuf, sync::Arc, thread, time::Duration};

use opentelemetry_sdk::{metrics::PeriodicReader, trace::SdkTracerProvider};
use tokio::{sync::oneshot, time::timeout};
use tokio_util::sync::CancellationToken;

pub use environment::{InvalidVariable, OtelEnvironment};

use super::{
    Metrics, MetricsError, Telemetry, TelemetryConfig,
    resource::resource,
    trace::{self, Tracer},
};
use collector::{Collector, ExportRuntime, Outage};
use config::{ExportConfig, SignalConfig};
use metrics::MetricExporter;
use span_counts::SpanCounts;
use spans::{CountingProcessor, SpanExporter};
use target::Target;

/// How long the last exports may take at the process's end.
const LAST_EXPORT: Duration = Duration::from_millis(2500);

/// How long the exporters may then take to stop.
const LAST_STOP: Duration = Duration::from_millis(500);

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
        /// The problem, without the content.
        problem: String,
    },
    /// The endpoint is not a URL.
    #[error("telemetry.otlp_endpoint, or its OTEL_ variable: expected a URL")]
    Endpoint,
    /// A header has two sources.
    #[error(
        "the header {name} is set in telemetry.otlp_headers_file and in OTEL_EXPORTER_OTLP_HEADERS: remove one of them"
    )]
    Header {
        /// Its name.
        name: String,
    },
    /// The collector's certificates or address cannot be used.
    #[error("the OTLP exporter: {0}")]
    Collector(String),
    /// The system provides no thread.
    #[error("the OTLP exporter's thread: {0}")]
    Thread(#[from] io::Error),
    /// The metrics cannot be set up.
    #[error(transparent)]
    Metrics(#[from] MetricsError),
}

/// Telemetry with its exporters.
#[derive(Debug)]
pub struct Exported {
    /// The tracer of RPCs.
    pub tracer: Tracer,
    /// The gateway's metrics, which are pushed too where that is configured.
    pub metrics: Metrics,
    /// The exporters, to be stopped at the process's end.
    pub flush: Flush,
}

/// Sets up the exports of `config` and the `OTEL_` variables, and logs them. Opens no connection yet.
pub fn start(
    config: &TelemetryConfig,
    environment: &OtelEnvironment,
) -> Result<Exported, ExportError> {
    environment.warn();
    let export = ExportConfig::new(config, environment)?;
    let mut flush = Flush::default();
    let resource = resource(environment.attributes.clone());
    let tracer = if export.traces.is_on() {
        let exporter = SpanExporter {
            console: export.traces.console.then(Default::default),
            collector: flush.collector("traces", &export.traces, Target::span_exporter)?,
            counts: Arc::clone(&flush.counts),
        };
        let processor = CountingProcessor::new(environment.batching, exporter);
        let configured = config.sample_ratio.map(trace::parent_based);
        let sampler = configured.or_else(|| environment.sampler.clone());
        let sampler = sampler.unwrap_or_else(|| trace::parent_based(1.0));
        let provider = trace::provider(sampler, processor, resource.clone());
        Tracer::of(flush.tracer_provider.insert(provider))
    } else {
        Tracer::off()
    };
    let reader = if export.metrics.is_on() {
        let exporter = MetricExporter {
            console: export.metrics.console.then(Default::default),
            collector: flush.collector("metrics", &export.metrics, Target::metric_exporter)?,
        };
        Some(PeriodicReader::builder(exporter).with_interval(export.interval).build())
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
    let counts = Arc::clone(&flush.counts);
    metrics.watch_spans(move || counts.by_result());
    flush.metrics = is_pushed.then(|| metrics.clone());
    let tracer = tracer.propagating(environment.propagates.unwrap_or(true));
    Ok(Exported { tracer, metrics, flush })
}

impl Exported {
    /// Returns the telemetry of RPCs.
    pub fn telemetry(&self) -> Telemetry {
        Telemetry { metrics: self.metrics.clone(), tracer: self.tracer.clone() }
    }
}

/// Exports the buffered telemetry at the end of the process, or discards it when dropped.
#[derive(Debug, Default)]
pub struct Flush {
    cancelled: CancellationToken,
    /// The exporters' own: a hung collector keeps no thread of the gateway busy.
    runtime: Option<Arc<ExportRuntime>>,
    tracer_provider: Option<SdkTracerProvider>,
    /// `Some` if they are pushed.
    metrics: Option<Metrics>,
    counts: Arc<SpanCounts>,
}

impl Flush {
    /// Sets up the exporter to the signal's collector, if it has one.
    fn collector<E>(
        &mut self,
        signal: &'static str,
        config: &SignalConfig,
        exporter: impl FnOnce(&Target, &Arc<Outage>) -> Result<E, String>,
    ) -> Result<Option<Collector<E>>, ExportError> {
        let Some(target) = &config.otlp else { return Ok(None) };
        let runtime = match self.runtime.take() {
            Some(runtime) => runtime,
            None => ExportRuntime::start()?,
        };
        let runtime = Arc::clone(self.runtime.insert(runtime));
        let host = target.uri.authority().map_or("", http::uri::Authority::as_str);
        let protocol = target.protocol.as_str();
        tracing::info!(signal, protocol, host, "telemetry is exported");
        let outage = Arc::new(Outage::new(signal));
        let exporter = {
            let _inside = runtime.handle().enter();
            exporter(target, &outage).map_err(ExportError::Collector)?
        };
        let cancelled = self.cancelled.clone();
        Ok(Some(Collector { exporter, timeout: target.timeout, runtime, cancelled, outage }))
    }

    /// Exports the buffered telemetry, for at most 3 s or until `hurry`. Returns the number of spans that were not
    /// exported since the start.
    pub async fn finish(self, hurry: impl Future<Output = ()>) -> u64 {
        self.finish_within(LAST_EXPORT, hurry).await
    }

    /// As [`Flush::finish`], with another limit.
    pub async fn finish_within(mut self, limit: Duration, hurry: impl Future<Output = ()>) -> u64 {
        let traces = self.tracer_provider.take().map(|provider| {
            on_thread("flush-traces", move || {
                // Its own limit is the last resort.
                let _ = provider.shutdown_with_timeout(limit * 2);
            })
        });
        let metrics = self.metrics.take();
        let metrics = metrics.map(|metrics| on_thread("flush-metrics", move || metrics.flush()));
        let mut both = std::pin::pin!(async {
            for flushed in [traces, metrics].into_iter().flatten() {
                // It fails when there was no thread, and then there is nothing to wait for.
                let _ = flushed.await;
            }
        });
        let is_over = tokio::select! {
            biased;
            () = both.as_mut() => true,
            () = hurry => false,
            () = tokio::time::sleep(limit) => false,
        };
        self.cancelled.cancel();
        if !is_over {
            // A hung export ends at once now, and is counted.
            let _ = timeout(LAST_STOP, both).await;
        }
        let dropped = self.counts.drop_rest();
        let lost = self.counts.lost();
        if lost > 0 {
            tracing::warn!(lost, dropped, "spans were not exported");
        }
        lost
    }
}

impl Drop for Flush {
    fn drop(&mut self) {
        self.cancelled.cancel();
    }
}

/// Does blocking work on a thread of its own, and completes when that ends.
fn on_thread(name: &str, work: impl FnOnce() + Send + 'static) -> oneshot::Receiver<()> {
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
