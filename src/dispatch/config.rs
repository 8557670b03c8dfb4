//! `[batch]` and `[retry]`.

use serde::{Deserialize, Serialize};

use crate::{
    check::Validation,
    units::{Size, TimeSpan},
};

/// `[batch]`: how texts of many callers share upstream calls.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Config {
    /// The most inputs in one upstream call, 1 to 1000, the limit of Voyage. 1 turns batching off.
    pub max_inputs: u32,

    /// The longest an input waits for others while calls of its kind are in flight. Without such calls it is sent at
    /// once, and so is a full batch.
    pub max_delay: TimeSpan,

    /// The most upstream calls at the same time, 1 to 1024, over all models. Raise it when calls wait although
    /// the rate limits have room.
    pub max_in_flight: u32,

    /// The most inputs waiting or in flight, at least 1. Further ones are refused with `UNAVAILABLE`.
    pub max_waiting_inputs: u32,

    /// The most bytes of inputs waiting or in flight, 512 beside its own for each. They count until the input is
    /// completed, even if its callers left: it bounds the memory a slow upstream can cost.
    pub max_waiting_bytes: Size,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            max_inputs: 1000,
            max_delay: TimeSpan::from_millis(5),
            max_in_flight: 8,
            max_waiting_inputs: 100_000,
            max_waiting_bytes: Size::from_mib(256),
        }
    }
}

impl Config {
    /// Validates the section's values.
    pub fn validate(&self) -> Validation {
        Validation::new()
            .within("max_inputs", self.max_inputs, 1..=1000)
            .within("max_in_flight", self.max_in_flight, 1..=1024)
            .require("max_waiting_inputs", self.max_waiting_inputs >= 1, "must be at least 1")
    }
}

/// `[retry]`: how often a failed upstream call is repeated.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct RetryConfig {
    /// Attempts in all, 1 to 10; 1 repeats nothing. Repeats are further bounded to a tenth of all calls and one
    /// a second, and none starts when no caller has time left for it.
    pub max_attempts: u32,
}

impl Default for RetryConfig {
    fn default() -> Self {
        Self { max_attempts: 3 }
    }
}

impl RetryConfig {
    /// Validates the section's values.
    pub fn validate(&self) -> Validation {
        Validation::new().within("max_attempts", self.max_attempts, 1..=10)
    }
}
