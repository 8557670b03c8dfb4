//! `voyage-gateway`: Voyage AI's embeddings behind gRPC.
//!
//! Read it as a corridor: a request walks from the top room down, and imports go downward only.
//!
//! - [`cli`] is what can be run, [`demo`] the show; [`app`] wires; [`config`] composes what every room wants to know;
//!   [`admin`] is the operators' port.
//! - The caller's half lives and dies with the caller: [`transport`] accepts, [`grpc`] speaks the protocol,
//!   [`pipeline`] walks the request, [`cache`] remembers.
//! - **The door.** Behind it work is paid for, lands and is cached, whoever left: [`dispatch`] walks a
//!   batch, [`upstream`] calls Voyage.
//! - The foundation: [`caller`], [`embedding`], [`model`], [`error`], [`secret`], [`reload`], [`units`], [`check`],
//!   [`telemetry`], [`tokens`].
//! - [`simulator`] is a Voyage that runs on loopback and can misbehave.
//!
//! `ARCHITECTURE.md` tells the same at more length.

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
pub mod embedding;
pub mod error;
pub mod file;
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
