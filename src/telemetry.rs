//! Seeing inside: metrics, logs, the status page, and the port they are read from.

pub mod admin;
mod callers;
mod config;
mod logging;
mod metrics;
pub mod recent;
pub mod status;
pub mod trace;

pub use config::{AdminConfig, LogFormat, TelemetryConfig};
pub use logging::{LoggingError, init as init_logging};
pub use metrics::{
    ConnectionFailure, Handshake, Metrics, MetricsError, OpenConnection, OpenHandshake, PortName,
    RpcOutcome,
};
