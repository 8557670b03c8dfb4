//! The current values of all metrics, as `/metrics` shows them.

use std::collections::{BTreeMap, HashMap};

use prometheus::{
    Registry,
    proto::{self, MetricFamily, MetricType},
};

use super::catalogue::{self, Metric};

/// All metrics. A metric without a series is `None`: nothing was counted, or nothing is observed.
#[derive(Debug, Default)]
pub struct Families(HashMap<String, MetricFamily>);

/// One series of a metric.
#[derive(Clone, Copy, Debug)]
pub struct Series<'a> {
    series: &'a proto::Metric,
    /// The value; of a histogram 0.
    pub value: f64,
}

impl<'a> Series<'a> {
    /// Returns a label's value; empty if the series does not have the label.
    pub fn label(&self, name: &str) -> &'a str {
        let mut labels = self.series.get_label().iter();
        labels.find(|label| label.name() == name).map_or("", |label| label.value())
    }
}

impl Families {
    /// Reads a registry.
    pub fn of(registry: &Registry) -> Self {
        let families = gather(registry).into_iter();
        Self(families.map(|family| (family.name().to_owned(), family)).collect())
    }

    /// Returns the sum of all series.
    pub fn sum(&self, metric: &Metric) -> Option<f64> {
        self.0
            .contains_key(&metric.prometheus())
            .then(|| self.series(metric).map(|series| series.value).sum())
    }

    /// Returns the sums by the value of a label.
    pub fn by(&self, metric: &Metric, label: &str) -> BTreeMap<String, f64> {
        self.by_if(metric, label, |_| true)
    }

    /// Returns the sums by the value of a label, of some of the series.
    pub fn by_if(
        &self,
        metric: &Metric,
        label: &str,
        is_counted: impl Fn(&Series<'_>) -> bool,
    ) -> BTreeMap<String, f64> {
        let mut values = BTreeMap::<String, f64>::new();
        for series in self.series(metric).filter(is_counted) {
            *values.entry(series.label(label).to_owned()).or_default() += series.value;
        }
        values
    }

    /// Returns the sum of the series with this value of a label; `None`: there are none.
    pub fn get(&self, metric: &Metric, label: &str, value: &str) -> Option<f64> {
        let series = self.series(metric).filter(|series| series.label(label) == value);
        series.map(|series| series.value).reduce(|sum, value| sum + value)
    }

    /// Returns all series.
    pub fn series(&self, metric: &Metric) -> impl Iterator<Item = Series<'_>> {
        self.0.get(&metric.prometheus()).into_iter().flat_map(|family| {
            let series = family.get_metric().iter();
            series.map(|series| Series { series, value: value(family, series) })
        })
    }

    /// Returns the sum of a histogram's series.
    pub fn histogram(&self, metric: &Metric) -> Option<Buckets> {
        let family = self.0.get(&metric.prometheus())?;
        let mut sum = Buckets::default();
        for series in family.get_metric() {
            sum.add(&Buckets::of(series));
        }
        Some(sum)
    }
}

/// Reads a registry, and gives metrics of the process the names that dashboards expect.
pub(super) fn gather(registry: &Registry) -> Vec<MetricFamily> {
    let mut families = registry.gather();
    for (derived, well_known) in catalogue::well_known_names() {
        if let Some(family) = families.iter_mut().find(|family| family.name() == derived) {
            family.set_name(well_known.to_owned());
        }
    }
    families.sort_by(|one, other| one.name().cmp(other.name()));
    families
}

fn value(family: &MetricFamily, series: &proto::Metric) -> f64 {
    match family.get_field_type() {
        MetricType::COUNTER => series.get_counter().get_value(),
        MetricType::GAUGE => series.get_gauge().get_value(),
        _ => 0.0,
    }
}

/// The buckets of a histogram.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Buckets {
    /// Finite upper bounds with cumulative counts.
    bounds: Vec<(f64, f64)>,
    /// The number of values.
    pub count: f64,
    /// The sum of the values.
    pub sum: f64,
}

impl Buckets {
    #[expect(clippy::cast_precision_loss, reason = "counts stay below 2^53")]
    fn of(series: &proto::Metric) -> Self {
        let histogram = series.get_histogram();
        let buckets = histogram.get_bucket().iter();
        let finite = buckets.filter(|bucket| bucket.upper_bound().is_finite());
        Self {
            bounds: finite
                .map(|bucket| (bucket.upper_bound(), bucket.cumulative_count() as f64))
                .collect(),
            count: histogram.get_sample_count() as f64,
            sum: histogram.get_sample_sum(),
        }
    }

    /// Adds a histogram with the same bounds.
    fn add(&mut self, other: &Self) {
        if self.bounds.is_empty() {
            self.bounds.clone_from(&other.bounds);
        } else {
            for ((_, count), (_, more)) in self.bounds.iter_mut().zip(&other.bounds) {
                *count += more;
            }
        }
        self.count += other.count;
        self.sum += other.sum;
    }

    /// Returns the difference to an earlier state.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        let mut since = self.clone();
        for ((_, count), (_, less)) in since.bounds.iter_mut().zip(&earlier.bounds) {
            *count -= less;
        }
        since.count -= earlier.count;
        since.sum -= earlier.sum;
        since
    }

    /// Estimates a quantile as Prometheus does: by linear interpolation within a bucket; beyond the last bound, the last
    /// bound. `None` without values.
    pub fn quantile(&self, share: f64) -> Option<f64> {
        if self.count <= 0.0 {
            return None;
        }
        let rank = share * self.count;
        let (mut lower, mut before) = (0.0, 0.0);
        for (upper, count) in &self.bounds {
            if *count >= rank && *count > before {
                return Some(lower + (upper - lower) * (rank - before) / (count - before));
            }
            (lower, before) = (*upper, *count);
        }
        self.bounds.last().map(|(bound, _)| *bound)
    }

    /// Returns the mean. `None` without values.
    pub fn mean(&self) -> Option<f64> {
        (self.count > 0.0).then(|| self.sum / self.count)
    }
}
