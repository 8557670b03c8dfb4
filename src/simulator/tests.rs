//! Tests of the simulator: over raw HTTP/1.1, so that nothing but the bytes on the wire counts.

mod client;
mod endpoints;
mod faults;
mod provider;
mod server;
mod text;
