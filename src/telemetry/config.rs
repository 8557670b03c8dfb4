//! `[telemetry]`: what the log says, and where traces and metrics go.

use std::path::PathBuf;

use http::Uri;
use serde::{Deserialize, Serialize};
use tracing_subscriber::{EnvFilter, filter::LevelFilter};

use crate::{check::Checks, units::Span};

/// `[telemetry]`: what the gateway tells about itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct TelemetryConfig {
    /// How log lines look: `json`, `pretty`, or `auto`, which is pretty on a terminal and json otherwise.
    pub log_format: LogFormat,

    /// Which log lines are written: a level (`error`, `warn`, `info`, `debug`, `trace`) or levels per module,
    /// `info,voyage_gateway::dispatch=debug`. Taken over when the `--config` file changes, and at once on SIGHUP.
    pub log_filter: String,

    /// Where traces and metrics are sent over OTLP: the URL of an OpenTelemetry collector, such as
    /// `http://collector:4317`. Unset: nowhere, unless the `OTEL_` variables say so; docs/telemetry.md has them all.
    /// A key that is set here wins over the variables for the same.
    pub otlp_endpoint: Option<String>,

    /// What is spoken there: `grpc` or `http/protobuf`. Unset: `grpc` where the port is 4317, otherwise
    /// `http/protobuf`.
    pub otlp_protocol: Option<OtlpProtocol>,

    /// A file of headers for the collector, such as its credential: a line `name: value` each, and comments behind
    /// `#`. Read at the start.
    pub otlp_headers_file: Option<PathBuf>,

    /// A PEM file with the only authorities that may have certified the collector. Unset: those of the system.
    pub otlp_ca_file: Option<PathBuf>,

    /// A PEM file with the client certificate that is shown to the collector. With `otlp_key_file`.
    pub otlp_cert_file: Option<PathBuf>,

    /// A PEM file with the private key of `otlp_cert_file`, not encrypted.
    pub otlp_key_file: Option<PathBuf>,

    /// Whether what is sent is compressed: `gzip` or `none`. Unset: `none`.
    pub otlp_compression: Option<OtlpCompression>,

    /// How long one export may take with all its repeats, 1ms to 10m, before it is given up. Unset: 10s.
    pub otlp_timeout: Option<Span>,

    /// How often metrics are sent, 1s to 1d. Unset: every minute.
    pub otlp_metrics_interval: Option<Span>,

    /// The share of traces that is recorded when the caller did not decide, 0 to 1. Unset: all.
    pub sample_ratio: Option<f64>,

    /// Whether calls to Voyage carry a `traceparent`. It says nothing but the ids of the batch's own trace, never of the
    /// callers'.
    pub propagate_to_voyage: bool,
}

/// What is spoken with an OpenTelemetry collector.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub enum OtlpProtocol {
    /// OTLP/gRPC.
    #[serde(rename = "grpc")]
    Grpc,
    /// OTLP/HTTP with protobuf.
    #[serde(rename = "http/protobuf")]
    HttpProtobuf,
}

impl OtlpProtocol {
    /// Returns its name, as OpenTelemetry has it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Grpc => "grpc",
            Self::HttpProtobuf => "http/protobuf",
        }
    }
}

/// How what is sent to a collector is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub enum OtlpCompression {
    /// By gzip.
    Gzip,
    /// Not at all.
    None,
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
        Self {
            log_format: LogFormat::Auto,
            log_filter: "info".to_owned(),
            otlp_endpoint: None,
            otlp_protocol: None,
            otlp_headers_file: None,
            otlp_ca_file: None,
            otlp_cert_file: None,
            otlp_key_file: None,
            otlp_compression: None,
            otlp_timeout: None,
            otlp_metrics_interval: None,
            sample_ratio: None,
            propagate_to_voyage: false,
        }
    }
}

/// Tells whether a filter is what the key's documentation says. `tracing` takes any word as the name of a module, so that
/// a level with a slip in it would silence all the others.
fn is_filter(filter: &str) -> bool {
    filter.split(',').all(|directive| {
        let level = directive.rsplit_once('=').map_or(directive, |(_, level)| level);
        let level = level.trim();
        !level.is_empty() && level.parse::<LevelFilter>().is_ok()
    }) && EnvFilter::builder().parse(filter).is_ok()
}

/// Tells whether a URL can be a collector's. User info would be a credential in the configuration.
fn is_endpoint(url: &str) -> bool {
    url.parse::<Uri>().is_ok_and(|uri| {
        matches!(uri.scheme_str(), Some("http" | "https"))
            && uri.query().is_none()
            // `Uri` forgets it.
            && !url.contains('#')
            && uri.host().is_some_and(|host| !host.is_empty())
            && uri.authority().is_some_and(|authority| !authority.as_str().contains('@'))
    })
}

impl TelemetryConfig {
    /// Checks the section's values.
    pub fn validate(&self) -> Checks {
        let within = |span: Option<Span>, least: Span, most: Span| {
            span.is_none_or(|span| (least..=most).contains(&span))
        };
        Checks::new()
            .require(
                "log_filter",
                is_filter(&self.log_filter),
                "must be a level or levels per module, such as \"info,voyage_gateway::dispatch=debug\"",
            )
            .require(
                "otlp_endpoint",
                self.otlp_endpoint.as_deref().is_none_or(is_endpoint),
                "must be an http or https URL with a host and without user info, query or fragment",
            )
            .require_together(
                &["otlp_key_file", "otlp_cert_file"],
                self.otlp_cert_file.is_some() == self.otlp_key_file.is_some(),
                "must be set together with telemetry.otlp_cert_file, or neither",
            )
            .require(
                "otlp_timeout",
                within(self.otlp_timeout, Span::from_millis(1), Span::from_secs(600)),
                "must be 1ms to 10m",
            )
            .require(
                "otlp_metrics_interval",
                within(self.otlp_metrics_interval, Span::from_secs(1), Span::from_secs(86_400)),
                "must be 1s to 1d",
            )
            .require(
                "sample_ratio",
                self.sample_ratio.is_none_or(|ratio| (0.0..=1.0).contains(&ratio)),
                "must be 0 to 1",
            )
    }
}
