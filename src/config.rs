//! The configuration of the service: one tree of the stages' own sections.
//!
//! Later sources win: defaults, the TOML file, the environment (`VOYAGE_GATEWAY__SECTION__KEY`), `--set
//! section.key=value`. Every problem is reported at once, by key and origin and never with a value: it may be
//! a secret. The API key is not in the tree ([`api_key`]).

mod environment;
mod key;
mod path;
mod problem;
mod read;
mod tree;

use std::{fmt, path::PathBuf};

use serde::{Deserialize, Serialize};

pub use environment::Environment;
pub use key::{KeyError, api_key};
pub use problem::{Origin, Problem, Problems};

use crate::{
    cache, caller,
    check::{Checks, Unmet},
    dispatch, grpc, pipeline, reload, telemetry, tokens, transport, upstream,
};
use tree::Tree;

/// Where a configuration comes from.
#[derive(Clone, Default)]
pub struct Sources {
    /// The TOML file of `--config`; `None`: the one that `VOYAGE_GATEWAY_CONFIG` names, if it is set and not
    /// empty.
    pub file: Option<PathBuf>,
    /// The process's environment. Only `main` reads it.
    pub environment: Environment,
    /// The values of `--set`, in order.
    pub set: Vec<String>,
}

/// Shows no variables and no settings: the API key and others' secrets are among them.
impl fmt::Debug for Sources {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sources").field("file", &self.file).finish_non_exhaustive()
    }
}

/// The configuration of every stage.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Config {
    /// The port callers use and what one request may ask for.
    pub server: transport::Config,
    /// Who may call.
    pub auth: grpc::auth::Config,
    /// What each caller may do and spend.
    pub callers: caller::Config,
    /// How much is taken in before further callers are sent to another replica.
    pub admission: pipeline::Config,
    /// How many answers are remembered, and for how long.
    pub cache: cache::Config,
    /// How texts of many callers share upstream calls.
    pub batch: dispatch::Config,
    /// What Voyage lets this account send in a minute.
    pub limits: dispatch::LimitsConfig,
    /// How often a failed upstream call is repeated.
    pub retry: dispatch::RetryConfig,
    /// When a failing upstream is left alone for a while.
    pub breaker: dispatch::BreakerConfig,
    /// How tokens are counted before Voyage reports them.
    pub tokens: tokens::Config,
    /// The API that computes the embeddings.
    pub upstream: upstream::Config,
    /// How soon changed files are noticed.
    pub reload: reload::Config,
    /// The port operators and probes use.
    pub admin: telemetry::AdminConfig,
    /// What the gateway tells about itself.
    pub telemetry: telemetry::TelemetryConfig,
    /// How the gateway stops.
    pub drain: transport::Drain,
}

/// Returns the configuration that `sources` give, or everything that is wrong with them.
pub fn load(sources: &Sources) -> Result<Config, Problems> {
    let mut tree = Tree::gather(sources);
    let config: Config = tree.read();
    for (section, unmet) in config.unmet() {
        tree.judge(section, &unmet);
    }
    tree.finish().map(|()| config)
}

impl Config {
    /// Returns the tree as TOML, which reads back to an equal configuration.
    #[expect(
        clippy::expect_used,
        reason = "sections hold only what TOML can say; paths came from text"
    )]
    pub fn to_toml(&self) -> String {
        toml::to_string(self).expect("a configuration is TOML")
    }

    /// Returns every demand that is not met, with the section it belongs to; "" for those between sections.
    fn unmet(&self) -> impl Iterator<Item = (&'static str, Unmet)> {
        [
            ("server", self.server.validate()),
            ("callers", self.callers.validate()),
            ("admission", self.admission.validate()),
            ("cache", self.cache.validate()),
            ("batch", self.batch.validate()),
            ("limits", self.limits.validate()),
            ("retry", self.retry.validate()),
            ("breaker", self.breaker.validate()),
            ("tokens", self.tokens.validate()),
            ("upstream", self.upstream.validate()),
            ("reload", self.reload.validate()),
            ("telemetry", self.telemetry.validate()),
            ("", self.validate()),
        ]
        .into_iter()
        .flat_map(|(section, checks)| checks.into_iter().map(move |unmet| (section, unmet)))
    }

    /// Checks what sections demand of each other.
    fn validate(&self) -> Checks {
        Checks::new()
            .require_together(
                &["admission.max_bytes", "server.max_request_bytes"],
                self.admission.max_bytes >= self.server.max_request_bytes,
                "must be at least server.max_request_bytes, or the largest requests are never admitted",
            )
            .require_together(
                &["auth.mode", "server.listen"],
                self.auth.mode.is_some() || self.server.listen.ip().to_canonical().is_loopback(),
                "must be set, because server.listen is not a loopback address; \
                 \"none\" lets everyone call who reaches it",
            )
    }
}

#[cfg(test)]
mod tests;
