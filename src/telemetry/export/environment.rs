//! The `OTEL_*` variables of OpenTelemetry's specification.
//!
//! The gateway interprets those that [`OtelEnvironment`] has. The SDK and the OTLP exporter read the others from the
//! process's environment and ignore invalid values in silence, so those are checked here. An invalid variable costs one
//! warning with its name and never its value, and the default applies. `docs/telemetry.md` lists every variable.

mod reader;

use std::{path::PathBuf, time::Duration};

use http::{HeaderName, HeaderValue, Uri};
use opentelemetry::KeyValue;

pub use reader::InvalidVariable;

use crate::telemetry::OtlpProtocol;
use reader::{Reader, pairs};

/// The default number of spans in the queue of the exporter.
const QUEUE_SIZE: usize = 2048;

/// The default number of spans in an export.
const BATCH_SIZE: usize = 512;

/// What the `OTEL_*` variables set; `None` and empty: nothing.
#[derive(Clone, Debug, Default)]
pub struct OtelEnvironment {
    pub(super) disabled: bool,
    /// Resource attributes; the last of a name wins.
    pub(super) attributes: Vec<KeyValue>,
    /// Whether a caller's `traceparent` is used.
    pub(super) propagates: Option<bool>,
    pub(super) traces: SignalEnvironment,
    pub(super) metrics: SignalEnvironment,
    pub(super) batching: Batching,
    /// The interval between two exports of metrics.
    pub(super) interval: Option<Duration>,
    invalid: Vec<InvalidVariable>,
}

/// How spans become batches.
#[derive(Clone, Copy, Debug)]
pub(super) struct Batching {
    pub(super) queue_size: usize,
    pub(super) batch_size: usize,
    /// The longest that a span waits for a full batch.
    pub(super) delay: Option<Duration>,
}

impl Default for Batching {
    fn default() -> Self {
        Self { queue_size: QUEUE_SIZE, batch_size: BATCH_SIZE, delay: None }
    }
}

impl OtelEnvironment {
    /// Reads the variables through `get`.
    pub fn read(get: impl Fn(&str) -> Option<String>) -> Self {
        let mut reader = Reader::new(&get);
        let traces = signal(&mut reader, "TRACES", "OTEL_BSP_EXPORT_TIMEOUT");
        let metrics = signal(&mut reader, "METRICS", "OTEL_METRIC_EXPORT_TIMEOUT");
        check_tracer(&mut reader);
        Self {
            disabled: reader.flag("OTEL_SDK_DISABLED").unwrap_or_default(),
            attributes: attributes(&mut reader),
            propagates: propagates(&mut reader),
            traces,
            metrics,
            batching: batching(&mut reader),
            interval: reader.millis("OTEL_METRIC_EXPORT_INTERVAL"),
            invalid: reader.invalid(),
        }
    }

    /// Returns the invalid variables, each once.
    pub fn invalid(&self) -> &[InvalidVariable] {
        &self.invalid
    }

    /// Logs each invalid variable.
    pub fn warn(&self) {
        for InvalidVariable { variable, expected } in &self.invalid {
            tracing::warn!(variable, expected, "invalid OTEL_ variable; the default applies");
        }
    }
}

fn attributes(reader: &mut Reader<'_>) -> Vec<KeyValue> {
    const EXPECTED: &str = "key=value pairs with commas between, percent-encoded";
    let attributes = reader.parsed("OTEL_RESOURCE_ATTRIBUTES", EXPECTED, pairs).unwrap_or_default();
    let name = reader.text("OTEL_SERVICE_NAME").map(|name| ("service.name".to_owned(), name));
    attributes.into_iter().chain(name).map(|(key, value)| KeyValue::new(key, value)).collect()
}

/// Returns whether `traceparent` is used. `baggage` is known and has no effect.
fn propagates(reader: &mut Reader<'_>) -> Option<bool> {
    const EXPECTED: &str = "tracecontext, baggage or none; others are not supported";
    let names = reader.text("OTEL_PROPAGATORS")?.to_ascii_lowercase();
    let names: Vec<&str> =
        names.split(',').map(str::trim).filter(|name| !name.is_empty()).collect();
    let tracecontext = names.contains(&"tracecontext");
    if !names.iter().all(|name| matches!(*name, "tracecontext" | "baggage" | "none")) {
        reader.reject("OTEL_PROPAGATORS", EXPECTED);
        return tracecontext.then_some(true);
    }
    Some(tracecontext)
}

fn batching(reader: &mut Reader<'_>) -> Batching {
    let queue_size = reader.number("OTEL_BSP_MAX_QUEUE_SIZE").unwrap_or(QUEUE_SIZE);
    let batch_size = reader.number("OTEL_BSP_MAX_EXPORT_BATCH_SIZE").unwrap_or(BATCH_SIZE);
    Batching {
        queue_size,
        batch_size: batch_size.min(queue_size),
        delay: reader.millis("OTEL_BSP_SCHEDULE_DELAY"),
    }
}

/// Checks the variables that the SDK's tracer reads.
fn check_tracer(reader: &mut Reader<'_>) {
    const SAMPLER: &str = "always_on, always_off, traceidratio, or these with parentbased_ before";
    reader.check("OTEL_TRACES_SAMPLER", SAMPLER, |name| {
        let name = name.strip_prefix("parentbased_").unwrap_or(name);
        ["always_on", "always_off", "traceidratio"].contains(&name)
    });
    reader.check("OTEL_TRACES_SAMPLER_ARG", "a number from 0 to 1", |ratio| {
        ratio.parse().is_ok_and(|ratio: f64| (0.0..=1.0).contains(&ratio))
    });
    for what in ["ATTRIBUTE", "EVENT", "LINK"] {
        let name = format!("OTEL_SPAN_{what}_COUNT_LIMIT");
        reader.check(&name, "a whole number", |count| count.parse::<u32>().is_ok());
    }
}

/// What the variables set for traces, or for metrics.
#[derive(Clone, Debug, Default)]
pub(super) struct SignalEnvironment {
    pub(super) exporters: Option<Exporters>,
    pub(super) endpoint: Option<Uri>,
    /// Whether the endpoint is the signal's own: then HTTP uses its path as it is.
    pub(super) endpoint_is_own: bool,
    pub(super) protocol: Option<OtlpProtocol>,
    /// The exporter reads the headers itself.
    pub(super) header_names: Vec<String>,
    pub(super) timeout: Option<Duration>,
    /// The bound that the SDK's variable sets to any timeout.
    pub(super) max_timeout: Option<Duration>,
    pub(super) insecure: bool,
    pub(super) certificate: Option<PathBuf>,
    pub(super) client_certificate: Option<PathBuf>,
    pub(super) client_key: Option<PathBuf>,
}

/// The exporters that a variable names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Exporters {
    pub(super) otlp: bool,
    pub(super) console: bool,
}

/// Reads the variables of a signal, `TRACES` or `METRICS`, and `max_timeout`.
fn signal(reader: &mut Reader<'_>, signal: &'static str, max_timeout: &str) -> SignalEnvironment {
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

#[cfg(test)]
mod tests;
