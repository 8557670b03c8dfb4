//! All metrics. One documented function records each; [`catalogue`] describes them.
//!
//! Label values come from closed lists, or from the bounded list of callers' names, so that no client can create series
//! without limit.

mod cache;
pub mod catalogue;
mod connections;
mod families;
mod gauges;
mod instruments;
mod process;
mod rpc;
mod spending;
mod upstream;

use std::sync::Arc;

use opentelemetry::{
    KeyValue,
    metrics::{Counter, MeterProvider as _},
};
use opentelemetry_sdk::metrics::{MeterProviderBuilder, SdkMeterProvider};
use prometheus::{Encoder as _, Registry, TextEncoder};

pub use connections::{ConnectionFailure, Handshake, OpenConnection, OpenHandshake, PortName};
pub use families::{Buckets, Families, Series};
pub use gauges::{Admitted, BreakerState, Cached, DispatchState, RateWindow};
pub use rpc::{EndedRpc, RpcOutcome};
pub use spending::Replied;

use super::{callers::CallerNames, recent::Recent, resource::resource};
use crate::{
    item::{Endpoint, Usage},
    model::{Kind, ModelName},
};
use instruments::Instruments;
use upstream::{USUAL_STATUSES, call_labels};

/// The OpenTelemetry scope of all metrics.
const SCOPE: &str = "voyage-gateway";

/// The label of models and statuses that are not in the catalogue.
const OTHER: &str = "_other";

/// The gateway's metrics; cheap to clone.
#[derive(Clone)]
pub struct Metrics {
    /// `None`: nothing is recorded.
    shared: Option<Arc<Shared>>,
}

struct Shared {
    registry: Registry,
    /// The instruments stop when it is dropped.
    provider: SdkMeterProvider,
    instruments: Instruments,
    caller_names: CallerNames,
    recent: Recent,
}

/// The metrics cannot be set up or read.
#[derive(Debug, thiserror::Error)]
#[error("metrics: {0}")]
pub struct MetricsError(String);

impl Metrics {
    /// Creates metrics with a registry of their own, for `/metrics` only.
    pub fn new() -> Result<Self, MetricsError> {
        Self::with(|provider| provider.with_resource(resource([])))
    }

    /// Creates metrics with a registry of their own; `extend` sets the resource and adds readers.
    pub fn with(
        extend: impl FnOnce(MeterProviderBuilder) -> MeterProviderBuilder,
    ) -> Result<Self, MetricsError> {
        let registry = Registry::new();
        let exporter = opentelemetry_prometheus::exporter()
            .with_registry(registry.clone())
            // There is one scope: its labels would be the same on every series.
            .scope_info_enabled(false)
            .build()
            .map_err(|error| MetricsError(error.to_string()))?;
        let provider =
            SdkMeterProvider::builder().with_reader(exporter).with_view(catalogue::series_limit);
        let provider = extend(provider).build();
        let meter = provider.meter(SCOPE);
        process::register(&meter);
        let shared = Shared {
            registry,
            instruments: Instruments::new(&meter),
            caller_names: CallerNames::default(),
            recent: Recent::default(),
            provider,
        };
        let metrics = Self { shared: Some(Arc::new(shared)) };
        metrics.tokens(0, None);
        for result in ["hit", "miss", "coalesced", "bypassed", "refused"] {
            metrics.lookups(result, 0);
        }
        Ok(metrics)
    }

    /// Records nothing, at no cost.
    pub const fn off() -> Self {
        Self { shared: None }
    }

    /// Starts the series of configured models at 0, so that `rate()` and alerts see their first event.
    pub fn expect_models(&self, models: impl IntoIterator<Item = ModelName>) {
        let Some(shared) = &self.shared else { return };
        for model in &models.into_iter().collect::<Vec<_>>() {
            shared.spend(model, &Usage::default(), "billed", Some("spent"));
            shared.spend(model, &Usage::default(), "saved", Some("saved"));
            shared.spend(model, &Usage::default(), "estimated", None);
            let kind = model.listed().map_or(Kind::Text, |model| model.kind);
            let endpoint = Endpoint::ALL.into_iter().find(|endpoint| endpoint.kind() == kind);
            let Some(endpoint) = endpoint else { continue };
            for status in USUAL_STATUSES {
                let labels = call_labels(endpoint, model, status);
                shared.instruments.upstream_calls.add(0, &labels);
            }
        }
    }

    /// Adds to a counter.
    fn add(&self, of: fn(&Instruments) -> &Counter<u64>, events: u64, labels: &[KeyValue]) {
        if let Some(shared) = &self.shared {
            of(&shared.instruments).add(events, labels);
        }
    }

    /// Returns recent slow RPCs and upstream errors; `None` if the metrics are off.
    pub fn recent(&self) -> Option<&Recent> {
        self.shared.as_ref().map(|shared| &shared.recent)
    }

    /// Returns the current values of all metrics; none if they are off.
    pub fn families(&self) -> Families {
        self.shared.as_ref().map(|shared| Families::of(&shared.registry)).unwrap_or_default()
    }

    /// Writes all metrics in Prometheus' text format; nothing if they are off.
    pub fn render(&self) -> Result<String, MetricsError> {
        let Some(shared) = &self.shared else { return Ok(String::new()) };
        let mut text = Vec::new();
        TextEncoder::new()
            .encode(&families::gather(&shared.registry), &mut text)
            .map_err(|error| MetricsError(error.to_string()))?;
        String::from_utf8(text).map_err(|error| MetricsError(error.to_string()))
    }

    /// Exports all metrics now where they are pushed. Blocks until the export succeeds or fails.
    pub(super) fn flush(&self) {
        if let Some(shared) = &self.shared {
            // A failure is logged by the exporter.
            let _ = shared.provider.force_flush();
        }
    }
}

/// Returns the label of a model: its name if it is listed.
fn model_label(model: &ModelName) -> &'static str {
    model.listed().map_or(OTHER, |model| model.name)
}

impl std::fmt::Debug for Metrics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Metrics")
    }
}

#[cfg(test)]
mod tests;
