//! `[batch]`: how texts of many callers share upstream calls.

use serde::{Deserialize, Serialize};

use crate::check::Checks;

/// `[batch]`: how texts of many callers share upstream calls.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Config {
    /// The most inputs in one upstream call, 1 to 1000; Voyage takes no more. 1 turns batching off.
    pub max_inputs: u32,

    /// The most upstream calls at the same time, 1 to 1024. Raise it when calls wait although the rate limits
    /// have room.
    pub max_in_flight: u32,
}

impl Default for Config {
    fn default() -> Self {
        Self { max_inputs: 1000, max_in_flight: 8 }
    }
}

impl Config {
    /// Checks the section's values.
    pub fn validate(&self) -> Checks {
        Checks::new().within("max_inputs", self.max_inputs, 1..=1000).within(
            "max_in_flight",
            self.max_in_flight,
            1..=1024,
        )
    }
}
