//! Signed tokens (RFC 7519), such as those that Kubernetes projects into pods, verified offline with the issuer's keys.
//!
//! The order is: size, algorithm of the key, signature, claims. The issuer is not asked about tokens, so a revoked token
//! stays valid until it expires.

mod claims;
mod fetched;
mod key_set;
mod verified;

use std::{path::PathBuf, sync::Arc, time::Duration};

use jsonwebtoken::Validation;

pub use fetched::{Fetch, FetchedKeys};

use super::{AuthFailure, clock::Clock, config::JwtConfig, tokens};
use crate::{
    reload::{Live, LoadError, Reload},
    telemetry::Metrics,
};
use key_set::KeySet;
use verified::VerifiedToken;

/// Verifies tokens.
#[derive(Debug)]
pub(super) struct Jwt {
    /// Issuer and audience.
    validation: Validation,
    leeway: Duration,
    clock: Clock,
    keys: KeySource,
}

#[derive(Clone, Debug)]
enum KeySource {
    File(Arc<Live<KeySet>>),
    Url(Arc<FetchedKeys>),
}

impl KeySource {
    fn load(path: PathBuf, metrics: Metrics) -> Result<Self, LoadError> {
        let parse = |contents: &[Vec<u8>]| KeySet::parse(&contents.concat());
        Live::load("auth.jwt.jwks_file", vec![path], metrics, parse).map(Self::File)
    }

    fn get(&self) -> Option<Arc<KeySet>> {
        match self {
            Self::File(keys) => Some(keys.get()),
            Self::Url(keys) => keys.get(),
        }
    }
}

impl Jwt {
    /// Reads the JWKS of a file, unless there is a `fetch`.
    pub(super) fn new(
        config: &JwtConfig,
        fetch: Option<Fetch>,
        clock: Clock,
        metrics: &Metrics,
    ) -> Result<Self, LoadError> {
        let keys = match fetch {
            Some(fetch) => KeySource::Url(FetchedKeys::new(fetch, metrics.clone())),
            None => KeySource::load(config.jwks_file.clone().unwrap_or_default(), metrics.clone())?,
        };
        Ok(Self {
            validation: claims::validation(
                config.issuer.as_deref().unwrap_or_default(),
                config.audience.as_deref().unwrap_or_default(),
            ),
            leeway: config.leeway.get(),
            clock,
            keys,
        })
    }

    pub(super) fn file(&self) -> Option<Arc<dyn Reload>> {
        match &self.keys {
            KeySource::File(keys) => Some(Arc::clone(keys) as _),
            KeySource::Url(_) => None,
        }
    }

    pub(super) fn fetched_keys(&self) -> Option<Arc<FetchedKeys>> {
        match &self.keys {
            KeySource::File(_) => None,
            KeySource::Url(keys) => Some(Arc::clone(keys)),
        }
    }

    /// Returns the caller's name in a token.
    pub(super) fn name_of(&self, token: &str) -> Result<Arc<str>, AuthFailure> {
        let keys = self.keys.get().ok_or(AuthFailure::NO_KEYS)?;
        let hash = tokens::hash(token);
        if let Some(verified) = keys.verified.get(&hash) {
            verified.check_times(self.clock.now(), self.leeway)?;
            return Ok(verified.name);
        }
        let verified = self.verify(token, &keys)?;
        verified.check_times(self.clock.now(), self.leeway)?;
        keys.verified.put(hash, verified.clone());
        Ok(verified.name)
    }

    fn verify(&self, token: &str, keys: &KeySet) -> Result<VerifiedToken, AuthFailure> {
        let claims = keys.decode(token, &self.validation).inspect_err(|refusal| {
            // The issuer may have a new key. A file is read again soon anyway.
            if let (&AuthFailure::UNKNOWN_KEY, KeySource::Url(keys)) = (refusal, &self.keys) {
                keys.request_refresh();
            }
        })?;
        claims.verified()
    }
}

#[cfg(test)]
mod tests;
