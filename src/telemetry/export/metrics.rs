//! The exporter of metrics that are pushed.

use std::time::Duration;

use opentelemetry_sdk::{
    error::OTelSdkResult,
    metrics::{Temporality, data::ResourceMetrics, exporter::PushMetricExporter},
};

use super::{collector::Collector, console::Console};

/// Sends metrics to standard output, to the collector, or both.
#[derive(Debug)]
pub(super) struct MetricExporter {
    pub(super) console: Option<Console<opentelemetry_stdout::MetricExporter>>,
    pub(super) collector: Option<Collector<opentelemetry_otlp::MetricExporter>>,
}

impl PushMetricExporter for MetricExporter {
    async fn export(&self, metrics: &ResourceMetrics) -> OTelSdkResult {
        let mut sent = Ok(());
        if let Some(console) = &self.console {
            sent = console.print(|exporter| exporter.export(metrics)).await;
        }
        if let Some(collector) = &self.collector {
            sent = collector.send(|exporter| exporter.export(metrics));
        }
        sent
    }

    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }

    fn shutdown_with_timeout(&self, _: Duration) -> OTelSdkResult {
        Ok(())
    }

    fn temporality(&self) -> Temporality {
        let collector = self.collector.as_ref();
        collector.map_or(Temporality::Cumulative, |collector| collector.exporter.temporality())
    }
}
