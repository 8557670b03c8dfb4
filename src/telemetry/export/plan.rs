//! What is sent where: the configuration and the `OTEL_` variables as one.
//!
//! A key of the configuration that is set wins over the variables for the same thing; they hold wherever it is not.

use std::{path::Path, time::Duration};

use http::{HeaderMap, HeaderName, HeaderValue, Uri, uri};

use super::{ExportError, Limits, QUEUE, otlp::Tls};
use crate::{
    file,
    telemetry::{
        OtelEnvironment, OtlpCompression, OtlpProtocol, TelemetryConfig,
        otel_environment::{Exporters, SignalEnvironment},
        trace::Sampling,
    },
};

/// The port that is OTLP/gRPC's.
const GRPC_PORT: u16 = 4317;

/// Spans in one export, unless there is a variable for it.
const BATCH: usize = 512;

/// Headers that go to a collector with each export.
const MAX_HEADERS: usize = 64;

/// How long spans wait for company, and how long they do where a person looks on.
const DELAY: (Duration, Duration) = (Duration::from_secs(5), Duration::from_millis(200));

const TIMEOUT: Duration = Duration::from_secs(10);
const INTERVAL: Duration = Duration::from_mins(1);

/// What is sent where.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) traces: Signal,
    pub(super) metrics: Signal,
    pub(super) queue: usize,
    pub(super) batch: usize,
    pub(super) delay: Duration,
    pub(super) interval: Duration,
    pub(super) limits: Limits,
    pub(super) sampler: Sampling,
    pub(super) propagates: bool,
}

/// Where one signal goes.
#[derive(Debug, Default)]
pub(super) struct Signal {
    pub(super) console: bool,
    pub(super) otlp: Option<Target>,
}

impl Signal {
    pub(super) fn is_on(&self) -> bool {
        self.console || self.otlp.is_some()
    }
}

/// A collector, for one signal.
#[derive(Clone, Debug)]
pub(super) struct Target {
    /// Over HTTP with the signal's path.
    pub(super) uri: Uri,
    pub(super) protocol: OtlpProtocol,
    pub(super) headers: HeaderMap,
    /// For one export with its repeats.
    pub(super) timeout: Duration,
    pub(super) gzip: bool,
    pub(super) tls: Tls,
}

impl Plan {
    pub(super) fn new(
        config: &TelemetryConfig,
        environment: &OtelEnvironment,
    ) -> Result<Self, ExportError> {
        let from_files = FromFiles::read(config)?;
        let signal = |own: &SignalEnvironment, path, most: Option<Duration>| {
            if environment.disabled {
                return Ok(Signal::default());
            }
            Merge { config, from_files: &from_files, own, path }.signal(most)
        };
        let traces = signal(&environment.traces, "/v1/traces", environment.batching.timeout)?;
        let metrics = signal(&environment.metrics, "/v1/metrics", environment.interval_timeout)?;
        let batching = environment.batching;
        let queue = batching.queue.unwrap_or(QUEUE);
        let delay = if traces.console { DELAY.1 } else { DELAY.0 };
        let ratio = config.sample_ratio.map(|ratio| Sampling { parent_based: true, ratio });
        Ok(Self {
            queue,
            batch: batching.batch.unwrap_or(BATCH).min(queue),
            delay: batching.delay.unwrap_or(delay),
            interval: config
                .otlp_metrics_interval
                .map(crate::units::Span::get)
                .or(environment.interval)
                .unwrap_or(INTERVAL),
            limits: environment.limits,
            sampler: ratio.or(environment.sampler).unwrap_or(Sampling::parent_based(1.0)),
            propagates: environment.propagates.unwrap_or(true),
            traces,
            metrics,
        })
    }
}

/// What the files say that the configuration names.
#[derive(Default)]
struct FromFiles {
    headers: Option<HeaderMap>,
    tls: Tls,
}

impl FromFiles {
    fn read(config: &TelemetryConfig) -> Result<Self, ExportError> {
        let mut this = Self::default();
        if let Some(path) = &config.otlp_headers_file {
            let named = at("telemetry.otlp_headers_file", path);
            let text = file::read(path).map_err(&named)?;
            this.headers = Some(headers(&text).map_err(&named)?);
        }
        if let Some(path) = &config.otlp_ca_file {
            let named = at("telemetry.otlp_ca_file", path);
            this.tls.believe(file::read(path).map_err(&named)?).map_err(&named)?;
        }
        if let (Some(path), Some(key)) = (&config.otlp_cert_file, &config.otlp_key_file) {
            let named = at("telemetry.otlp_cert_file", path);
            let certificate = file::read(path).map_err(&named)?;
            let key = file::read(key).map_err(at("telemetry.otlp_key_file", key))?;
            this.tls.show(certificate, key).map_err(&named)?;
        }
        Ok(this)
    }
}

/// Says which setting names a file that cannot be used.
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

/// One signal's part of both.
struct Merge<'a> {
    config: &'a TelemetryConfig,
    from_files: &'a FromFiles,
    own: &'a SignalEnvironment,
    /// The signal's path over HTTP.
    path: &'static str,
}

impl Merge<'_> {
    fn signal(&self, most: Option<Duration>) -> Result<Signal, ExportError> {
        let named = self.config.otlp_endpoint.is_some() || self.own.endpoint.is_some();
        let unsaid = Exporters { otlp: named, console: false };
        let exporters = self.own.exporters.unwrap_or(unsaid);
        let otlp = exporters.otlp.then(|| self.target(most)).transpose()?;
        Ok(Signal { console: exporters.console, otlp })
    }

    fn target(&self, most: Option<Duration>) -> Result<Target, ExportError> {
        let (config, own) = (self.config, self.own);
        // It was checked with the configuration.
        let configured = config.otlp_endpoint.as_deref().and_then(|url| url.parse::<Uri>().ok());
        let (named, exact) = match (configured, &own.endpoint) {
            (Some(uri), _) => (Some(uri), false),
            (None, Some(endpoint)) => (Some(endpoint.uri.clone()), endpoint.exact),
            (None, None) => (None, false),
        };
        let port = named.as_ref().and_then(Uri::port_u16);
        let protocol = config.otlp_protocol.or(own.protocol).unwrap_or(match port {
            Some(GRPC_PORT) => OtlpProtocol::Grpc,
            _ => OtlpProtocol::HttpProtobuf,
        });
        let uri = match (named, protocol) {
            (Some(uri), _) => uri,
            (None, OtlpProtocol::Grpc) => Uri::from_static("http://localhost:4317"),
            (None, OtlpProtocol::HttpProtobuf) => Uri::from_static("http://localhost:4318"),
        };
        let path = (protocol == OtlpProtocol::HttpProtobuf && !exact).then_some(self.path);
        let uri = whole(uri, path, own.insecure).ok_or(ExportError::Endpoint)?;
        let timeout = config.otlp_timeout.map(crate::units::Span::get).or(own.timeout);
        let timeout = timeout.unwrap_or(TIMEOUT);
        Ok(Target {
            uri,
            protocol,
            headers: self.from_files.headers.clone().unwrap_or_else(|| own.headers.clone()),
            timeout: most.map_or(timeout, |most| timeout.min(most)),
            gzip: config.otlp_compression.or(own.compression) == Some(OtlpCompression::Gzip),
            tls: self.tls(),
        })
    }

    /// Certificates of the configuration win; those of the variables hold for what it leaves out.
    fn tls(&self) -> Tls {
        let mut tls = self.from_files.tls.clone();
        let own = self.own;
        if let (None, Some(path)) = (&self.config.otlp_ca_file, &own.certificate) {
            let believed = file::read(path).and_then(|pem| tls.believe(pem));
            warned("OTEL_EXPORTER_OTLP_CERTIFICATE", believed);
        }
        if self.config.otlp_cert_file.is_none() {
            match (&own.client_certificate, &own.client_key) {
                (Some(certificate), Some(key)) => {
                    let shown = file::read(certificate)
                        .and_then(|certificate| tls.show(certificate, file::read(key)?));
                    warned("OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE", shown);
                }
                (None, None) => {}
                _ => warned(
                    "OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE",
                    Err("a client certificate needs its key, and the key its certificate"
                        .to_owned()),
                ),
            }
        }
        tls
    }
}

/// Logs that the files which a variable (or its form for the signal) names are of no use.
fn warned(variable: &str, used: Result<(), String>) {
    if let Err(problem) = used {
        tracing::warn!(variable, problem, "an OTEL_ variable is ignored: its file is of no use");
    }
}

/// Returns a URL with a scheme, and behind its own path the signal's.
fn whole(uri: Uri, path: Option<&str>, insecure: bool) -> Option<Uri> {
    let mut parts = uri.into_parts();
    parts.scheme.get_or_insert(if insecure { uri::Scheme::HTTP } else { uri::Scheme::HTTPS });
    let own = parts.path_and_query.as_ref().map_or("/", uri::PathAndQuery::as_str);
    let joined = match path {
        Some(path) => format!("{}{path}", own.trim_end_matches('/')),
        None => own.to_owned(),
    };
    parts.path_and_query = Some(joined.parse().ok()?);
    Uri::from_parts(parts).ok()
}
