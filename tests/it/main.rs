//! The whole gateway from outside: real gRPC over loopback to the real app, and a simulated Voyage above it.
//!
//! Tests assert the client's result and the simulator's requests, never durations.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test's helpers fail the test by panicking"
)]

mod admin;
mod auth;
mod batching;
mod bodies;
mod budgets;
mod cache_modes;
mod callers;
mod chunks;
mod coalesce;
mod corpus;
mod edge;
mod embed;
mod errors;
mod explain;
mod keys;
mod lifecycle;
mod limits;
mod metadata;
mod metrics;
mod mistakes;
mod models;
mod multimodal;
mod order;
mod partial;
mod raw;
mod rerank;
mod support;
mod tidy;
mod tls;
mod tokens;
mod traces;
