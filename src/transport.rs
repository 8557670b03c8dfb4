//! Sockets: accepting, TLS, HTTP, connection age, drain, signals and process limits.

mod accept;
mod config;
mod connection;
mod connection_error;
mod port;
mod preface;
pub mod process;
mod signals;
mod stream;
mod streams;
pub mod tls;

pub use accept::{Listener, listen, serve};
pub use config::{Config, Drain};
pub use port::{Port, PortState, Protocol, Timing, reached};
pub use signals::{Hangup, StopSignals};
pub use tls::Config as TlsConfig;

#[cfg(test)]
mod tests;
