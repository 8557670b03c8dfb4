//! Span processor and span exporter: a bounded queue whose losses are counted, then batches to console and collector.

use std::{sync::Arc, time::Duration};

use opentelemetry::Context;
use opentelemetry_sdk::{
    Resource,
    error::OTelSdkResult,
    trace::{BatchConfigBuilder, BatchSpanProcessor, Span, SpanData, SpanProcessor},
};

use super::{
    collector::Collector, console::Console, environment::Batching, span_counts::SpanCounts,
};

/// The longest that a span waits for a full batch.
const DELAY: Duration = Duration::from_secs(5);

/// The same where a person reads the console.
const CONSOLE_DELAY: Duration = Duration::from_millis(200);

/// The SDK's batch processor, which does not say how many spans it drops, behind a count of its queue.
#[derive(Debug)]
pub(super) struct CountingProcessor {
    batches: BatchSpanProcessor,
    counts: Arc<SpanCounts>,
    queue_size: usize,
}

impl CountingProcessor {
    pub(super) fn new(batching: Batching, exporter: SpanExporter) -> Self {
        let counts = Arc::clone(&exporter.counts);
        let delay = if exporter.console.is_some() { CONSOLE_DELAY } else { DELAY };
        let config = BatchConfigBuilder::default()
            .with_max_queue_size(batching.queue_size)
            .with_max_export_batch_size(batching.batch_size)
            .with_scheduled_delay(batching.delay.unwrap_or(delay))
            .build();
        let batches = BatchSpanProcessor::new(exporter, config);
        Self { batches, counts, queue_size: batching.queue_size }
    }
}

impl SpanProcessor for CountingProcessor {
    fn on_start(&self, _: &mut Span, _: &Context) {}

    /// Never waits: a span for which the queue has no room is dropped.
    fn on_end(&self, span: SpanData) {
        // The SDK's queue is as large, and so is never full.
        if self.counts.admit(self.queue_size) {
            self.batches.on_end(span);
        }
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.batches.force_flush()
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.batches.shutdown_with_timeout(timeout)
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.batches.set_resource(resource);
    }
}

/// Sends spans to standard output, to the collector, or both.
#[derive(Debug)]
pub(super) struct SpanExporter {
    pub(super) console: Option<Console<opentelemetry_stdout::SpanExporter>>,
    pub(super) collector: Option<Collector<opentelemetry_otlp::SpanExporter>>,
    pub(super) counts: Arc<SpanCounts>,
}

impl opentelemetry_sdk::trace::SpanExporter for SpanExporter {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        self.counts.dequeued(batch.len());
        let spans = batch.len() as u64;
        let mut sent = Ok(());
        if let Some(console) = &self.console {
            sent = console.print(|exporter| exporter.export(batch.clone())).await;
        }
        if let Some(collector) = &self.collector {
            sent = collector.send(|exporter| exporter.export(batch));
        }
        self.counts.ended(spans, sent.is_ok());
        sent
    }

    fn set_resource(&mut self, resource: &Resource) {
        if let Some(console) = &mut self.console {
            console.exporter.set_resource(resource);
        }
        if let Some(collector) = &mut self.collector {
            collector.exporter.set_resource(resource);
        }
    }
}
