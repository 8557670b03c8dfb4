//! Seeing inside: metrics, logs, and the port they are read from.

pub mod admin;
mod callers;
mod config;
pub mod export;
mod logging;
mod metrics;
pub mod otel_environment;
pub mod trace;

pub use config::{AdminConfig, LogFormat, OtlpCompression, OtlpProtocol, TelemetryConfig};
pub use export::{ExportError, Exported, Flush};
pub use logging::{LoggingError, init as init_logging};
pub use metrics::{
    ConnectionFailure, Handshake, Metrics, MetricsError, OpenConnection, OpenHandshake, PortName,
    RpcOutcome,
};
pub use otel_environment::OtelEnvironment;
