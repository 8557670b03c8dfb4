//! The metrics' families, read by the names Prometheus knows them by.

use std::collections::{BTreeMap, HashMap};

use prometheus::{
    Registry,
    proto::{Metric, MetricFamily, MetricType},
};

/// Values by one label's.
pub type ByLabel = BTreeMap<String, f64>;

/// Everything the registry holds, by name. What is not there is `None`: nothing was counted yet, or nobody counts it.
#[derive(Debug, Default)]
pub struct Families(HashMap<String, MetricFamily>);

impl Families {
    /// Reads a registry.
    pub fn of(registry: &Registry) -> Self {
        Self(
            registry
                .gather()
                .into_iter()
                .map(|family| (family.name().to_owned(), family))
                .collect(),
        )
    }

    /// Returns the sum of the series that have these labels; of a family without such a series, 0.
    pub fn sum(&self, name: &str, wanted: &[(&str, &str)]) -> Option<f64> {
        let family = self.0.get(name)?;
        Some(matching(family, wanted).map(|series| value(family, series)).sum())
    }

    /// Returns the values by a label, those of equal ones summed.
    pub fn by(&self, name: &str, by: &str) -> ByLabel {
        let mut values = ByLabel::new();
        for (labels, value) in self.series(name) {
            *values.entry(label(labels, by).to_owned()).or_default() += value;
        }
        values
    }

    /// Returns each series with its value.
    pub fn series(&self, name: &str) -> impl Iterator<Item = (&Metric, f64)> {
        let series =
            |family| matching(family, &[]).map(move |series| (series, value(family, series)));
        self.0.get(name).into_iter().flat_map(series)
    }

    /// Returns a histogram, its series added up.
    pub fn histogram(&self, name: &str, wanted: &[(&str, &str)]) -> Option<Buckets> {
        let family = self.0.get(name)?;
        let mut sum = Buckets::default();
        for series in matching(family, wanted) {
            sum.add(&Buckets::of(series));
        }
        Some(sum)
    }
}

fn matching<'a>(
    family: &'a MetricFamily,
    wanted: &'a [(&'a str, &'a str)],
) -> impl Iterator<Item = &'a Metric> {
    let has =
        move |series: &&Metric| wanted.iter().all(|(name, value)| label(series, name) == *value);
    family.get_metric().iter().filter(has)
}

/// Returns a label's value; empty when it has none.
pub fn label<'a>(series: &'a Metric, name: &str) -> &'a str {
    series.get_label().iter().find(|label| label.name() == name).map_or("", |label| label.value())
}

fn value(family: &MetricFamily, series: &Metric) -> f64 {
    match family.get_field_type() {
        MetricType::COUNTER => series.get_counter().get_value(),
        MetricType::GAUGE => series.get_gauge().get_value(),
        _ => 0.0,
    }
}

/// A histogram: how many values were at most each bound, and their sum.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Buckets {
    /// Upper bounds with cumulative counts, without that of infinity.
    bounds: Vec<(f64, f64)>,
    /// Values.
    pub count: f64,
    /// Their sum.
    pub sum: f64,
}

impl Buckets {
    #[expect(clippy::cast_precision_loss, reason = "counts stay below 2^53")]
    fn of(series: &Metric) -> Self {
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

    /// Adds one of equal bounds.
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

    /// Returns what came since it was `earlier`.
    pub fn since(&self, earlier: &Self) -> Self {
        let mut since = self.clone();
        for ((_, count), (_, less)) in since.bounds.iter_mut().zip(&earlier.bounds) {
            *count -= less;
        }
        since.count -= earlier.count;
        since.sum -= earlier.sum;
        since
    }

    /// Estimates a quantile as Prometheus does: straight between a bucket's bounds, and the last bound for what is
    /// beyond it. `None`: there are no values.
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

    /// Returns the mean. `None`: there are no values.
    pub fn mean(&self) -> Option<f64> {
        (self.count > 0.0).then(|| self.sum / self.count)
    }
}
