//! `[admin]`: the operators' port.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

/// `[admin]`: the port operators and probes use.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Config {
    /// The IP address and port of the status page (`/`, as JSON `/status`), `/metrics`, `/livez`, `/readyz` and gRPC
    /// health, in plaintext and without credentials. All of it is read-only; in Kubernetes use `0.0.0.0:9090`. The
    /// status page shows the names of callers, models and key aliases.
    pub listen: SocketAddr,
}

impl Default for Config {
    fn default() -> Self {
        Self { listen: SocketAddr::from(([127, 0, 0, 1], 9090)) }
    }
}
