//! The catalogue of metrics: the name, unit, labels, description and purpose of each.
//!
//! All instruments are built from these entries, and `docs/metrics.md` is generated from them. Names and labels follow
//! OpenTelemetry's semantic conventions v1.44.0 where those have one; all others begin with `voyage_gateway`.

mod gateway;
mod instrument;
pub mod label;
mod process;
mod spending;
mod upstream;

pub use gateway::*;
pub(super) use instrument::series_limit;
pub use process::*;
pub use spending::*;
pub use upstream::*;

use opentelemetry::KeyValue;

use crate::telemetry::semconv;

/// The type of a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MetricKind {
    /// A sum that only increases.
    Counter,
    /// A sum that increases and decreases; a gauge in Prometheus.
    UpDownCounter,
    /// The current value.
    Gauge,
    /// The distribution of values.
    Histogram,
}

impl MetricKind {
    /// Returns the type that `/metrics` shows.
    pub const fn prometheus_type(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::UpDownCounter | Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

/// The values of a label.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Values {
    /// A closed list.
    Closed(&'static [&'static str]),
    /// A description of the values, and their maximum number.
    Bounded(&'static str, usize),
}

/// A label of a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Label {
    /// The OpenTelemetry name; on `/metrics`, underscores replace dots.
    pub name: &'static str,
    /// The values.
    pub values: Values,
    /// Whether every series has the label.
    pub required: bool,
    /// Whether a listed model has one value of the label, so that only unlisted ones have all.
    by_model: bool,
}

impl Label {
    const fn closed(name: &'static str, values: &'static [&'static str]) -> Self {
        Self { name, values: Values::Closed(values), required: true, by_model: false }
    }

    const fn bounded(name: &'static str, values: &'static str, most: usize) -> Self {
        Self { name, values: Values::Bounded(values, most), required: true, by_model: false }
    }

    const fn by_model(mut self) -> Self {
        self.by_model = true;
        self
    }

    const fn optional(mut self) -> Self {
        self.required = false;
        self
    }
}

/// One metric.
#[derive(Clone, Copy, Debug)]
pub struct Metric {
    /// The OpenTelemetry name of the instrument.
    pub name: &'static str,
    /// The name on `/metrics`, where it is not derived from `name`.
    well_known: Option<&'static str>,
    /// The type.
    pub kind: MetricKind,
    /// The unit in UCUM; may be empty.
    pub unit: &'static str,
    /// The labels.
    pub labels: &'static [Label],
    /// The help text on `/metrics`.
    pub description: &'static str,
    /// How an operator uses the metric.
    pub purpose: &'static str,
    /// Upper bounds of a histogram's buckets.
    pub buckets: &'static [f64],
}

const fn metric(kind: MetricKind, name: &'static str, description: &'static str) -> Metric {
    let (unit, purpose, well_known) = ("", "", None);
    Metric { name, well_known, kind, unit, labels: &[], description, purpose, buckets: &[] }
}

const fn counter(name: &'static str, description: &'static str) -> Metric {
    metric(MetricKind::Counter, name, description)
}

const fn up_down_counter(name: &'static str, description: &'static str) -> Metric {
    metric(MetricKind::UpDownCounter, name, description)
}

const fn gauge(name: &'static str, description: &'static str) -> Metric {
    metric(MetricKind::Gauge, name, description)
}

const fn histogram(
    name: &'static str,
    description: &'static str,
    buckets: &'static [f64],
) -> Metric {
    Metric { buckets, ..metric(MetricKind::Histogram, name, description) }
}

impl Metric {
    const fn unit(mut self, unit: &'static str) -> Self {
        self.unit = unit;
        self
    }

    const fn labels(mut self, labels: &'static [Label]) -> Self {
        self.labels = labels;
        self
    }

    const fn purpose(mut self, purpose: &'static str) -> Self {
        self.purpose = purpose;
        self
    }

    const fn well_known(mut self, name: &'static str) -> Self {
        self.well_known = Some(name);
        self
    }

    /// Returns the name on `/metrics`.
    pub fn prometheus(&self) -> String {
        self.well_known.map_or_else(|| self.exported(), str::to_owned)
    }

    /// Returns the name that the Prometheus exporter derives: underscores, the unit, and `_total` for a counter.
    fn exported(&self) -> String {
        let unit = match self.unit {
            "s" => "_seconds",
            "By" => "_bytes",
            "1" => "_ratio",
            _ => "",
        };
        let total = if self.kind == MetricKind::Counter { "_total" } else { "" };
        format!("{}{unit}{total}", self.name.replace('.', "_"))
    }

    /// Returns the maximum number of series.
    pub fn max_series(&self) -> usize {
        let values = |label: &Label| match label.values {
            Values::Closed(values) => values.len(),
            Values::Bounded(_, most) => most,
        };
        let optional = |label: &Label| values(label) + usize::from(!label.required);
        let all = self.labels.iter().filter(|label| !label.by_model).map(optional).product();
        // Each further value adds the series of the unlisted models.
        let others =
            self.labels.iter().filter(|label| label.by_model).map(|label| values(label) - 1);
        others.fold(all, |all, more| all + more * all.div_ceil(MOST_MODELS))
    }

    /// Returns the labels of every series; nothing if a label has no closed list of values.
    fn closed_series(&self) -> Vec<Vec<KeyValue>> {
        let mut series = vec![Vec::new()];
        for label in self.labels {
            let Values::Closed(values) = label.values else { return Vec::new() };
            let with = |labels: &Vec<KeyValue>, value: &&'static str| {
                [labels.clone(), vec![KeyValue::new(label.name, *value)]].concat()
            };
            series = series
                .iter()
                .flat_map(|labels| values.iter().map(move |value| with(labels, value)))
                .collect();
        }
        series
    }
}

/// Returns the names that `/metrics` shows instead of those that the exporter derives, by the latter.
pub(super) fn well_known_names() -> impl Iterator<Item = (String, &'static str)> {
    all().filter_map(|metric| Some((metric.exported(), metric.well_known?)))
}

/// Bucket bounds in seconds for RPCs and upstream calls: those of the semantic conventions.
const SECONDS: &[f64] =
    &[0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0];

const A_MODEL: &str = "a model of the catalogue, or `_other`";

const MODEL: Label = Label::bounded(label::MODEL, A_MODEL, MOST_MODELS);

/// The listed models and `_other`.
const MOST_MODELS: usize = crate::model::CATALOGUE.len() + 1;

const RPC_METHOD: Label =
    Label::bounded(semconv::RPC_METHOD, "a served RPC as `package.Service/Method`, or `_OTHER`", 9);

/// Returns all metrics.
pub fn all() -> impl Iterator<Item = &'static Metric> {
    [gateway::ALL, spending::ALL, upstream::ALL, process::ALL].into_iter().flatten().copied()
}
