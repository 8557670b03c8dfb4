//! `[admission]`: how much is taken in.

use serde::{Deserialize, Serialize};

use crate::{check::Checks, units::Size};

/// `[admission]`: how much is taken in before further callers are sent to another replica.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Config {
    /// The most requests in flight, at least 1, each until its reply has been taken. Further ones are refused with
    /// `UNAVAILABLE`. Requests of batch priority get four fifths of the room and are refused beyond it, here and in
    /// `max_bytes`, so that callers who wait still find some.
    pub max_in_flight: u32,

    /// The most bytes in flight, at least `server.max_request_bytes`: messages while they arrive, then texts, each
    /// with 512 bytes beside its own, and replies as large as predicted, until they have been taken. A larger
    /// request still gets in when it is alone.
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
