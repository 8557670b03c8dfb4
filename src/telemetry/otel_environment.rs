//! The `OTEL_*` variables of OpenTelemetry's specification, as far as they mean something here.
//!
//! All are read in this room, from what `main` passed down; the SDK, which would read some by itself, is told
//! everything explicitly. A value that makes no sense costs one warning that names the variable, and the default
//! holds. `docs/telemetry.md` has every variable of the specification.

mod read;
mod signal;

use std::time::Duration;

use opentelemetry::KeyValue;
use opentelemetry_sdk::metrics::Temporality;

pub use read::Problem;
pub(super) use signal::{Exporters, SignalEnvironment};

use super::{export::Limits, trace::Sampling};
use read::Reader;

/// What the `OTEL_*` variables ask for; without them, nothing.
#[derive(Clone, Debug, Default)]
pub struct OtelEnvironment {
    pub(super) disabled: bool,
    pub(super) service_name: Option<String>,
    /// Resource attributes in their order.
    pub(super) attributes: Vec<(String, String)>,
    pub(super) sampler: Option<Sampling>,
    pub(super) propagates: Option<bool>,
    pub(super) traces: SignalEnvironment,
    pub(super) metrics: SignalEnvironment,
    pub(super) batching: Batching,
    /// The time between two exports of metrics.
    pub(super) interval: Option<Duration>,
    /// How long an export of metrics may take.
    pub(super) interval_timeout: Option<Duration>,
    pub(super) temporality: Option<Temporality>,
    pub(super) limits: Limits,
    problems: Vec<Problem>,
}

/// `OTEL_BSP_*`: how spans are gathered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Batching {
    pub(super) delay: Option<Duration>,
    pub(super) timeout: Option<Duration>,
    pub(super) queue: Option<usize>,
    pub(super) batch: Option<usize>,
}

impl OtelEnvironment {
    /// Makes sense of the variables that `get` knows.
    pub fn read(get: impl Fn(&str) -> Option<String>) -> Self {
        let mut reader = Reader::new(&get);
        let traces = signal::read(&mut reader, "TRACES");
        let metrics = signal::read(&mut reader, "METRICS");
        Self {
            disabled: reader.flag("OTEL_SDK_DISABLED").unwrap_or_default(),
            service_name: reader.text("OTEL_SERVICE_NAME"),
            attributes: attributes(&mut reader),
            sampler: sampler(&mut reader),
            propagates: propagates(&mut reader),
            traces,
            metrics,
            batching: batching(&mut reader),
            interval: reader.millis("OTEL_METRIC_EXPORT_INTERVAL"),
            interval_timeout: reader.millis("OTEL_METRIC_EXPORT_TIMEOUT"),
            temporality: temporality(&mut reader),
            limits: limits(&mut reader),
            problems: reader.problems(),
        }
    }

    /// Returns what was wrong with variables, each once.
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }

    /// Returns the resource attributes that they add; the last of a name wins.
    pub(super) fn resource(&self) -> impl Iterator<Item = KeyValue> + use<> {
        let name = self.service_name.clone().map(|name| ("service.name".to_owned(), name));
        let attributes = self.attributes.clone().into_iter().chain(name);
        attributes.map(|(key, value)| KeyValue::new(key, value))
    }

    /// Writes each problem into the log.
    pub fn warn(&self) {
        for Problem { variable, expected } in &self.problems {
            tracing::warn!(variable, expected, "an OTEL_ variable is ignored: it makes no sense");
        }
    }
}

fn attributes(reader: &mut Reader<'_>) -> Vec<(String, String)> {
    const EXPECTED: &str = "key=value pairs with commas between, percent-encoded";
    reader.parsed("OTEL_RESOURCE_ATTRIBUTES", EXPECTED, read::pairs).unwrap_or_default()
}

/// All six standard values; a bad argument is a bad variable of its own, and then everything is recorded.
fn sampler(reader: &mut Reader<'_>) -> Option<Sampling> {
    const NAMES: &str = "always_on, always_off, traceidratio, or these with parentbased_ before";
    let (parent_based, root) = reader.parsed("OTEL_TRACES_SAMPLER", NAMES, |name| {
        let name = name.to_ascii_lowercase();
        let root = name.strip_prefix("parentbased_");
        let known = ["always_on", "always_off", "traceidratio"];
        let place = known.iter().position(|known| *known == root.unwrap_or(&name))?;
        Some((root.is_some(), known[place]))
    })?;
    let ratio = match root {
        "always_on" => 1.0,
        "always_off" => 0.0,
        _ => {
            let ratio = reader.parsed("OTEL_TRACES_SAMPLER_ARG", "a number from 0 to 1", |ratio| {
                ratio.parse().ok().filter(|ratio| (0.0..=1.0).contains(ratio))
            });
            ratio.unwrap_or(1.0)
        }
    };
    Some(Sampling { parent_based, ratio })
}

/// Tells whether `traceparent` is heeded. Baggage is known and carries nothing here.
fn propagates(reader: &mut Reader<'_>) -> Option<bool> {
    const EXPECTED: &str = "tracecontext, baggage or none; others are not spoken here";
    let names = reader.text("OTEL_PROPAGATORS")?.to_ascii_lowercase();
    let names: Vec<&str> =
        names.split(',').map(str::trim).filter(|name| !name.is_empty()).collect();
    if !names.iter().all(|name| matches!(*name, "tracecontext" | "baggage" | "none")) {
        reader.refuse("OTEL_PROPAGATORS", EXPECTED);
        if !names.contains(&"tracecontext") {
            return None;
        }
    }
    Some(names.contains(&"tracecontext"))
}

fn batching(reader: &mut Reader<'_>) -> Batching {
    let queue = reader.number("OTEL_BSP_MAX_QUEUE_SIZE");
    let mut batch = reader.number("OTEL_BSP_MAX_EXPORT_BATCH_SIZE");
    if batch > Some(queue.unwrap_or(super::export::QUEUE)) {
        reader.refuse("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "at most OTEL_BSP_MAX_QUEUE_SIZE");
        batch = None;
    }
    Batching {
        delay: reader.millis("OTEL_BSP_SCHEDULE_DELAY"),
        timeout: reader.millis("OTEL_BSP_EXPORT_TIMEOUT"),
        queue,
        batch,
    }
}

fn temporality(reader: &mut Reader<'_>) -> Option<Temporality> {
    const NAME: &str = "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE";
    reader.parsed(NAME, "cumulative, delta or lowmemory", |name| {
        match name.to_ascii_lowercase().as_str() {
            "cumulative" => Some(Temporality::Cumulative),
            "delta" => Some(Temporality::Delta),
            "lowmemory" => Some(Temporality::LowMemory),
            _ => None,
        }
    })
}

fn limits(reader: &mut Reader<'_>) -> Limits {
    let default = Limits::default();
    let attributes = reader.count("OTEL_ATTRIBUTE_COUNT_LIMIT");
    let length = reader.count("OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT");
    let mut count = |name| reader.count(name);
    Limits {
        attributes: count("OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT")
            .or(attributes)
            .unwrap_or(default.attributes),
        value_length: count("OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT").or(length),
        events: count("OTEL_SPAN_EVENT_COUNT_LIMIT").unwrap_or(default.events),
        links: count("OTEL_SPAN_LINK_COUNT_LIMIT").unwrap_or(default.links),
        event_attributes: count("OTEL_EVENT_ATTRIBUTE_COUNT_LIMIT")
            .or(attributes)
            .unwrap_or(default.event_attributes),
        link_attributes: count("OTEL_LINK_ATTRIBUTE_COUNT_LIMIT")
            .or(attributes)
            .unwrap_or(default.link_attributes),
    }
}

#[cfg(test)]
mod tests;
