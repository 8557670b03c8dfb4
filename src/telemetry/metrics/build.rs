//! Makes instruments from entries of the catalogue.

use opentelemetry::metrics::{AsyncInstrument, Counter, Histogram, Meter, UpDownCounter};
use opentelemetry_sdk::metrics::{Instrument, Stream};

use super::catalogue::{self, Metric};

/// Series that the SDK keeps of an instrument when nothing else is said.
const USUAL_SERIES: usize = 2_000;

/// Gives room to the metrics whose labels may legally have more values than is usual.
pub(super) fn bounds(instrument: &Instrument) -> Option<Stream> {
    let metric = catalogue::all().find(|metric| metric.name == instrument.name())?;
    let most = metric.max_series();
    let has_more = metric.buckets.is_empty() && most > USUAL_SERIES;
    has_more.then(|| Stream::builder().with_cardinality_limit(most).build().ok()).flatten()
}

pub(super) fn counter(meter: &Meter, metric: &'static Metric) -> Counter<u64> {
    meter
        .u64_counter(metric.name)
        .with_unit(metric.unit)
        .with_description(metric.description)
        .build()
}

pub(super) fn amount(meter: &Meter, metric: &'static Metric) -> Counter<f64> {
    meter
        .f64_counter(metric.name)
        .with_unit(metric.unit)
        .with_description(metric.description)
        .build()
}

pub(super) fn up_down(meter: &Meter, metric: &'static Metric) -> UpDownCounter<i64> {
    meter
        .i64_up_down_counter(metric.name)
        .with_unit(metric.unit)
        .with_description(metric.description)
        .build()
}

pub(super) fn histogram(meter: &Meter, metric: &'static Metric) -> Histogram<f64> {
    meter
        .f64_histogram(metric.name)
        .with_unit(metric.unit)
        .with_description(metric.description)
        .with_boundaries(metric.buckets.to_vec())
        .build()
}

/// A gauge that is asked for when somebody looks.
pub(super) fn gauge(
    meter: &Meter,
    metric: &'static Metric,
    observe: impl Fn(&dyn AsyncInstrument<u64>) + Send + Sync + 'static,
) {
    meter
        .u64_observable_gauge(metric.name)
        .with_unit(metric.unit)
        .with_description(metric.description)
        .with_callback(observe)
        .build();
}

/// A gauge of fractions that is asked for when somebody looks.
pub(super) fn fraction(
    meter: &Meter,
    metric: &'static Metric,
    observe: impl Fn(&dyn AsyncInstrument<f64>) + Send + Sync + 'static,
) {
    meter
        .f64_observable_gauge(metric.name)
        .with_unit(metric.unit)
        .with_description(metric.description)
        .with_callback(observe)
        .build();
}
