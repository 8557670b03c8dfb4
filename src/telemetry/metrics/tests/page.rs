//! `docs/metrics.md` is written from the catalogue.

use std::{env, fmt::Write as _, fs};

use super::*;
use crate::telemetry::metrics::catalogue::MetricKind;

const PATH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/metrics.md");

const HEAD: &str = "\
# Metrics

The admin port serves these metrics at `/metrics` in Prometheus' text format. Their names there are the OpenTelemetry names
with underscores instead of dots, the unit, and `_total` for counters; labels follow the same rule. Metrics of the process
have the names that Prometheus' client libraries use. The exporter adds `target_info`, which names the service.

Counters whose labels have known values start at 0, so that `rate()` and alerts see the first event. Series with labels
that depend on callers, and histograms, start with their first event.

No client can create series without limit: each label has a closed list of values, or a bounded number of them. `?` marks
optional labels.

This page is generated from the catalogue in the source (`cargo test metrics_page_is_up_to_date`).
";

fn unit(metric: &Metric) -> String {
    if metric.unit.is_empty() { "–".to_owned() } else { format!("`{}`", metric.unit) }
}

fn labels(metric: &Metric) -> String {
    let label = |label: &catalogue::Label| {
        let mark = if label.required { "" } else { "?" };
        let values = match label.values {
            Values::Closed(values) => {
                values.iter().map(|value| format!("`{value}`")).collect::<Vec<_>>().join(" ")
            }
            Values::Bounded(how, _) => how.to_owned(),
        };
        format!("`{}`{mark}: {values}", label.name.replace('.', "_"))
    };
    if metric.labels.is_empty() {
        return "–".to_owned();
    }
    metric.labels.iter().map(label).collect::<Vec<_>>().join("; ")
}

fn kind(kind: MetricKind) -> &'static str {
    match kind {
        MetricKind::Counter => "counter",
        MetricKind::UpDownCounter => "gauge (an up-down counter to OpenTelemetry)",
        MetricKind::Gauge => "gauge",
        MetricKind::Histogram => "histogram",
    }
}

fn render() -> String {
    let mut text = HEAD.to_owned();
    for metric in catalogue::all() {
        let Metric { name, description, purpose, .. } = metric;
        let prometheus = metric.prometheus();
        write!(text, "\n## `{prometheus}`\n\n{description} {purpose}\n\n").unwrap();
        writeln!(text, "- {}, unit {}, `{name}`", kind(metric.kind), unit(metric)).unwrap();
        writeln!(text, "- labels: {}", labels(metric)).unwrap();
        if !metric.buckets.is_empty() {
            let bounds: Vec<_> = metric.buckets.iter().map(f64::to_string).collect();
            writeln!(text, "- buckets: {}", bounds.join(" ")).unwrap();
        }
    }
    text
}

#[test]
fn metrics_page_is_up_to_date() {
    let expected = render();
    if fs::read_to_string(PATH).unwrap_or_default() == expected {
        return;
    }
    if env::var_os("CI").is_none() {
        fs::write(PATH, expected).unwrap();
        panic!("docs/metrics.md was out of date and is now rewritten: review and commit it");
    }
    panic!(
        "docs/metrics.md is out of date: run `cargo test metrics_page_is_up_to_date` and commit it"
    );
}
