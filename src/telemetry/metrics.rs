//! Every metric, each recorded by one documented function; [`catalogue`] says what each of them is.
//!
//! Labels come from closed lists only, or from the bounded one of callers' names: nobody can make series at will. What
//! merely *is* (a gauge) is asked for when somebody looks, as `watch` does.

mod build;
mod cache;
pub mod catalogue;
mod connections;
mod dispatch;
mod families;
mod outcome;
mod process;
mod rpc;
mod spans;
mod spending;
mod tls;
mod upstream;
mod waits;
mod watch;

use std::sync::Arc;

use opentelemetry::{
    KeyValue,
    metrics::{Counter, MeterProvider as _},
};
use opentelemetry_sdk::metrics::{MeterProviderBuilder, SdkMeterProvider};
use prometheus::{Encoder as _, Registry, TextEncoder};

pub use connections::{ConnectionFailure, OpenConnection, PortName};
pub use families::{Buckets, ByLabel, Families, Series};
pub use outcome::RpcOutcome;
pub use rpc::EndedRpc;
pub use spending::Replied;
pub use tls::{Handshake, OpenHandshake};
pub use watch::{Admitted, BreakerState, Cached, DispatchState, RateWindow};

use super::{recent::Recent, resource::resource};
use crate::model;
use catalogue::label;
use watch::Watched;

/// The name of the scope that all metrics are in.
const SCOPE: &str = "voyage-gateway";

/// The label of what is not in the catalogue of models.
const OTHER: &str = "_other";

/// The gateway's metrics; cheap to clone.
#[derive(Clone)]
pub struct Metrics {
    /// `None`: nothing is recorded.
    shared: Option<Arc<Shared>>,
}

struct Shared {
    registry: Registry,
    /// The instruments end with it.
    provider: SdkMeterProvider,
    watched: Arc<Watched>,
    rpc: rpc::Instruments,
    cache: cache::Instruments,
    spending: spending::Instruments,
    dispatch: dispatch::Instruments,
    upstream: upstream::Instruments,
    connections: connections::Instruments,
    tls: tls::Instruments,
    waits: waits::Instruments,
    reloads: Counter<u64>,
    recent: Recent,
}

/// Why the metrics cannot be set up or read.
#[derive(Debug, thiserror::Error)]
#[error("metrics: {0}")]
pub struct MetricsError(String);

impl Metrics {
    /// Sets up a registry of its own, which `/metrics` shows.
    pub fn new() -> Result<Self, MetricsError> {
        Self::with(|provider| provider.with_resource(resource([])))
    }

    /// Sets up a registry of its own, and whatever else is to read the metrics: `extend` names the resource and adds
    /// readers.
    pub fn with(
        extend: impl FnOnce(MeterProviderBuilder) -> MeterProviderBuilder,
    ) -> Result<Self, MetricsError> {
        let registry = Registry::new();
        let exporter = opentelemetry_prometheus::exporter()
            .with_registry(registry.clone())
            // One scope: naming it in every series says nothing.
            .scope_info_enabled(false)
            .build()
            .map_err(|error| MetricsError(error.to_string()))?;
        let provider = SdkMeterProvider::builder().with_reader(exporter).with_view(build::bounds);
        let provider = extend(provider).build();
        let meter = provider.meter(SCOPE);
        let watched = Arc::<Watched>::default();
        watch::register(&meter, &watched);
        process::register(&meter);
        let shared = Shared {
            registry,
            watched,
            rpc: rpc::Instruments::new(&meter),
            cache: cache::Instruments::new(&meter),
            spending: spending::Instruments::new(&meter),
            dispatch: dispatch::Instruments::new(&meter),
            upstream: upstream::Instruments::new(&meter),
            connections: connections::Instruments::new(&meter),
            tls: tls::Instruments::new(&meter),
            waits: waits::Instruments::new(&meter),
            reloads: build::counter(&meter, &catalogue::RELOADS),
            recent: Recent::default(),
            provider,
        };
        Ok(Self { shared: Some(Arc::new(shared)) })
    }

    /// Records nothing, at no cost.
    pub const fn off() -> Self {
        Self { shared: None }
    }

    /// Returns what was slow or failed of late, unless nothing is recorded.
    pub fn recent(&self) -> Option<&Recent> {
        self.shared.as_ref().map(|shared| &shared.recent)
    }

    /// Returns all metrics as they stand; none, when they are off.
    pub fn families(&self) -> Families {
        self.shared.as_ref().map(|shared| Families::of(&shared.registry)).unwrap_or_default()
    }

    /// Writes all metrics in Prometheus' text format; nothing, when they are off.
    pub fn render(&self) -> Result<String, MetricsError> {
        let Some(shared) = &self.shared else { return Ok(String::new()) };
        let mut text = Vec::new();
        TextEncoder::new()
            .encode(&shared.registry.gather(), &mut text)
            .map_err(|error| MetricsError(error.to_string()))?;
        String::from_utf8(text).map_err(|error| MetricsError(error.to_string()))
    }

    /// [`catalogue::RELOADS`]: a changed file, or fetched keys, that were taken over (`changed`) or of no use
    /// (`refused`; the old content stays in force), by the setting that names them.
    pub fn reload(&self, what: &'static str, outcome: &'static str) {
        let Some(shared) = &self.shared else { return };
        let labels = [KeyValue::new(label::WHAT, what), KeyValue::new(label::OUTCOME, outcome)];
        shared.reloads.add(1, &labels);
    }
}

/// Returns a model's label: its name in the catalogue, or one for all others.
fn model_label(name: &str) -> &'static str {
    model::find(name).map_or(OTHER, |model| model.name)
}

impl std::fmt::Debug for Metrics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Metrics")
    }
}

#[cfg(test)]
mod tests;
