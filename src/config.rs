//! The configuration: a tree of the rooms' sections.
//!
//! Later sources take precedence: defaults, the TOML file, the environment (`VOYAGE_GATEWAY__SECTION__KEY`), `--set
//! section.key=value`. All problems are reported at once, with key and origin, and never with a value, which may be a
//! secret. The tree contains no API key ([`api_keys`]).

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
    dispatch, file,
    grpc::{self, auth::AuthMode},
    model, pipeline,
    reload::{self, Live},
    telemetry::{self, LogLevels, Metrics},
    tokens, transport, upstream,
};
use tree::Tree;

/// The variable that names the file without `--config`.
const FILE_VARIABLE: &str = "VOYAGE_GATEWAY_CONFIG";

/// The sources of a configuration.
#[derive(Clone, Default)]
pub struct Sources {
    /// The TOML file of `--config`; `None`: that of `VOYAGE_GATEWAY_CONFIG`, if set and not empty.
    pub file: Option<PathBuf>,
    /// The process's environment.
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

/// Shows no variables and no values of `--set`, which may be secrets.
impl fmt::Debug for Sources {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sources").field("file", &self.file).finish_non_exhaustive()
    }
}

/// The configuration of all rooms.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Config {
    /// The gRPC port, and limits of a request.
    pub server: transport::Config,
    /// TLS on the gRPC port.
    pub tls: transport::TlsConfig,
    /// Authentication of callers.
    pub auth: grpc::auth::Config,
    /// Permissions and quotas of callers. `[callers."NAME"]` has the name of the caller's credential, or `anonymous`
    /// without authentication. `[callers.default]` applies to other callers, and to keys that a caller's own table does
    /// not set. A key that neither sets is not limited. Replicas divide the quotas by `limits.replicas`; each counts in
    /// memory, from its start. The table is reloaded when the `--config` file changes.
    pub callers: caller::Config,
    /// Limits of the requests in flight.
    pub admission: pipeline::Config,
    /// The cache of embeddings.
    pub cache: cache::Config,
    /// Batching of inputs into upstream calls.
    pub batch: dispatch::Config,
    /// Voyage's rate limits of this account, and token budgets.
    pub limits: dispatch::LimitsConfig,
    /// Retries of failed upstream calls.
    pub retry: dispatch::RetryConfig,
    /// The circuit breaker of the upstream.
    pub breaker: dispatch::BreakerConfig,
    /// Models that the gateway does not know, or knows otherwise (`ModelService/ListModels`), and aliases. Changes
    /// apply at the next start. A model that is not listed works too: its name is sent to Voyage.
    pub models: model::Config,
    /// Token counts before Voyage reports them.
    pub tokens: tokens::Config,
    /// The API that computes the embeddings.
    pub upstream: upstream::Config,
    /// Reloads of changed files.
    pub reload: reload::Config,
    /// The admin port, for operators and probes.
    pub admin: admin::Config,
    /// The log, and the export of traces and metrics.
    pub telemetry: telemetry::TelemetryConfig,
    /// Shutdown.
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
    load_content(sources, sources.file().map(|file| file::read(&file)))
}

/// As [`load`], with the content of the TOML file.
fn load_content(
    sources: &Sources,
    content: Option<Result<Vec<u8>, String>>,
) -> Result<Config, Problems> {
    let mut tree = Tree::gather(sources, content);
    let config: Config = tree.read();
    for (section, violation) in config.violations() {
        tree.report(section, &violation);
    }
    tree.finish().map(|()| config)
}

/// Returns the callers' rules of `config`, reloaded from `sources` when the file changes.
///
/// A reload loads the whole configuration, which must be valid. It applies `[callers]`, and `telemetry.log_filter` to
/// `log`. Other sections apply at the next start.
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
    let reload = move |contents: &[Vec<u8>]| {
        let content = contents.first().cloned().map(Ok);
        let config = load_content(&sources, content).map_err(|problems| problems.to_string())?;
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
    /// Returns the configuration as TOML, which loads as an equal one.
    #[expect(
        clippy::expect_used,
        reason = "TOML has all types of the sections; paths are valid text"
    )]
    pub fn to_toml(&self) -> String {
        toml::to_string(self).expect("a configuration is TOML")
    }

    /// Returns whether callers' credentials cross a network in plaintext.
    pub fn exposes_credentials(&self) -> bool {
        self.auth.mode.is_some_and(|mode| mode != AuthMode::None)
            && !self.tls.is_on()
            && !self.server.listen.ip().to_canonical().is_loopback()
    }

    /// Returns all violations with their sections; the section is empty for requirements between sections.
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
            ("models", self.models.validate()),
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

    /// Validates requirements between sections.
    fn validate(&self) -> Validation {
        self.check_aliases(self.check_rpcs())
            .require_together(
                &["admission.max_bytes", "server.max_request_bytes"],
                self.admission.max_bytes >= self.server.max_request_bytes,
                "must be at least server.max_request_bytes, or the largest requests are never admitted",
            )
            .require_together(
                &["auth.mode", "server.listen"],
                self.auth.mode.is_some() || self.server.listen.ip().to_canonical().is_loopback(),
                "must be set, because server.listen is not a loopback address; \
                 \"none\" lets every client call",
            )
            .require_together(
                &["auth.mode", "tls.client_ca"],
                self.auth.mode != Some(AuthMode::Mtls) || self.tls.client_ca.is_some(),
                "\"mtls\" requires tls.client_ca, the CA of the client certificates",
            )
            .require(
                "auth.jwt.jwks_url",
                self.auth.jwt.jwks_url.as_deref().is_none_or(upstream::may_fetch),
                "must be an https URL with a host and without user info or fragment; http only on loopback",
            )
    }

    /// Validates that other sections have models' own names: an alias would never match there.
    fn check_aliases(&self, validation: Validation) -> Validation {
        let sections = [
            ("limits.models", self.limits.models.keys().collect::<Vec<_>>()),
            ("tokens.models", self.tokens.models.keys().collect()),
        ];
        let tables = sections.into_iter().flat_map(|(section, names)| {
            names.into_iter().map(move |name| (format!("{section}.{}", quoted(name)), name))
        });
        let rules = self.callers.0.iter().flat_map(|(caller, rule)| {
            let key = format!("callers.{}.models", quoted(caller));
            rule.models.iter().flatten().map(move |name| (key.clone(), name))
        });
        tables.chain(rules).fold(validation, |validation, (key, name)| {
            let requirement = "must have the model's own name, not an alias of [models.aliases]";
            validation.require(&key, !self.models.is_alias(name), requirement)
        })
    }

    /// Validates that the RPCs in callers' rules exist.
    fn check_rpcs(&self) -> Validation {
        let known = grpc::rpc_names();
        let requirement = format!(
            "must hold names of RPCs only: {}",
            known.iter().map(String::as_str).collect::<Vec<_>>().join(", ")
        );
        self.callers.0.iter().fold(Validation::new(), |validation, (name, rule)| {
            let all_known = rule.rpcs.iter().flatten().all(|rpc| known.contains(rpc));
            validation.require(&format!("callers.{}.rpcs", quoted(name)), all_known, &requirement)
        })
    }
}

#[cfg(test)]
mod tests;
