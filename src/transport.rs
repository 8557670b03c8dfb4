//! Sockets: who gets in, and how the last one gets out.

mod accept;
mod config;
mod signals;
pub mod tls;

pub use accept::{Port, Protocol, serve};
pub use config::{Config, Drain};
pub use signals::StopSignals;
pub use tls::Config as TlsConfig;
