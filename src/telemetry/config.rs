//! `[admin]` and `[telemetry]`: the operators' port, and what the log says.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};
use tracing_subscriber::{EnvFilter, filter::LevelFilter};

use crate::check::Checks;

/// `[admin]`: the port operators and probes use.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct AdminConfig {
    /// The IP address and port of the status page (`/`, as JSON `/status`), `/metrics`, `/livez`, `/readyz` and gRPC
    /// health, in plaintext. It only reads, so any address may be given; in Kubernetes `0.0.0.0:9090`. The status page
    /// names callers, models and keys' aliases to whoever reaches the port.
    pub listen: SocketAddr,
}

impl Default for AdminConfig {
    fn default() -> Self {
        Self { listen: SocketAddr::from(([127, 0, 0, 1], 9090)) }
    }
}

/// `[telemetry]`: what the gateway tells about itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct TelemetryConfig {
    /// How log lines look: `json`, `pretty`, or `auto`, which is pretty on a terminal and json otherwise.
    pub log_format: LogFormat,

    /// Which log lines are written: a level (`error`, `warn`, `info`, `debug`, `trace`) or levels per module,
    /// `info,voyage_gateway::dispatch=debug`.
    pub log_filter: String,
}

/// How log lines look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub enum LogFormat {
    /// Pretty on a terminal, json otherwise.
    #[default]
    Auto,
    /// One JSON object a line.
    Json,
    /// For people.
    Pretty,
}

impl Default for TelemetryConfig {
    fn default() -> Self {
        Self { log_format: LogFormat::Auto, log_filter: "info".to_owned() }
    }
}

/// Tells whether a filter is what the key's documentation says. `tracing` takes any word as the name of a module, so that
/// a level with a slip in it would silence all the others.
fn is_filter(filter: &str) -> bool {
    filter.split(',').all(|directive| {
        let level = directive.rsplit_once('=').map_or(directive, |(_, level)| level);
        level.trim().parse::<LevelFilter>().is_ok()
    }) && EnvFilter::builder().parse(filter).is_ok()
}

impl TelemetryConfig {
    /// Checks the section's values.
    pub fn validate(&self) -> Checks {
        Checks::new().require(
            "log_filter",
            is_filter(&self.log_filter),
            "must be a level or levels per module, such as \"info,voyage_gateway::dispatch=debug\"",
        )
    }
}
