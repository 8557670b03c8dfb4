//! `[reload]`: how soon a changed file is noticed.

use serde::{Deserialize, Serialize};

use crate::{check::Validation, units::TimeSpan};

/// `[reload]`: how soon changed certificates, keys, credentials and rules are noticed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Config {
    /// How often the files are looked at: TLS certificates, the API keys, tokens and JWKS of callers, and of the
    /// `--config` file the `[callers]` table and `telemetry.log_filter`; 100ms to 30s. SIGHUP has them looked at at once.
    /// A changed file that makes no sense changes nothing.
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
