//! The export configuration: `[telemetry]` and the `OTEL_` variables merged.
//!
//! A key of the configuration that is set wins over the variables for the same setting.

use std::{path::Path, time::Duration};

use http::{HeaderMap, HeaderName, HeaderValue, Uri, uri};

use super::{
    ExportError,
    environment::{Exporters, OtelEnvironment, SignalEnvironment},
    target::{Target, Tls},
};
use crate::{
    file,
    telemetry::{OtlpProtocol, TelemetryConfig},
};

/// The port of OTLP/gRPC.
const GRPC_PORT: u16 = 4317;

/// The most headers of an export.
const MAX_HEADERS: usize = 64;

const TIMEOUT: Duration = Duration::from_secs(10);
const INTERVAL: Duration = Duration::from_mins(1);

/// Which signals are exported, where to and how.
#[derive(Debug)]
pub(super) struct ExportConfig {
    pub(super) traces: SignalConfig,
    pub(super) metrics: SignalConfig,
    /// The interval between two exports of metrics.
    pub(super) interval: Duration,
}

/// The exporters of one signal.
#[derive(Debug, Default)]
pub(super) struct SignalConfig {
    pub(super) console: bool,
    pub(super) otlp: Option<Target>,
}

impl SignalConfig {
    pub(super) fn is_on(&self) -> bool {
        self.console || self.otlp.is_some()
    }
}

impl ExportConfig {
    pub(super) fn new(
        config: &TelemetryConfig,
        environment: &OtelEnvironment,
    ) -> Result<Self, ExportError> {
        let files = Files::read(config)?;
        let signal = |own: &SignalEnvironment, path| {
            if environment.disabled {
                return Ok(SignalConfig::default());
            }
            Merge { config, files: &files, own, path }.signal()
        };
        let traces = signal(&environment.traces, "/v1/traces")?;
        let metrics = signal(&environment.metrics, "/v1/metrics")?;
        let interval = config.otlp_metrics_interval.map(crate::units::TimeSpan::get);
        Ok(Self {
            interval: interval.or(environment.interval).unwrap_or(INTERVAL),
            traces,
            metrics,
        })
    }
}

/// The content of the files that the configuration names.
#[derive(Default)]
struct Files {
    headers: HeaderMap,
    tls: Tls,
}

impl Files {
    fn read(config: &TelemetryConfig) -> Result<Self, ExportError> {
        let mut this = Self::default();
        if let Some(path) = &config.otlp_headers_file {
            let named = at("telemetry.otlp_headers_file", path);
            let text = file::read(path).map_err(&named)?;
            this.headers = headers(&text).map_err(&named)?;
        }
        if let Some(path) = &config.otlp_ca_file {
            let named = at("telemetry.otlp_ca_file", path);
            this.tls.set_authorities(file::read(path).map_err(&named)?).map_err(&named)?;
        }
        if let (Some(path), Some(key)) = (&config.otlp_cert_file, &config.otlp_key_file) {
            let named = at("telemetry.otlp_cert_file", path);
            let certificate = file::read(path).map_err(&named)?;
            let key = file::read(key).map_err(at("telemetry.otlp_key_file", key))?;
            this.tls.set_identity(certificate, key).map_err(&named)?;
        }
        Ok(this)
    }
}

/// Adds the setting and the path to the problem of a file.
fn at(setting: &'static str, path: &Path) -> impl Fn(String) -> ExportError {
    move |problem| ExportError::File { setting, path: path.to_owned(), problem }
}

/// Reads lines of `name: value`; never quotes one.
fn headers(text: &[u8]) -> Result<HeaderMap, String> {
    const FORM: &str = "expected a header such as `authorization: Bearer TOKEN`";
    let text = std::str::from_utf8(text).map_err(|_| "expected text".to_owned())?;
    let mut headers = HeaderMap::new();
    for (place, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let header = line.split_once(':').and_then(|(name, value)| {
            let name: HeaderName = name.trim().parse().ok()?;
            Some((name, HeaderValue::from_str(value.trim()).ok()?))
        });
        let (name, mut value) = header.ok_or_else(|| format!("line {}: {FORM}", place + 1))?;
        value.set_sensitive(true);
        if headers.len() >= MAX_HEADERS {
            return Err(format!("expected at most {MAX_HEADERS} headers"));
        }
        headers.append(name, value);
    }
    Ok(headers)
}

/// The configuration and the variables of one signal.
struct Merge<'a> {
    config: &'a TelemetryConfig,
    files: &'a Files,
    own: &'a SignalEnvironment,
    /// The signal's path over HTTP.
    path: &'static str,
}

impl Merge<'_> {
    fn signal(&self) -> Result<SignalConfig, ExportError> {
        let has_endpoint = self.config.otlp_endpoint.is_some() || self.own.endpoint.is_some();
        let default = Exporters { otlp: has_endpoint, console: false };
        let exporters = self.own.exporters.unwrap_or(default);
        let otlp = exporters.otlp.then(|| self.target()).transpose()?;
        Ok(SignalConfig { console: exporters.console, otlp })
    }

    fn target(&self) -> Result<Target, ExportError> {
        let (config, own) = (self.config, self.own);
        let mut names = own.header_names.iter();
        if let Some(name) = names.find(|name| self.files.headers.contains_key(name.as_str())) {
            return Err(ExportError::Header { name: name.clone() });
        }
        // It was checked with the configuration.
        let configured = config.otlp_endpoint.as_deref().and_then(|url| url.parse::<Uri>().ok());
        let is_own = configured.is_none() && own.endpoint_is_own;
        let endpoint = configured.or_else(|| own.endpoint.clone());
        let port = endpoint.as_ref().and_then(Uri::port_u16);
        let protocol = config.otlp_protocol.or(own.protocol).unwrap_or(match port {
            Some(GRPC_PORT) => OtlpProtocol::Grpc,
            _ => OtlpProtocol::HttpProtobuf,
        });
        let endpoint = endpoint.unwrap_or(match protocol {
            OtlpProtocol::Grpc => Uri::from_static("http://localhost:4317"),
            OtlpProtocol::HttpProtobuf => Uri::from_static("http://localhost:4318"),
        });
        let path = (protocol == OtlpProtocol::HttpProtobuf && !is_own).then_some(self.path);
        let timeout = config.otlp_timeout.map(crate::units::TimeSpan::get).or(own.timeout);
        let timeout = timeout.unwrap_or(TIMEOUT);
        Ok(Target {
            uri: complete(endpoint, path, own.insecure).ok_or(ExportError::Endpoint)?,
            protocol,
            headers: self.files.headers.clone(),
            timeout: own.max_timeout.map_or(timeout, |most| timeout.min(most)),
            compression: config.otlp_compression,
            tls: self.tls(),
        })
    }

    /// The certificates of the configuration, and those of the variables for which it has none.
    fn tls(&self) -> Tls {
        let mut tls = self.files.tls.clone();
        let own = self.own;
        if let (None, Some(path)) = (&self.config.otlp_ca_file, &own.certificate) {
            let used = file::read(path).and_then(|pem| tls.set_authorities(pem));
            warn_unless_used("OTEL_EXPORTER_OTLP_CERTIFICATE", used);
        }
        if self.config.otlp_cert_file.is_none() {
            let used = match (&own.client_certificate, &own.client_key) {
                (Some(certificate), Some(key)) => file::read(certificate)
                    .and_then(|certificate| tls.set_identity(certificate, file::read(key)?)),
                (None, None) => Ok(()),
                _ => Err("the client certificate and its key are needed together".to_owned()),
            };
            warn_unless_used("OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE", used);
        }
        tls
    }
}

/// Logs that the file of a variable (or of its form for the signal) cannot be used.
fn warn_unless_used(variable: &str, used: Result<(), String>) {
    if let Err(problem) = used {
        tracing::warn!(variable, problem, "the file of an OTEL_ variable cannot be used; ignored");
    }
}

/// Completes an endpoint: a scheme where it has none, and `path` after its own.
fn complete(endpoint: Uri, path: Option<&str>, insecure: bool) -> Option<Uri> {
    let mut parts = endpoint.into_parts();
    parts.scheme.get_or_insert(if insecure { uri::Scheme::HTTP } else { uri::Scheme::HTTPS });
    let own = parts.path_and_query.as_ref().map_or("/", uri::PathAndQuery::as_str);
    let joined = match path {
        Some(path) => format!("{}{path}", own.trim_end_matches('/')),
        None => own.to_owned(),
    };
    parts.path_and_query = Some(joined.parse().ok()?);
    Uri::from_parts(parts).ok()
}
