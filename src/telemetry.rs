//! Seeing inside: metrics, logs, and the port they are read from.

pub mod admin;
mod callers;
mod config;
mod logging;
mod metrics;
pub mod trace;

pub use config::{AdminConfig, LogFormat, TelemetryConfig};
pub use logging::{LoggingError, init as init_logging};
pub use metrics::{
    Admitted, BreakerState, Cached, ConnectionFailure, DispatchState, EndedRpc, Handshake, Metrics,
    MetricsError, OpenConnection, OpenHandshake, PortName, RateWindow, Replied, RpcOutcome,
    catalogue,
};
