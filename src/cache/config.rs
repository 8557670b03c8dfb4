//! `[cache]`: the size and lifetime of the cache.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::{
    caller::Scope,
    check::Validation,
    units::{Size, TimeSpan},
};

/// `[cache]`: the size and lifetime of the cache.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Config {
    /// The memory of cached embeddings, keys and overhead included; `0B` turns the cache off.
    /// One 1024-dimensional float embedding takes a little over 4KiB.
    pub max_bytes: Size,

    /// The lifetime of a cached embedding. A model of one name does not change, so a shorter time is needed only to save
    /// memory or to delete data.
    pub ttl: TimeSpan,

    /// The cached embeddings that a caller can hit: those of all callers (`shared`) or its own only (`per-caller`), so
    /// that response times do not reveal the texts of other callers. `[callers."NAME"]` overrides it.
    pub scope: Scope,

    /// The scores of rerankers that are cached: those of all pairs of query and document (`pairs`), or none (`off`).
    pub rerank: CachedScores,

    /// A file of at least 32 secret bytes that cache keys are derived from. Unset: random at every start.
    /// Without these bytes, a cache key does not reveal its text.
    pub key_file: Option<PathBuf>,
}

/// Which scores of rerankers are cached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub enum CachedScores {
    /// Those of all pairs of query and document.
    Pairs,
    /// None.
    Off,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            max_bytes: Size::from_mib(256),
            ttl: TimeSpan::from_secs(30 * 24 * 60 * 60),
            scope: Scope::Shared,
            rerank: CachedScores::Pairs,
            key_file: None,
        }
    }
}

impl Config {
    /// Validates the section's values; the key file is read at the start of `serve`.
    pub fn validate(&self) -> Validation {
        let key_file = self.key_file.as_deref();
        Validation::new().require("ttl", !self.ttl.is_zero(), "must be longer than 0s").require(
            "key_file",
            key_file.is_none_or(|path| !path.as_os_str().is_empty()),
            "must not be empty",
        )
    }
}
