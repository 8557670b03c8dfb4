//! What the variables say about one signal: each has a form for it, which wins, and a general one.

use std::{path::PathBuf, time::Duration};

use http::{HeaderMap, HeaderName, HeaderValue, Uri};

use super::read::{self, Reader};
use crate::telemetry::config::{OtlpCompression, OtlpProtocol};

/// Headers that go to a collector with each export.
const MAX_HEADERS: usize = 64;

/// What the variables say about traces, or about metrics.
#[derive(Clone, Debug, Default)]
pub(in crate::telemetry) struct SignalEnvironment {
    /// `None`: nothing is said about whether it is exported.
    pub(in crate::telemetry) exporters: Option<Exporters>,
    pub(in crate::telemetry) endpoint: Option<Endpoint>,
    pub(in crate::telemetry) protocol: Option<OtlpProtocol>,
    /// Credentials, perhaps: their values are marked as such.
    pub(in crate::telemetry) headers: HeaderMap,
    pub(in crate::telemetry) timeout: Option<Duration>,
    pub(in crate::telemetry) compression: Option<OtlpCompression>,
    pub(in crate::telemetry) insecure: bool,
    pub(in crate::telemetry) certificate: Option<PathBuf>,
    pub(in crate::telemetry) client_certificate: Option<PathBuf>,
    pub(in crate::telemetry) client_key: Option<PathBuf>,
}

/// Where a signal goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::telemetry) struct Exporters {
    pub(in crate::telemetry) otlp: bool,
    pub(in crate::telemetry) console: bool,
}

/// Where a collector is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::telemetry) struct Endpoint {
    pub(in crate::telemetry) uri: Uri,
    /// Whether it is for this signal alone: then HTTP takes its path as it is.
    pub(in crate::telemetry) exact: bool,
}

/// Reads the variables of a signal: `TRACES` or `METRICS`.
pub(super) fn read(reader: &mut Reader<'_>, signal: &'static str) -> SignalEnvironment {
    let mut signal = Signal { reader, name: signal };
    SignalEnvironment {
        exporters: signal.exporters(),
        endpoint: signal.endpoint(),
        protocol: signal.protocol(),
        headers: signal.headers(),
        timeout: signal.either(Reader::millis, "TIMEOUT"),
        compression: signal.compression(),
        insecure: signal.either(Reader::flag, "INSECURE").unwrap_or_default(),
        certificate: signal.path("CERTIFICATE"),
        client_certificate: signal.path("CLIENT_CERTIFICATE"),
        client_key: signal.path("CLIENT_KEY"),
    }
}

struct Signal<'a, 'b> {
    reader: &'a mut Reader<'b>,
    name: &'static str,
}

impl<'b> Signal<'_, 'b> {
    /// Reads the signal's own form, or else the general one.
    fn either<T>(
        &mut self,
        mut read: impl FnMut(&mut Reader<'b>, &str) -> Option<T>,
        what: &str,
    ) -> Option<T> {
        let own = format!("OTEL_EXPORTER_OTLP_{}_{what}", self.name);
        read(self.reader, &own).or_else(|| read(self.reader, &format!("OTEL_EXPORTER_OTLP_{what}")))
    }

    fn exporters(&mut self) -> Option<Exporters> {
        let variable = format!("OTEL_{}_EXPORTER", self.name);
        // Prometheus reads the admin port, always: to ask for it asks for nothing else.
        let pulls = self.name == "METRICS";
        let expected =
            if pulls { "otlp, console, prometheus or none" } else { "otlp, console or none" };
        self.reader.parsed(&variable, expected, |names| {
            let mut exporters = Exporters::default();
            for name in names.to_ascii_lowercase().split(',').map(str::trim) {
                match name {
                    "otlp" => exporters.otlp = true,
                    "console" => exporters.console = true,
                    "none" | "" => {}
                    "prometheus" if pulls => {}
                    _ => return None,
                }
            }
            Some(exporters)
        })
    }

    fn endpoint(&mut self) -> Option<Endpoint> {
        const EXPECTED: &str = "an http or https URL without user info";
        let own = format!("OTEL_EXPORTER_OTLP_{}_ENDPOINT", self.name);
        let exact = self.reader.parsed(&own, EXPECTED, endpoint);
        let exact = exact.map(|uri| Endpoint { uri, exact: true });
        exact.or_else(|| {
            let uri = self.reader.parsed("OTEL_EXPORTER_OTLP_ENDPOINT", EXPECTED, endpoint);
            uri.map(|uri| Endpoint { uri, exact: false })
        })
    }

    fn protocol(&mut self) -> Option<OtlpProtocol> {
        let read = |reader: &mut Reader<'_>, variable: &str| {
            reader.parsed(variable, "grpc or http/protobuf", |name| {
                match name.to_ascii_lowercase().as_str() {
                    "grpc" => Some(OtlpProtocol::Grpc),
                    "http/protobuf" => Some(OtlpProtocol::HttpProtobuf),
                    _ => None,
                }
            })
        };
        self.either(read, "PROTOCOL")
    }

    fn headers(&mut self) -> HeaderMap {
        const EXPECTED: &str = "name=value pairs with commas between, percent-encoded";
        let read =
            |reader: &mut Reader<'_>, variable: &str| reader.parsed(variable, EXPECTED, headers);
        self.either(read, "HEADERS").unwrap_or_default()
    }

    fn compression(&mut self) -> Option<OtlpCompression> {
        let read = |reader: &mut Reader<'_>, variable: &str| {
            reader.parsed(variable, "gzip or none", |name| {
                match name.to_ascii_lowercase().as_str() {
                    "gzip" => Some(OtlpCompression::Gzip),
                    "none" => Some(OtlpCompression::None),
                    _ => None,
                }
            })
        };
        self.either(read, "COMPRESSION")
    }

    fn path(&mut self, what: &str) -> Option<PathBuf> {
        self.either(|reader, variable| reader.text(variable).map(PathBuf::from), what)
    }
}

/// Reads where a collector is; without a scheme (`collector:4317`), whether that is plaintext is said elsewhere.
fn endpoint(text: &str) -> Option<Uri> {
    let uri: Uri = text.parse().ok()?;
    let authority = uri.authority()?;
    let is_known = matches!(uri.scheme_str(), None | Some("http" | "https"));
    let is_clean = !authority.as_str().contains('@') && !authority.host().is_empty();
    (is_known && is_clean).then_some(uri)
}

fn headers(text: &str) -> Option<HeaderMap> {
    let mut headers = HeaderMap::new();
    for (name, value) in read::pairs(text)? {
        let name: HeaderName = name.parse().ok()?;
        let mut value: HeaderValue = value.parse().ok()?;
        value.set_sensitive(true);
        if headers.len() >= MAX_HEADERS {
            return None;
        }
        headers.append(name, value);
    }
    Some(headers)
}
