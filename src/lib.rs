//! `voyage-gateway`: Voyage AI's embeddings and rerankers behind gRPC.
//!
//! A request passes these modules from top to bottom; imports go downward only.
//!
//! - [`cli`] has the commands, [`demo`] the demonstration; [`app`] wires; [`config`] composes the settings of all rooms;
//!   [`admin`] is the operators' port.
//! - Before the door, work ends with its caller: [`transport`], [`grpc`], [`pipeline`], [`cache`].
//! - Behind the door, work is paid for and completes: [`dispatch`], [`upstream`].
//! - The foundation, from the top down: [`reload`], [`tokens`], [`telemetry`], [`caller`], [`error`], [`item`],
//!   [`model`], [`peer`], [`check`], [`units`], [`secret`], [`file`](mod@file).
//! - [`simulator`] is a Voyage on loopback that can misbehave.
//!
//! `ARCHITECTURE.md` has the details.

pub mod cli;
pub mod demo;

pub mod app;
pub mod config;

pub mod admin;

pub mod transport;

pub mod grpc;

pub mod pipeline;

pub mod cache;

pub mod dispatch;

pub mod upstream;

pub mod caller;
pub mod check;
pub mod error;
pub mod file;
pub mod item;
pub mod model;
pub mod peer;
pub mod reload;
pub mod secret;
mod sync;
pub mod telemetry;
pub mod tokens;
pub mod units;

pub mod simulator;

/// The source revision this was built from; `unknown` outside a repository.
pub const REVISION: &str = env!("VOYAGE_GATEWAY_REVISION");
