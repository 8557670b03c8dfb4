//! Sockets: who gets in, and how the last one gets out.

mod accept;
mod config;
mod signals;
mod streams;

pub use accept::{Protocol, serve};
pub use config::{Config, Drain};
pub use signals::StopSignals;
