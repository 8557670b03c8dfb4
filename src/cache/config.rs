//! `[cache]`: how many answers are remembered, and for how long.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::{
    caller::Scope,
    check::Checks,
    units::{Size, Span},
};

/// `[cache]`: how many answers are remembered, and for how long.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Config {
    /// The memory that cached embeddings may take, keys and overhead included; `0B` turns the cache off.
    /// One 1024-dimensional float embedding takes a little over 4KiB.
    pub max_bytes: Size,

    /// How long an embedding is remembered. Models do not change under a name, so only memory or a duty to
    /// forget argues for less.
    pub ttl: Span,

    /// Whose cached embeddings a caller is given: everybody's (`shared`), or its own only (`per-caller`), so that
    /// nobody learns from the time an answer takes what others ask. `[callers."NAME"]` can say otherwise.
    pub scope: Scope,

    /// A file of at least 32 secret bytes that cache keys are derived from. Unset: random at every start.
    /// Whoever lacks these bytes cannot tell from a cache key which text it stands for.
    pub key_file: Option<PathBuf>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            max_bytes: Size::from_mib(256),
            ttl: Span::from_secs(30 * 24 * 60 * 60),
            scope: Scope::Shared,
            key_file: None,
        }
    }
}

impl Config {
    /// Checks the section's values; the key file is read where it is used.
    pub fn validate(&self) -> Checks {
        let key_file = self.key_file.as_deref();
        Checks::new().require("ttl", !self.ttl.is_zero(), "must be longer than 0s").require(
            "key_file",
            key_file.is_none_or(|path| !path.as_os_str().is_empty()),
            "must not be empty",
        )
    }
}
