//! The provider's side: one call, one batch.
//!
//! [`client`] speaks HTTP with the [`key`] it is given, [`wire`] is Voyage's JSON exactly, [`classify`] turns its
//! failures into the gateway's [`Error`]. Only this room knows reqwest, so it fetches the [`document`]s of others as
//! well.

mod classify;
mod client;
mod config;
mod document;
mod key;
mod wire;

use std::sync::Arc;

use futures_util::future::BoxFuture;

pub use client::{BuildError, Client};
pub use config::Config;
pub use document::{Document, may_fetch};
pub use key::{
    ApiKey, ApiKeys, IS_NO_PATH, KeyConfig, KeyError, KeyLimits, KeySources, Member,
    looks_like_a_key,
};

use crate::{
    embedding::{Answer, Input, Parameters},
    error::Error,
    telemetry::trace::Span,
};

/// Something that answers batches: Voyage over HTTP, or a stand-in within a test's own clock.
pub trait Upstream: Send + Sync + 'static {
    /// Sends one request with `key` and all of `inputs`, in this order, and returns one answer for each.
    ///
    /// Makes exactly one attempt, and says in its `span` where it went; the error's `index`, where it has one, is a position in `inputs`.
    fn call<'a>(
        &'a self,
        key: &'a ApiKey,
        parameters: &'a Parameters,
        inputs: &'a [&'a Input],
        span: &'a mut Span,
    ) -> BoxFuture<'a, Result<Reply, Error>>;
}

/// A checked reply.
#[derive(Clone, Debug)]
pub struct Reply {
    /// One answer an input, in the order of the inputs.
    pub answers: Vec<Answer>,
    /// Tokens Voyage billed; `None` when it did not say.
    pub total_tokens: Option<u64>,
    /// Voyage's `x-request-id`.
    pub request_id: Option<Arc<str>>,
    /// Voyage's `x-api-warning`, such as a missing payment method.
    pub warning: Option<Arc<str>>,
}
