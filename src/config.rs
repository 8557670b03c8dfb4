//! The configuration of the service: one tree of the stages' own sections.
//!
//! Later sources win: defaults, the TOML file, the environment (`VOYAGE_GATEWAY__SECTION__KEY`), `--set
//! section.key=value`. Every problem is reported at once, by key and origin and never with a value: it may be
//! a secret. No API key is in the tree, only the paths of files ([`api_keys`]).

mod environment;
mod path;
mod read;
mod tree;

use std::{fmt, path::PathBuf, sync::Arc};

use serde::{Deserialize, Serialize};

pub use environment::{Environment, api_keys, otel};

use crate::{
    admin, cache, caller,
    caller::Rules,
    check::{Validation, Violation, quoted},
    dispatch,
    grpc::{self, auth::AuthMode},
    pipeline,
    reload::{self, Live},
    telemetry::{self, LogLevels, Metrics},
    tokens, transport, upstream,
};
use tree::Tree;

/// The variable that names the file when `--config` does not.
const FILE_VARIABLE: &str = "VOYAGE_GATEWAY_CONFIG";

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

impl Sources {
    /// Returns the TOML file, if there is one.
    fn file(&self) -> Option<PathBuf> {
        let named = || {
            let path = self.environment.get(FILE_VARIABLE).filter(|path| !path.is_empty());
            path.map(PathBuf::from)
        };
        self.file.clone().or_else(named)
    }
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
    /// TLS on that port.
    pub tls: transport::TlsConfig,
    /// Who may call.
    pub auth: grpc::auth::Config,
    /// What each caller may do and spend: in `[callers."NAME"]` by the name its credential proves, `anonymous` where
    /// nobody is asked. `[callers.default]` is for everybody else, and for keys that a caller's own table leaves out;
    /// what is set in neither is not limited. Several gateways divide the quotas by `limits.replicas`; each counts in
    /// memory, from its start. This table of the `--config` file is taken over when it changes.
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
    /// The circuit breaker of the upstream.
    pub breaker: dispatch::BreakerConfig,
    /// How tokens are counted before Voyage reports them.
    pub tokens: tokens::Config,
    /// The API that computes the embeddings.
    pub upstream: upstream::Config,
    /// How soon changed files are noticed.
    pub reload: reload::Config,
    /// The port operators and probes use.
    pub admin: admin::Config,
    /// The log, and the export of traces and metrics.
    pub telemetry: telemetry::TelemetryConfig,
    /// How the gateway stops.
    pub drain: transport::Drain,
}

/// The problems of a configuration, one line each. None contains a value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", .0.join("\n"))]
pub struct Problems(pub Vec<String>);

/// Loads the configuration.
///
/// # Errors
///
/// All problems of the sources and their values.
pub fn load(sources: &Sources) -> Result<Config, Problems> {
    let mut tree = Tree::gather(sources);
    let config: Config = tree.read();
    for (section, violation) in config.violations() {
        tree.report(section, &violation);
    }
    tree.finish().map(|()| config)
}

/// Returns the rules of `config`, which `sources` gave; they are reloaded with the `--config` file.
///
/// Each reload loads the whole configuration once, which must be valid. It applies `[callers]` and, to `log`,
/// `telemetry.log_filter`; the other sections apply at the next start.
pub fn live_rules(
    sources: &Sources,
    config: &Config,
    log: Option<LogLevels>,
    metrics: &Metrics,
) -> Arc<Live<Rules>> {
    const WHAT: &str = "config";
    let fixed = || Live::fixed(WHAT, Rules::new(&config.callers), metrics.clone());
    let Some(file) = sources.file() else { return fixed() };
    let sources = sources.clone();
    let reload = move |_: &[Vec<u8>]| {
        let config = load(&sources).map_err(|problems| problems.to_string())?;
        let log = log.iter().try_for_each(|log| log.change(&config.telemetry.log_filter));
        log.map_err(|error| error.to_string())?;
        Ok(Rules::new(&config.callers))
    };
    // This reads the file again: a change since the start of the log is applied at once.
    Live::load(WHAT, vec![file], metrics.clone(), reload).unwrap_or_else(|error| {
        tracing::warn!(%error, "the configuration file will not be reloaded");
        fixed()
    })
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

    /// Tells whether callers' credentials would cross a network unprotected.
    pub fn shows_credentials(&self) -> bool {
        self.auth.mode.is_some_and(|mode| mode != AuthMode::None)
            && !self.tls.is_on()
            && !self.server.listen.ip().to_canonical().is_loopback()
    }

    /// Returns every demand that is not met, with the section it belongs to; "" for those between sections.
    fn violations(&self) -> impl Iterator<Item = (&'static str, Violation)> {
        [
            ("server", self.server.validate()),
            ("tls", self.tls.validate()),
            ("auth", self.auth.validate()),
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
        .flat_map(|(section, validation)| {
            validation.into_iter().map(move |violation| (section, violation))
        })
    }

    /// Validates what sections demand of each other.
    fn validate(&self) -> Validation {
        self.check_rpcs()
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
            .require_together(
                &["auth.mode", "tls.client_ca"],
                self.auth.mode != Some(AuthMode::Mtls) || self.tls.client_ca.is_some(),
                "\"mtls\" needs tls.client_ca, which says whose certificates are believed",
            )
            .require(
                "auth.jwt.jwks_url",
                self.auth.jwt.jwks_url.as_deref().is_none_or(upstream::may_fetch),
                "must be an https URL with a host and without user info or fragment; http only on loopback",
            )
    }

    /// Validates that callers' rules speak of RPCs that there are.
    fn check_rpcs(&self) -> Validation {
        let known = grpc::rpc_names();
        let demand = format!(
            "must hold names of RPCs only: {}",
            known.iter().map(String::as_str).collect::<Vec<_>>().join(", ")
        );
        self.callers.0.iter().fold(Validation::new(), |validation, (name, rule)| {
            let all_known = rule.rpcs.iter().flatten().all(|rpc| known.contains(rpc));
            validation.require(&format!("callers.{}.rpcs", quoted(name)), all_known, &demand)
        })
    }
}

#[cfg(test)]
mod tests;
