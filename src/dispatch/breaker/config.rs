//! `[breaker]`.

use serde::{Deserialize, Serialize};

use crate::{check::Validation, units::TimeSpan};

/// `[breaker]`: the circuit breaker of the upstream.
///
/// While it is open, cached embeddings are still served; other requests fail with `UNAVAILABLE`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Config {
    /// The failed calls of a hundred that open the breaker, 1 to 100. Server errors, timeouts and broken
    /// connections are failures; refusals and rate limits are not.
    pub failure_percent: u32,

    /// The calls that must have ended within `window` before the breaker opens, at least 1.
    pub min_calls: u32,

    /// The period in which calls are counted.
    pub window: TimeSpan,

    /// The time without calls after the breaker opens; then a single call probes the upstream. Each failed probe doubles
    /// the time.
    pub open_for: TimeSpan,

    /// The longest such time, at least `open_for`.
    pub max_open: TimeSpan,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            failure_percent: 50,
            min_calls: 20,
            window: TimeSpan::from_secs(10),
            open_for: TimeSpan::from_secs(5),
            max_open: TimeSpan::from_secs(60),
        }
    }
}

impl Config {
    /// Validates the section's values.
    pub fn validate(&self) -> Validation {
        let longer_than_nothing = "must be longer than 0s";
        Validation::new()
            .within("failure_percent", self.failure_percent, 1..=100)
            .require("min_calls", self.min_calls >= 1, "must be at least 1")
            .require("window", !self.window.is_zero(), longer_than_nothing)
            .require("open_for", !self.open_for.is_zero(), longer_than_nothing)
            .require_together(
                &["max_open", "open_for"],
                self.max_open >= self.open_for,
                "must not be shorter than breaker.open_for",
            )
    }
}
