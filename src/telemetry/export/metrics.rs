//! The exporter of metrics that are pushed.

use std::time::Duration;

use opentelemetry_sdk::{
    error::OTelSdkResult,
    metrics::{Temporality, data::ResourceMetrics, exporter::PushMetricExporter},
};

use super::collector::Collector;

/// Sends metrics to standard output, to the collector, or both.
#[derive(Debug)]
pub(super) struct MetricExporter {
    pub(super) console: Option<opentelemetry_stdout::MetricExporter>,
    pub(super) collector: Option<Collector<opentelemetry_otlp::MetricExporter>>,
}

impl PushMetricExporter for MetricExporter {
    async fn export(&self, metrics: &ResourceMetrics) -> OTelSdkResult {
        if let Some(console) = &self.console {
            console.export(metrics).await?;
        }
        match &self.collector {
            Some(collector) => collector.send(|exporter| exporter.export(metrics)),
            None => Ok(()),
        }
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
