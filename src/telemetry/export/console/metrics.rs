//! Metrics as text: a line a series.

use std::{
    fmt::{Display, Write as _},
    io::{self, Write as _},
};

use opentelemetry::KeyValue;
use opentelemetry_sdk::metrics::data::{
    AggregatedMetrics, MetricData, ResourceMetrics, ScopeMetrics,
};

/// Writes every series to standard output.
pub(in crate::telemetry::export) fn points(metrics: &ResourceMetrics) {
    let mut text = "metrics\n".to_owned();
    for metric in metrics.scope_metrics().flat_map(ScopeMetrics::metrics) {
        let name = match metric.unit() {
            "" => metric.name().to_owned(),
            unit => format!("{} [{unit}]", metric.name()),
        };
        match metric.data() {
            AggregatedMetrics::F64(data) => series(&mut text, &name, data),
            AggregatedMetrics::U64(data) => series(&mut text, &name, data),
            AggregatedMetrics::I64(data) => series(&mut text, &name, data),
        }
    }
    text.push('\n');
    // A closed output leaves nobody to tell.
    let _ = io::stdout().write_all(text.as_bytes());
}

fn series<T: Copy + Display>(text: &mut String, name: &str, data: &MetricData<T>) {
    match data {
        MetricData::Gauge(gauge) => {
            for point in gauge.data_points() {
                let _ = writeln!(text, "  {name}{} {}", labels(point.attributes()), point.value());
            }
        }
        MetricData::Sum(sum) => {
            for point in sum.data_points() {
                let _ = writeln!(text, "  {name}{} {}", labels(point.attributes()), point.value());
            }
        }
        MetricData::Histogram(histogram) => {
            for point in histogram.data_points() {
                let (count, sum) = (point.count(), point.sum());
                let labels = labels(point.attributes());
                let _ = writeln!(text, "  {name}{labels} count {count}, sum {sum}");
            }
        }
        MetricData::ExponentialHistogram(histogram) => {
            for point in histogram.data_points() {
                let (count, sum) = (point.count(), point.sum());
                let labels = labels(point.attributes());
                let _ = writeln!(text, "  {name}{labels} count {count}, sum {sum}");
            }
        }
    }
}

fn labels<'a>(attributes: impl Iterator<Item = &'a KeyValue>) -> String {
    let labels: Vec<_> = attributes
        .map(|KeyValue { key, value, .. }| format!("{key}={}", value.to_string().escape_debug()))
        .collect();
    format!("{{{}}}", labels.join(", "))
}
