//! Spans on their way out: counted, bounded, cut to size, batched.

use std::{sync::Arc, time::Duration};

use opentelemetry::Context;
use opentelemetry_proto::{
    tonic::collector::trace::v1::ExportTraceServiceRequest,
    transform::{
        common::tonic::ResourceAttributesWithSchema,
        trace::tonic::group_spans_by_resource_and_scope,
    },
};
use opentelemetry_sdk::{
    Resource,
    error::{OTelSdkError, OTelSdkResult},
    trace::{BatchConfigBuilder, BatchSpanProcessor, Span, SpanData, SpanExporter, SpanProcessor},
};

use super::{
    Limits,
    console::Console,
    otlp::{Collector, Request},
    outage::Outage,
    plan::Plan,
    tally::Tally,
};

/// The SDK's batches, with what they do not tell: what was dropped.
#[derive(Debug)]
pub(super) struct Counted {
    batches: BatchSpanProcessor,
    tally: Arc<Tally>,
    room: usize,
    limits: Limits,
}

impl Counted {
    pub(super) fn new(plan: &Plan, resource: &Resource, exporter: Spans) -> Self {
        let tally = Arc::clone(&exporter.tally);
        // All of it is said: the builder reads the environment for what is not.
        let config = BatchConfigBuilder::default()
            .with_max_queue_size(plan.queue)
            .with_max_export_batch_size(plan.batch)
            .with_scheduled_delay(plan.delay)
            .build();
        let mut batches = BatchSpanProcessor::new(exporter, config);
        batches.set_resource(resource);
        Self { batches, tally, room: plan.queue, limits: plan.limits }
    }
}

impl SpanProcessor for Counted {
    fn on_start(&self, _: &mut Span, _: &Context) {}

    /// Never waits: what there is no room for is dropped.
    fn on_end(&self, mut span: SpanData) {
        // The SDK's queue has as much room, and so is never full.
        if self.tally.admit(self.room) {
            self.limits.apply(&mut span);
            self.batches.on_end(span);
        }
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.batches.force_flush()
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.batches.shutdown_with_timeout(timeout)
    }
}

/// Where batches of spans go.
#[derive(Debug)]
pub(super) struct Spans {
    pub(super) console: Option<Console>,
    pub(super) collector: Option<Collector>,
    pub(super) tally: Arc<Tally>,
    pub(super) outage: Outage,
    pub(super) resource: ResourceAttributesWithSchema,
}

impl SpanExporter for Spans {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        self.tally.taken(batch.len());
        let count = batch.len() as u64;
        if let Some(console) = &self.console {
            console.spans(&batch);
        }
        let Some(collector) = &self.collector else {
            self.tally.exported(count, 0);
            return Ok(());
        };
        let resource_spans = group_spans_by_resource_and_scope(batch, &self.resource);
        let request = Request::Spans(ExportTraceServiceRequest { resource_spans });
        match collector.send(request).await {
            Ok(rejected) => {
                self.tally.exported(count, rejected);
                self.outage.over(rejected);
                Ok(())
            }
            Err(why) => {
                self.tally.failed(count);
                if !collector.is_cut() {
                    self.outage.begin(&why);
                }
                Err(OTelSdkError::InternalFailure(why))
            }
        }
    }

    fn shutdown(&self) -> OTelSdkResult {
        if let Some(console) = &self.console {
            console.finish();
        }
        Ok(())
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.resource = resource.into();
    }
}
