//! The provider's API: one call for one batch.
//!
//! [`client`] sends a request with one [`key`], [`wire`] is Voyage's JSON, [`classify`] maps its failures to the
//! gateway's [`Error`]. Only this module uses reqwest, so it also fetches the [`document`]s of other servers.

mod body;
mod classify;
mod client;
mod config;
mod document;
mod key;
mod url;
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

pub use wire::EncodingArgument;

use crate::{
    error::{BadResponse, Error},
    item::{Answer, Input, Parameters, Usage},
    telemetry::trace::Span,
};

/// Answers batches: Voyage over HTTP, or a substitute in tests with a paused clock.
pub trait Upstream: Send + Sync + 'static {
    /// Sends one request with `key` and all of `inputs`, in this order, and returns one answer for each.
    ///
    /// Makes exactly one attempt, and records its address in `span`. The error's `index`, if it has one, is a position
    /// in `inputs`.
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
    /// One answer for each input, in the order of the inputs.
    pub answers: Vec<Answer>,
    /// What Voyage billed; `None` when the reply has no usage.
    pub usage: Option<Usage>,
    /// Voyage's `x-request-id`.
    pub request_id: Option<Arc<str>>,
    /// Voyage's `x-api-warning`, such as a missing payment method.
    pub warning: Option<Arc<str>>,
}

/// Parses the body of a 200 to `inputs`, as [`Client`] does. The fuzz targets (`fuzz/`) call it.
///
/// # Errors
///
/// The first problem of the body.
pub fn decode_reply(
    parameters: &Parameters,
    inputs: &[&Input],
    body: &[u8],
) -> Result<Vec<Answer>, BadResponse> {
    wire::decode(parameters, inputs, body).map(|decoded| decoded.answers)
}
