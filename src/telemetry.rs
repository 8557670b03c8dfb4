//! Metrics, traces and logs.

mod callers;
mod config;
pub mod export;
mod logging;
mod metrics;
pub mod recent;
mod resource;
pub mod semconv;
pub mod trace;

pub use config::{LogFormat, OtlpCompression, OtlpProtocol, TelemetryConfig};
pub use export::{ExportError, Exported, Flush, InvalidVariable, OtelEnvironment};
pub use logging::{Excerpt, LogLevels, LoggingError, bounded_line, init as init_logging};
pub use metrics::{
    Admitted, BreakerState, Buckets, Cached, ConnectionFailure, DispatchState, EndedRpc, Families,
    Handshake, Metrics, MetricsError, OpenConnection, OpenHandshake, PortName, RateWindow, Replied,
    RpcOutcome, Series, catalogue,
};

use trace::Tracer;

/// The metrics and the tracer of RPCs; cheap to clone.
#[derive(Clone, Debug)]
pub struct Telemetry {
    /// The metrics.
    pub metrics: Metrics,
    /// The tracer.
    pub tracer: Tracer,
}

/// Metrics without traces.
impl From<Metrics> for Telemetry {
    fn from(metrics: Metrics) -> Self {
        Self { metrics, tracer: Tracer::off() }
    }
}
