//! Sockets: who gets in, for how long, and how the last one gets out.
//!
//! [`serve`] is the loop that accepts; `connection` is one connection's life, from its first bytes (`greeting`) to its
//! end; `mistake` is why there was none; [`process`] is what the process asks of the system beforehand.

mod accept;
mod config;
mod connection;
mod greeting;
mod mistake;
pub mod process;
mod signals;
mod stage;
mod stream;
mod streams;
pub mod tls;

pub use accept::{Listener, listen, serve};
pub use config::{Config, Drain};
pub use connection::{Port, Protocol, Timing};
pub use signals::{Hangup, StopSignals};
pub use stage::{Stage, reached};
pub use tls::Config as TlsConfig;

#[cfg(test)]
mod tests;
