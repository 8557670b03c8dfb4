//! The `OTEL_*` variables of OpenTelemetry's specification.
//!
//! The gateway interprets those that [`OtelEnvironment`] has. The SDK and the OTLP exporter read the others from the
//! process's environment and ignore invalid values in silence, so those are checked here. An invalid variable costs one
//! warning with its name and never its value, and the default applies. `docs/telemetry.md` lists every variable.

mod reader;
mod signal;

use std::time::Duration;

use opentelemetry::KeyValue;

pub use reader::InvalidVariable;
pub(super) use signal::{Exporters, SignalEnvironment};

use reader::{Reader, pairs};

/// The default number of spans in the queue of the exporter.
pub(super) const QUEUE_SIZE: usize = 2048;

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
    pub(super) delay: Option<Duration>,
    pub(super) queue_size: Option<usize>,
    pub(super) batch_size: Option<usize>,
    /// The interval between two exports of metrics.
    pub(super) interval: Option<Duration>,
    invalid: Vec<InvalidVariable>,
}

impl OtelEnvironment {
    /// Reads the variables through `get`.
    pub fn read(get: impl Fn(&str) -> Option<String>) -> Self {
        let mut reader = Reader::new(&get);
        let traces = signal::read(&mut reader, "TRACES", "OTEL_BSP_EXPORT_TIMEOUT");
        let metrics = signal::read(&mut reader, "METRICS", "OTEL_METRIC_EXPORT_TIMEOUT");
        let queue_size = reader.number("OTEL_BSP_MAX_QUEUE_SIZE");
        check_tracer(&mut reader);
        Self {
            disabled: reader.flag("OTEL_SDK_DISABLED").unwrap_or_default(),
            attributes: attributes(&mut reader),
            propagates: propagates(&mut reader),
            traces,
            metrics,
            delay: reader.millis("OTEL_BSP_SCHEDULE_DELAY"),
            queue_size,
            batch_size: batch_size(&mut reader, queue_size.unwrap_or(QUEUE_SIZE)),
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

fn batch_size(reader: &mut Reader<'_>, queue_size: usize) -> Option<usize> {
    const NAME: &str = "OTEL_BSP_MAX_EXPORT_BATCH_SIZE";
    let batch_size = reader.number(NAME)?;
    if batch_size > queue_size {
        reader.reject(NAME, "at most OTEL_BSP_MAX_QUEUE_SIZE");
        return None;
    }
    Some(batch_size)
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

#[cfg(test)]
mod tests;
