//! Seeing inside: metrics, logs, and the port they are read from.

pub mod admin;
mod callers;
mod config;
mod logging;
mod metrics;
pub mod trace;

pub use config::{AdminConfig, LogFormat, TelemetryConfig};
pub use logging::{LogLevels, LoggingError, callers_line, init as init_logging};
pub use metrics::{
    ConnectionFailure, Handshake, Metrics, MetricsError, OpenConnection, OpenHandshake, PortName,
    RpcOutcome,
};
