//! The provider when it behaves: one request's walk from body to tokens and texts.

use std::time::Duration;

use http::StatusCode;
use serde_json::Value;

use super::keys::{Keys, Limits};
use super::random::SplitMix;
use super::refusal::Refusal;
use super::request::{self, Parameters};
use super::tokens::cut;
use super::window::Windows;
use super::{Latency, Options};

pub(super) struct Provider {
    keys: Keys,
    latency: Latency,
    windows: Windows,
}

/// A request that has been accepted, counted and waited for.
pub(super) struct Accepted<'a> {
    pub(super) parameters: Parameters,
    /// The texts, cut at the model's context.
    pub(super) texts: Vec<&'a str>,
    pub(super) tokens: u64,
}

impl Provider {
    pub(super) fn new(options: &Options) -> Self {
        Self {
            keys: options.keys.clone(),
            latency: options.latency,
            windows: Windows::new(options.rpm, options.tpm),
        }
    }

    pub(super) fn keys(&self) -> &Keys {
        &self.keys
    }

    /// Tells whether a key's limits are those of an account without a payment method.
    pub(super) fn is_free_tier(&self, api_key: Option<&str>) -> bool {
        self.windows.is_free_tier(self.own_limits(api_key))
    }

    fn own_limits(&self, api_key: Option<&str>) -> Option<Limits> {
        api_key.and_then(|key| self.keys.limits(key))
    }

    /// Checks a request in the provider's order: body, credential, tokens, rate. Returns without waiting.
    pub(super) fn accept<'a>(
        &self,
        body: Option<&Value>,
        texts: &'a [String],
        api_key: Option<&str>,
    ) -> Result<Accepted<'a>, Refusal> {
        let parameters = request::read(body)?;
        let key = self.authorise(api_key)?;
        let (texts, tokens) = fit(&parameters, texts)?;
        let limits = self.own_limits(api_key);
        if !self.windows.take((key, parameters.model.name), limits, tokens) {
            return Err(Refusal::rate_limited(self.windows.is_free_tier(limits)));
        }
        Ok(Accepted { parameters, texts, tokens })
    }

    /// Returns how long the reply to call `number` takes.
    pub(super) fn latency(&self, number: u64, tokens: u64) -> Duration {
        let Latency { base, per_1k_tokens, jitter } = self.latency;
        let thousands = f64::from(u32::try_from(tokens).unwrap_or(u32::MAX)) / 1_000.0;
        base + per_1k_tokens.mul_f64(thousands) + jitter.mul_f64(SplitMix::new(number).fraction())
    }

    fn authorise<'a>(&self, api_key: Option<&'a str>) -> Result<&'a str, Refusal> {
        let refuse = |detail: &str| Err(Refusal::new(StatusCode::UNAUTHORIZED, detail));
        match api_key {
            None => refuse("Unauthorized"),
            Some(key) if !self.keys.accepts(key) => refuse("Provided API key is invalid."),
            Some(key) => Ok(key),
        }
    }
}

/// Cuts the texts at the model's context, or refuses the first that is longer; returns them and their tokens.
fn fit<'a>(parameters: &Parameters, texts: &'a [String]) -> Result<(Vec<&'a str>, u64), Refusal> {
    let model = parameters.model;
    let mut fitting = Vec::with_capacity(texts.len());
    let mut total = 0;
    for (index, text) in texts.iter().enumerate() {
        let (text_cut, tokens) = cut(text, u64::from(model.context_tokens));
        if !parameters.truncation && text_cut.len() < text.len() {
            return Err(Refusal::example_too_long(model, index));
        }
        fitting.push(text_cut);
        total += tokens;
    }
    if total > u64::from(model.max_request_tokens) {
        return Err(Refusal::batch_too_large(model, total));
    }
    Ok((fitting, total))
}
