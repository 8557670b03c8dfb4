//! Signed tokens (RFC 7519), such as those Kubernetes projects into pods: checked offline, by the issuer's keys.
//!
//! Nothing a token says is believed before its signature is: first its size, then the algorithm its key is for, the
//! signature, and only then the claims. Nobody is asked about a token, so one that is withdrawn is good until it expires.

mod claims;
mod fetched;
mod key_set;
mod verified;

use std::{path::PathBuf, sync::Arc, time::Duration};

pub use fetched::{Fetch, FetchedKeys};

use super::{Refusal, clock::Clock, config::JwtConfig, tokens};
use crate::{
    reload::{Live, LoadError, Reload},
    telemetry::Metrics,
};
use claims::Parts;
use key_set::{KeySet, Signature};
use verified::Good;

/// Finds out whom a token names, if it is good.
#[derive(Debug)]
pub(super) struct Jwt {
    issuer: String,
    audience: String,
    leeway: Duration,
    clock: Clock,
    keys: Keys,
}

/// Where the keys come from.
#[derive(Clone, Debug)]
enum Keys {
    File(Arc<Live<KeySet>>),
    Url(Arc<FetchedKeys>),
}

impl Keys {
    /// Reads the keys of a file.
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

    /// A token names a key that is not there. A file is looked at soon anyway.
    fn miss(&self) {
        if let Self::Url(keys) = self {
            keys.ask();
        }
    }
}

impl Jwt {
    /// Reads the keys of a file, or prepares to `fetch` them.
    pub(super) fn new(
        config: &JwtConfig,
        fetch: Option<Fetch>,
        clock: Clock,
        metrics: &Metrics,
    ) -> Result<Self, LoadError> {
        let keys = match fetch {
            Some(fetch) => Keys::Url(FetchedKeys::new(fetch, metrics.clone())),
            None => Keys::load(config.jwks_file.clone().unwrap_or_default(), metrics.clone())?,
        };
        Ok(Self {
            issuer: config.issuer.clone().unwrap_or_default(),
            audience: config.audience.clone().unwrap_or_default(),
            leeway: config.leeway.get(),
            clock,
            keys,
        })
    }

    pub(super) fn file(&self) -> Option<Arc<dyn Reload>> {
        match &self.keys {
            Keys::File(keys) => Some(Arc::clone(keys) as _),
            Keys::Url(_) => None,
        }
    }

    pub(super) fn fetched_keys(&self) -> Option<Arc<FetchedKeys>> {
        match &self.keys {
            Keys::File(_) => None,
            Keys::Url(keys) => Some(Arc::clone(keys)),
        }
    }

    /// Returns whom a token names.
    pub(super) fn name_of(&self, token: &str) -> Result<Arc<str>, Refusal> {
        let keys = self.keys.get().ok_or(Refusal::NoKeys)?;
        let hash = tokens::hash(token);
        if let Some(good) = keys.verified.get(&hash) {
            good.times.judge(self.clock.now(), self.leeway)?;
            return Ok(good.name);
        }
        let good = self.verify(token, &keys)?;
        good.times.judge(self.clock.now(), self.leeway)?;
        // Into the set it was verified by: what takes that set's place has to see for itself.
        keys.verified.put(hash, good.clone());
        Ok(good.name)
    }

    fn verify(&self, token: &str, keys: &KeySet) -> Result<Good, Refusal> {
        let parts = Parts::of(token)?;
        match keys.check(&parts) {
            Signature::Good => {}
            Signature::Forged => return Err(Refusal::Forged),
            Signature::OtherAlgorithm => return Err(Refusal::Algorithm),
            Signature::UnknownKey => {
                self.keys.miss();
                return Err(Refusal::UnknownKey);
            }
        }
        let (name, times) = parts.claims()?.judge(&self.issuer, &self.audience)?;
        Ok(Good { name, times })
    }
}

#[cfg(test)]
mod tests;
