//! `[admission]`: the bounds of work in flight.

use serde::{Deserialize, Serialize};

use crate::{check::Validation, units::Size};

/// `[admission]`: the bounds of work in flight. Requests beyond them are refused, so that another replica serves them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Config {
    /// The most requests in flight, at least 1; each counts until its reply has been sent. Further ones are refused with
    /// `UNAVAILABLE`. Requests of batch priority get four fifths of this bound and of `max_bytes`; the rest is reserved
    /// for interactive requests.
    pub max_in_flight: u32,

    /// The most bytes in flight, at least `server.max_request_bytes`: messages while they arrive, then texts, each
    /// with 512 bytes of overhead, and replies of the predicted size until they have been sent. A larger
    /// request is admitted when it is alone.
    pub max_bytes: Size,
}

impl Default for Config {
    fn default() -> Self {
        Self { max_in_flight: 1024, max_bytes: Size::from_mib(256) }
    }
}

impl Config {
    /// Validates the section's values.
    pub fn validate(&self) -> Validation {
        Validation::new().require("max_in_flight", self.max_in_flight >= 1, "must be at least 1")
    }
}
