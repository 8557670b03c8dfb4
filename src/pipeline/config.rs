//! `[admission]`: how much is taken in.

use serde::{Deserialize, Serialize};

use crate::{check::Checks, units::Size};

/// `[admission]`: how much is taken in before further callers are sent to another replica.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Config {
    /// The most requests in flight, at least 1. Further ones are refused with `UNAVAILABLE`.
    pub max_in_flight: u32,

    /// The most bytes of requests in flight, at least `server.max_request_bytes`. It bounds the memory that
    /// waiting texts take: each counts 512 bytes beside its own.
    pub max_bytes: Size,
}

impl Default for Config {
    fn default() -> Self {
        Self { max_in_flight: 1024, max_bytes: Size::from_mib(256) }
    }
}

impl Config {
    /// Checks the section's values.
    pub fn validate(&self) -> Checks {
        Checks::new().require("max_in_flight", self.max_in_flight >= 1, "must be at least 1")
    }
}
