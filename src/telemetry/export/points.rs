//! Metrics on their way out.

use std::time::Duration;

use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_sdk::{
    error::{OTelSdkError, OTelSdkResult},
    metrics::{Temporality, data::ResourceMetrics, exporter::PushMetricExporter},
};

use super::{
    console,
    otlp::{Collector, Request},
    outage::Outage,
};

/// Where metrics go.
#[derive(Debug)]
pub struct Points {
    pub(super) console: bool,
    pub(super) collector: Option<Collector>,
    pub(super) outage: Outage,
    pub(super) temporality: Temporality,
}

impl PushMetricExporter for Points {
    async fn export(&self, metrics: &ResourceMetrics) -> OTelSdkResult {
        if self.console {
            console::points(metrics);
        }
        let Some(collector) = &self.collector else { return Ok(()) };
        if collector.is_cut() {
            // The SDK tries once more when it is dropped: everything has been said by then.
            return Err(OTelSdkError::AlreadyShutdown);
        }
        let request = Request::Points(ExportMetricsServiceRequest::from(metrics));
        match collector.send(request).await {
            Ok(rejected) => {
                self.outage.over(rejected);
                Ok(())
            }
            Err(why) => {
                self.outage.begin(&why);
                Err(OTelSdkError::InternalFailure(why))
            }
        }
    }

    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }

    fn shutdown_with_timeout(&self, _: Duration) -> OTelSdkResult {
        Ok(())
    }

    fn temporality(&self) -> Temporality {
        self.temporality
    }
}
