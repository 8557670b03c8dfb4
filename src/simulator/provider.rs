//! The provider's regular behaviour: from a request's body to its tokens and texts.

use std::time::Duration;

use http::StatusCode;
use serde_json::Value;

use super::{
    Latency, Options,
    entries::Accepted,
    error_reply::ErrorReply,
    keys::{AcceptedKeys, RateLimits, Windows},
    random::SplitMix,
    route::{RequestBody, Route, read},
};

pub(super) struct Provider {
    pub(super) keys: AcceptedKeys,
    /// Of keys that have none of their own.
    limits: RateLimits,
    latency: Latency,
    windows: Windows,
    unknown_argument: Option<&'static str>,
}

impl Provider {
    pub(super) fn new(options: &Options) -> Self {
        Self {
            keys: options.keys.clone(),
            limits: RateLimits { rpm: options.rpm, tpm: options.tpm },
            latency: options.latency,
            windows: Windows::default(),
            unknown_argument: options.unknown_argument,
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
    pub(super) fn accept(
        &self,
        route: Route,
        body: Option<&Value>,
        api_key: Option<&str>,
    ) -> Result<Accepted, ErrorReply> {
        if let Some(name) = self.unknown_argument
            && body.is_some_and(|body| body.get(name).is_some())
        {
            return Err(ErrorReply::unknown_argument(name));
        }
        let body = read(route, body)?;
        let unauthorised = |detail: &str| ErrorReply::new(StatusCode::UNAUTHORIZED, detail);
        let key = api_key.ok_or_else(|| unauthorised("Unauthorized"))?;
        if !self.keys.accepts(key) {
            return Err(unauthorised("Provided API key is invalid."));
        }
        let accepted = match body {
            RequestBody::Texts(texts) => texts.accept(),
            RequestBody::Documents(documents) => documents.accept(),
            RequestBody::Contents(contents) => contents.accept(),
            RequestBody::Pairs(pairs) => pairs.accept(),
        }?;
        if !self.windows.take(key, accepted.model.name, self.limits(api_key), accepted.tokens) {
            return Err(ErrorReply::rate_limited(self.is_free_tier(api_key)));
        }
        Ok(accepted)
    }

    /// Returns how long the reply to call `number` takes.
    pub(super) fn latency(&self, number: u64, tokens: u64) -> Duration {
        let Latency { base, per_1k_tokens, jitter } = self.latency;
        let thousands = f64::from(u32::try_from(tokens).unwrap_or(u32::MAX)) / 1_000.0;
        base + per_1k_tokens.mul_f64(thousands) + jitter.mul_f64(SplitMix::new(number).fraction())
    }
}
