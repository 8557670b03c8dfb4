//! `[telemetry]`: the log, and the export of traces and metrics.

use std::path::PathBuf;

use http::Uri;
use serde::{Deserialize, Serialize};
use tracing_subscriber::{EnvFilter, filter::LevelFilter};

use crate::{check::Validation, units::TimeSpan};

/// `[telemetry]`: the log, and the export of traces and metrics.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct TelemetryConfig {
    /// The format of log lines: `json`, `pretty`, or `auto`, which is pretty on a terminal and json otherwise.
    pub log_format: LogFormat,

    /// The log filter: a level (`error`, `warn`, `info`, `debug`, `trace`) or levels per module,
    /// `info,voyage_gateway::dispatch=debug`. Applied when the `--config` file changes, and at once on SIGHUP.
    pub log_filter: String,

    /// The URL of the OpenTelemetry collector for traces and metrics over OTLP, such as `http://collector:4317`.
    /// Unset: the endpoint of the `OTEL_` variables, or no export. A key that is set here wins over the variables for
    /// the same setting; docs/telemetry.md lists them.
    pub otlp_endpoint: Option<String>,

    /// The protocol: `grpc` or `http/protobuf`. Unset: `grpc` for port 4317, otherwise `http/protobuf`.
    pub otlp_protocol: Option<OtlpProtocol>,

    /// A file of headers for the collector, such as its credential: one `name: value` a line, and comments after
    /// `#`. Read at the start.
    pub otlp_headers_file: Option<PathBuf>,

    /// A PEM file with the only trusted authorities of the collector's certificate. Unset: those of the system.
    pub otlp_ca_file: Option<PathBuf>,

    /// A PEM file with the client certificate for the collector. With `otlp_key_file`.
    pub otlp_cert_file: Option<PathBuf>,

    /// A PEM file with the private key of `otlp_cert_file`, not encrypted.
    pub otlp_key_file: Option<PathBuf>,

    /// The compression of exports: `gzip` or `none`. Unset: `none`.
    pub otlp_compression: Option<OtlpCompression>,

    /// The timeout of an export with all its retries, 1ms to 10m. Unset: 10s.
    pub otlp_timeout: Option<TimeSpan>,

    /// The interval between two exports of metrics, 1s to 1d. Unset: 1m.
    pub otlp_metrics_interval: Option<TimeSpan>,

    /// The share of traces that is recorded where the caller did not decide, 0 to 1. Unset: 1.
    pub sample_ratio: Option<f64>,

    /// Whether calls to Voyage carry a `traceparent`. It has the ids of the batch's own trace only, never those of callers.
    pub propagate_to_voyage: bool,
}

/// The protocol of an OpenTelemetry collector.
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
    /// Returns its name in the specification.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Grpc => "grpc",
            Self::HttpProtobuf => "http/protobuf",
        }
    }
}

/// The compression of exports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub enum OtlpCompression {
    /// gzip.
    Gzip,
    /// No compression.
    None,
}

/// The format of log lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub enum LogFormat {
    /// Pretty on a terminal, json otherwise.
    #[default]
    Auto,
    /// One JSON object a line.
    Json,
    /// Plain lines.
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

/// Returns whether a filter has the documented form. `tracing` takes any word as the name of a module, so that a misspelt
/// level would silence all other modules.
fn is_filter(filter: &str) -> bool {
    filter.split(',').all(|directive| {
        let level = directive.rsplit_once('=').map_or(directive, |(_, level)| level);
        let level = level.trim();
        !level.is_empty() && level.parse::<LevelFilter>().is_ok()
    }) && EnvFilter::builder().parse(filter).is_ok()
}

/// Returns whether a URL can be a collector's. User info would be a credential in the configuration.
fn is_endpoint(url: &str) -> bool {
    url.parse::<Uri>().is_ok_and(|uri| {
        matches!(uri.scheme_str(), Some("http" | "https"))
            && uri.query().is_none()
            // `Uri` drops it.
            && !url.contains('#')
            && uri.host().is_some_and(|host| !host.is_empty())
            && uri.authority().is_some_and(|authority| !authority.as_str().contains('@'))
    })
}

impl TelemetryConfig {
    /// Validates the section's values.
    pub fn validate(&self) -> Validation {
        let within = |span: Option<TimeSpan>, least: TimeSpan, most: TimeSpan| {
            span.is_none_or(|span| (least..=most).contains(&span))
        };
        Validation::new()
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
                within(self.otlp_timeout, TimeSpan::from_millis(1), TimeSpan::from_secs(600)),
                "must be 1ms to 10m",
            )
            .require(
                "otlp_metrics_interval",
                within(self.otlp_metrics_interval, TimeSpan::from_secs(1), TimeSpan::from_secs(86_400)),
                "must be 1s to 1d",
            )
            .require(
                "sample_ratio",
                self.sample_ratio.is_none_or(|ratio| (0.0..=1.0).contains(&ratio)),
                "must be 0 to 1",
            )
    }
}
