//! `[auth]`: who may call the gateway.

use serde::{Deserialize, Serialize};

/// `[auth]`: who may call the gateway.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Config {
    /// How callers prove who they are; `none`: anyone who reaches `server.listen` may call and spend.
    /// Unset, the gateway starts on a loopback `server.listen` only: an open one must be asked for.
    pub mode: Option<AuthMode>,
}

/// How callers prove who they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub enum AuthMode {
    /// They need not.
    None,
}
