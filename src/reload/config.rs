//! `[reload]`: reloads of changed files.

use serde::{Deserialize, Serialize};

use crate::{check::Validation, units::TimeSpan};

/// `[reload]`: reloads of changed files.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Config {
    /// The interval at which changed files are reloaded: TLS certificates, API keys, tokens and JWKS of callers, and the
    /// `[callers]` table and `telemetry.log_filter` of the `--config` file; 100ms to 30s. SIGHUP reloads them at once.
    /// An invalid file changes nothing.
    pub interval: TimeSpan,
}

impl Default for Config {
    fn default() -> Self {
        Self { interval: TimeSpan::from_secs(10) }
    }
}

impl Config {
    /// Validates the section's values.
    pub fn validate(&self) -> Validation {
        Validation::new().within(
            "interval",
            self.interval,
            TimeSpan::from_millis(100)..=TimeSpan::from_secs(30),
        )
    }
}
