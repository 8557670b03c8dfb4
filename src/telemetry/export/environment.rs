//! The `OTEL_*` variables of OpenTelemetry's specification.
//!
//! The gateway interprets those that [`OtelEnvironment`] has. The SDK and the OTLP exporter read the others from the
//! process's environment and ignore invalid values in silence, so those are checked here. An invalid variable costs one
//! warning with its name and never its value, and the default applies. `docs/telemetry.md` lists every variable.

mod reader;

use std::{path::PathBuf, time::Duration};

use http::{HeaderName, HeaderValue, Uri};
use opentelemetry::KeyValue;
use opentelemetry_sdk::trace::Sampler;

pub use reader::InvalidVariable;

use crate::telemetry::OtlpProtocol;
use reader::{VariableReader, pairs};

/// A variable that a library reads, its valid values, and whether a value is valid.
type Check = (&'static str, &'static str, fn(&str) -> bool);

const CHECKS: [Check; 7] = [
    ("OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT", "a whole number", is_count),
    ("OTEL_SPAN_EVENT_COUNT_LIMIT", "a whole number", is_count),
    ("OTEL_SPAN_LINK_COUNT_LIMIT", "a whole number", is_count),
    ("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip or none", is_compression),
    ("OTEL_EXPORTER_OTLP_TRACES_COMPRESSION", "gzip or none", is_compression),
    ("OTEL_EXPORTER_OTLP_METRICS_COMPRESSION", "gzip or none", is_compression),
    (
        "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE",
        "cumulative, delta or lowmemory",
        |name| {
            ["cumulative", "delta", "lowmemory"].iter().any(|one| one.eq_ignore_ascii_case(name))
        },
    ),
];

fn is_count(count: &str) -> bool {
    count.parse::<u32>().is_ok()
}

fn is_compression(name: &str) -> bool {
    ["gzip", "none"].iter().any(|one| one.eq_ignore_ascii_case(name))
}

/// The default number of spans in the queue of the exporter.
const QUEUE_SIZE: usize = 2048;

/// The default number of spans in an export.
const BATCH_SIZE: usize = 512;

/// The values of the `OTEL_*` variables; `None` and empty: not set.
#[derive(Clone, Debug, Default)]
pub struct OtelEnvironment {
    pub(super) disabled: bool,
    /// Resource attributes; the last of a name wins.
    pub(super) attributes: Vec<KeyValue>,
    /// Whether a caller's `traceparent` is used.
    pub(super) propagates: Option<bool>,
    pub(super) sampler: Option<Sampler>,
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
        let mut reader = VariableReader::new(&get);
        for (variable, expected, is_valid) in CHECKS {
            reader.parsed(&[variable], expected, |value| is_valid(value).then_some(()));
        }
        Self {
            disabled: reader.flag(&["OTEL_SDK_DISABLED"]).unwrap_or_default(),
            attributes: attributes(&mut reader),
            propagates: propagates(&mut reader),
            sampler: sampler(&mut reader),
            traces: signal(&mut reader, "TRACES", "OTEL_BSP_EXPORT_TIMEOUT"),
            metrics: signal(&mut reader, "METRICS", "OTEL_METRIC_EXPORT_TIMEOUT"),
            batching: batching(&mut reader),
            interval: reader.millis(&["OTEL_METRIC_EXPORT_INTERVAL"]),
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

fn attributes(reader: &mut VariableReader<'_>) -> Vec<KeyValue> {
    const EXPECTED: &str = "key=value pairs with commas between, percent-encoded";
    let attributes = reader.parsed(&["OTEL_RESOURCE_ATTRIBUTES"], EXPECTED, pairs);
    let name = reader.text("OTEL_SERVICE_NAME").map(|name| ("service.name".to_owned(), name));
    let all = attributes.unwrap_or_default().into_iter().chain(name);
    all.map(|(key, value)| KeyValue::new(key, value)).collect()
}

/// Returns whether `traceparent` is used. `baggage` is known and has no effect.
fn propagates(reader: &mut VariableReader<'_>) -> Option<bool> {
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

/// Returns the sampler. The SDK's own reading takes an invalid ratio for 0 or 1.
fn sampler(reader: &mut VariableReader<'_>) -> Option<Sampler> {
    const NAMES: &str = "always_on, always_off, traceidratio, or these with parentbased_ before";
    let ratio = reader.parsed(&["OTEL_TRACES_SAMPLER_ARG"], "a number from 0 to 1", |ratio| {
        ratio.parse().ok().filter(|ratio| (0.0..=1.0).contains(ratio))
    });
    reader.parsed(&["OTEL_TRACES_SAMPLER"], NAMES, |name| {
        let root = match name.strip_prefix("parentbased_").unwrap_or(name) {
            "always_on" => Sampler::AlwaysOn,
            "always_off" => Sampler::AlwaysOff,
            "traceidratio" => Sampler::TraceIdRatioBased(ratio.unwrap_or(1.0)),
            _ => return None,
        };
        let is_parent_based = name.starts_with("parentbased_");
        Some(if is_parent_based { Sampler::ParentBased(Box::new(root)) } else { root })
    })
}

fn batching(reader: &mut VariableReader<'_>) -> Batching {
    let queue_size = reader.number("OTEL_BSP_MAX_QUEUE_SIZE").unwrap_or(QUEUE_SIZE);
    let batch_size = reader.number("OTEL_BSP_MAX_EXPORT_BATCH_SIZE").unwrap_or(BATCH_SIZE);
    Batching {
        queue_size,
        batch_size: batch_size.min(queue_size),
        delay: reader.millis(&["OTEL_BSP_SCHEDULE_DELAY"]),
    }
}

/// The values for traces, or for metrics.
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

/// Reads the variables of a signal, `TRACES` or `METRICS`: its own form of each, or else the general one.
fn signal(reader: &mut VariableReader<'_>, signal: &str, max_timeout: &str) -> SignalEnvironment {
    const ENDPOINT: &str = "an http or https URL without user info";
    const HEADERS: &str = "name=value pairs with commas between, percent-encoded";
    let forms = |what: &str| {
        [format!("OTEL_EXPORTER_OTLP_{signal}_{what}"), format!("OTEL_EXPORTER_OTLP_{what}")]
    };
    let path = |reader: &mut VariableReader<'_>, what: &str| {
        forms(what).iter().find_map(|variable| reader.text(variable)).map(PathBuf::from)
    };
    let [own, general] = forms("ENDPOINT");
    let own = reader.parsed(&[own], ENDPOINT, endpoint);
    SignalEnvironment {
        exporters: exporters(reader, signal),
        endpoint_is_own: own.is_some(),
        endpoint: own.or_else(|| reader.parsed(&[general], ENDPOINT, endpoint)),
        protocol: reader.parsed(&forms("PROTOCOL"), "grpc or http/protobuf", protocol),
        header_names: reader.parsed(&forms("HEADERS"), HEADERS, header_names).unwrap_or_default(),
        timeout: reader.millis(&forms("TIMEOUT")),
        max_timeout: reader.millis(&[max_timeout]),
        insecure: reader.flag(&forms("INSECURE")).unwrap_or_default(),
        certificate: path(reader, "CERTIFICATE"),
        client_certificate: path(reader, "CLIENT_CERTIFICATE"),
        client_key: path(reader, "CLIENT_KEY"),
    }
}

fn exporters(reader: &mut VariableReader<'_>, signal: &str) -> Option<Exporters> {
    // Prometheus always reads the admin port: naming it changes nothing.
    let (prometheus, expected) = if signal == "METRICS" {
        ("prometheus", "otlp, console, prometheus or none")
    } else {
        ("none", "otlp, console or none")
    };
    reader.parsed(&[format!("OTEL_{signal}_EXPORTER")], expected, |names| {
        let mut exporters = Exporters::default();
        for name in names.to_ascii_lowercase().split(',').map(str::trim) {
            match name {
                "otlp" => exporters.otlp = true,
                "console" => exporters.console = true,
                "none" | "" => {}
                name if name == prometheus => {}
                _ => return None,
            }
        }
        Some(exporters)
    })
}

fn protocol(name: &str) -> Option<OtlpProtocol> {
    let mut known = [OtlpProtocol::Grpc, OtlpProtocol::HttpProtobuf].into_iter();
    known.find(|protocol| protocol.as_str().eq_ignore_ascii_case(name))
}

/// Parses a collector's address. It may lack the scheme (`collector:4317`).
fn endpoint(text: &str) -> Option<Uri> {
    let uri: Uri = text.parse().ok()?;
    let authority = uri.authority()?;
    let is_known = matches!(uri.scheme_str(), None | Some("http" | "https"));
    // `Uri` accepts a port that is none.
    let has_port = authority.as_str().rsplit_once(':').is_none_or(|(_, port)| port.ends_with(']'))
        || authority.port_u16().is_some();
    let is_clean = !authority.as_str().contains('@') && !authority.host().is_empty() && has_port;
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
