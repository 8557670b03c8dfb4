//! The provider's regular behaviour: from a request's body to its tokens and texts.

use std::time::Duration;

use http::StatusCode;
use serde_json::Value;

use super::{
    Latency, Options,
    error_reply::ErrorReply,
    keys::{AcceptedKeys, RateLimits, Windows},
    random::SplitMix,
    request::{self, RequestBody},
    tokens::cut,
};

pub(super) struct Provider {
    pub(super) keys: AcceptedKeys,
    /// Of keys that have none of their own.
    limits: RateLimits,
    latency: Latency,
    windows: Windows,
}

/// A request that has been accepted and counted.
pub(super) struct Accepted<'a> {
    pub(super) parameters: RequestBody,
    /// The texts, cut at the model's context.
    pub(super) texts: Vec<&'a str>,
    pub(super) tokens: u64,
}

impl Provider {
    pub(super) fn new(options: &Options) -> Self {
        Self {
            keys: options.keys.clone(),
            limits: RateLimits { rpm: options.rpm, tpm: options.tpm },
            latency: options.latency,
            windows: Windows::default(),
        }
    }

    /// Returns whether a key's limits are those of an account without a payment method.
    pub(super) fn is_free_tier(&self, api_key: Option<&str>) -> bool {
        self.limits(api_key) == RateLimits::FREE_TIER
    }

    fn limits(&self, api_key: Option<&str>) -> RateLimits {
        api_key.and_then(|key| self.keys.limits(key)).unwrap_or(self.limits)
    }

    /// Checks a request in the provider's order: body, credential, tokens, rate. Returns without waiting.
    pub(super) fn accept<'a>(
        &self,
        body: Option<&Value>,
        texts: &'a [String],
        api_key: Option<&str>,
    ) -> Result<Accepted<'a>, ErrorReply> {
        let parameters = request::read(body)?;
        let unauthorised = |detail: &str| ErrorReply::new(StatusCode::UNAUTHORIZED, detail);
        let key = api_key.ok_or_else(|| unauthorised("Unauthorized"))?;
        if !self.keys.accepts(key) {
            return Err(unauthorised("Provided API key is invalid."));
        }
        let (texts, tokens) = fit(&parameters, texts)?;
        if !self.windows.take(key, parameters.model.name, self.limits(api_key), tokens) {
            return Err(ErrorReply::rate_limited(self.is_free_tier(api_key)));
        }
        Ok(Accepted { parameters, texts, tokens })
    }

    /// Returns how long the reply to call `number` takes.
    pub(super) fn latency(&self, number: u64, tokens: u64) -> Duration {
        let Latency { base, per_1k_tokens, jitter } = self.latency;
        let thousands = f64::from(u32::try_from(tokens).unwrap_or(u32::MAX)) / 1_000.0;
        base + per_1k_tokens.mul_f64(thousands) + jitter.mul_f64(SplitMix::new(number).fraction())
    }
}

/// Cuts the texts at the model's context, or refuses the first that is longer; returns them and their tokens.
fn fit<'a>(
    parameters: &RequestBody,
    texts: &'a [String],
) -> Result<(Vec<&'a str>, u64), ErrorReply> {
    let model = parameters.model;
    let mut fitting = Vec::with_capacity(texts.len());
    let mut total = 0;
    for (index, text) in texts.iter().enumerate() {
        let (text_cut, tokens) = cut(text, u64::from(model.context_tokens));
        if !parameters.truncation && text_cut.len() < text.len() {
            return Err(ErrorReply::example_too_long(model, index));
        }
        fitting.push(text_cut);
        total += tokens;
    }
    if total > u64::from(model.max_request_tokens) {
        return Err(ErrorReply::batch_too_large(model, total));
    }
    Ok((fitting, total))
}
