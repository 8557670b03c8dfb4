//! The variables of one signal. Most have a form for the signal, which wins, and a general form.

use std::{path::PathBuf, time::Duration};

use http::{HeaderName, HeaderValue, Uri};

use super::reader::{Reader, pairs};
use crate::telemetry::config::OtlpProtocol;

/// What the variables set for traces, or for metrics.
#[derive(Clone, Debug, Default)]
pub(in crate::telemetry::export) struct SignalEnvironment {
    pub(in crate::telemetry::export) exporters: Option<Exporters>,
    pub(in crate::telemetry::export) endpoint: Option<Uri>,
    /// Whether the endpoint is the signal's own: then HTTP uses its path as it is.
    pub(in crate::telemetry::export) endpoint_is_own: bool,
    pub(in crate::telemetry::export) protocol: Option<OtlpProtocol>,
    /// The exporter reads the headers itself.
    pub(in crate::telemetry::export) header_names: Vec<String>,
    pub(in crate::telemetry::export) timeout: Option<Duration>,
    /// The bound that the SDK's variable sets to any timeout.
    pub(in crate::telemetry::export) max_timeout: Option<Duration>,
    pub(in crate::telemetry::export) insecure: bool,
    pub(in crate::telemetry::export) certificate: Option<PathBuf>,
    pub(in crate::telemetry::export) client_certificate: Option<PathBuf>,
    pub(in crate::telemetry::export) client_key: Option<PathBuf>,
}

/// The exporters that a variable names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::telemetry::export) struct Exporters {
    pub(in crate::telemetry::export) otlp: bool,
    pub(in crate::telemetry::export) console: bool,
}

/// Reads the variables of a signal, `TRACES` or `METRICS`, and `max_timeout`.
pub(super) fn read(
    reader: &mut Reader<'_>,
    signal: &'static str,
    max_timeout: &str,
) -> SignalEnvironment {
    const ENDPOINT: &str = "an http or https URL without user info";
    let max_timeout = reader.millis(max_timeout);
    let mut signal = Signal { reader, name: signal };
    let own = signal.own("ENDPOINT");
    let own = signal.reader.parsed(&own, ENDPOINT, endpoint);
    signal.check();
    SignalEnvironment {
        exporters: signal.exporters(),
        endpoint_is_own: own.is_some(),
        endpoint: own
            .or_else(|| signal.reader.parsed("OTEL_EXPORTER_OTLP_ENDPOINT", ENDPOINT, endpoint)),
        protocol: signal.parsed("PROTOCOL", "grpc or http/protobuf", protocol),
        header_names: signal.header_names(),
        timeout: signal.either("TIMEOUT", Reader::millis),
        max_timeout,
        insecure: signal.either("INSECURE", Reader::flag).unwrap_or_default(),
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
    /// Returns the name of the signal's own form of a variable.
    fn own(&self, what: &str) -> String {
        format!("OTEL_EXPORTER_OTLP_{}_{what}", self.name)
    }

    /// Reads the signal's own form, or else the general one.
    fn either<T>(
        &mut self,
        what: &str,
        mut read: impl FnMut(&mut Reader<'b>, &str) -> Option<T>,
    ) -> Option<T> {
        let own = self.own(what);
        read(self.reader, &own).or_else(|| read(self.reader, &format!("OTEL_EXPORTER_OTLP_{what}")))
    }

    fn parsed<T>(
        &mut self,
        what: &str,
        expected: &'static str,
        parse: fn(&str) -> Option<T>,
    ) -> Option<T> {
        self.either(what, |reader, variable| reader.parsed(variable, expected, parse))
    }

    fn path(&mut self, what: &str) -> Option<PathBuf> {
        self.either(what, |reader, variable| reader.text(variable)).map(PathBuf::from)
    }

    fn exporters(&mut self) -> Option<Exporters> {
        let variable = format!("OTEL_{}_EXPORTER", self.name);
        // Prometheus always reads the admin port: naming it changes nothing.
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

    fn header_names(&mut self) -> Vec<String> {
        const EXPECTED: &str = "name=value pairs with commas between, percent-encoded";
        self.parsed("HEADERS", EXPECTED, header_names).unwrap_or_default()
    }

    /// Checks the variables that only the exporter reads.
    fn check(&mut self) {
        self.parsed("COMPRESSION", "gzip or none", |name| one_of(name, &["gzip", "none"]));
        if self.name == "METRICS" {
            let name = self.own("TEMPORALITY_PREFERENCE");
            self.reader.parsed(&name, "cumulative, delta or lowmemory", |name| {
                one_of(name, &["cumulative", "delta", "lowmemory"])
            });
        }
    }
}

fn one_of(name: &str, known: &[&str]) -> Option<()> {
    known.iter().any(|known| known.eq_ignore_ascii_case(name)).then_some(())
}

fn protocol(name: &str) -> Option<OtlpProtocol> {
    match name.to_ascii_lowercase().as_str() {
        "grpc" => Some(OtlpProtocol::Grpc),
        "http/protobuf" => Some(OtlpProtocol::HttpProtobuf),
        _ => None,
    }
}

/// Parses a collector's address. It may lack the scheme (`collector:4317`).
fn endpoint(text: &str) -> Option<Uri> {
    let uri: Uri = text.parse().ok()?;
    let authority = uri.authority()?;
    let is_known = matches!(uri.scheme_str(), None | Some("http" | "https"));
    let is_clean = !authority.as_str().contains('@') && !authority.host().is_empty();
    (is_known && is_clean).then_some(uri)
}

/// Returns the names of headers; `None` when a header is invalid.
fn header_names(text: &str) -> Option<Vec<String>> {
    let names = pairs(text)?.into_iter().map(|(name, value)| {
        value.parse::<HeaderValue>().ok()?;
        Some(name.parse::<HeaderName>().ok()?.to_string())
    });
    names.collect()
}
