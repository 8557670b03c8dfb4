//! The counters' past: the last minute for the figures, the last 15 minutes for the plots.

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use tokio::time::Instant;

use super::report::{Count, Point};
use crate::telemetry::{
    Buckets, ByLabel, Families,
    catalogue::{self, Metric, label},
};

/// The time between two samples.
pub(super) const EVERY: Duration = Duration::from_secs(5);

/// The least span of the figures of the last minute.
pub(super) const MINUTE: Duration = Duration::from_mins(1);

/// The span of a plot's point, within half of [`EVERY`].
pub(super) const POINT: Duration = Duration::from_secs(15);

/// The span of the plots.
pub(super) const PLOTTED: Duration = Duration::from_mins(15);

/// Samples that are kept: a minute's, and the one it begins with.
const MAX_SAMPLES: usize = 13;

/// The counters of the page, and the label that tells their values apart; without one all series are summed.
const COUNTERS: &[(&Metric, &str)] = &[
    (&catalogue::RPCS, label::OUTCOME),
    (&catalogue::ERRORS, label::REASON),
    (&catalogue::CALLER_RPCS, label::CALLER),
    (&catalogue::CACHE_LOOKUPS, label::RESULT),
    (&catalogue::UPSTREAM_CALLS, label::STATUS),
    (&catalogue::TOKENS, label::BILLED_TO),
    (&catalogue::MODEL_TOKENS, label::KIND),
    (&catalogue::COST, label::KIND),
    (&catalogue::QUOTA_REFUSALS, label::RULE),
    (&catalogue::RATE_LIMITED, ""),
    (&catalogue::RETRIES, ""),
    (&catalogue::PANICS, ""),
];

/// The histograms of the page.
const HISTOGRAMS: &[&Metric] = &[
    &catalogue::RPC_DURATION,
    &catalogue::UPSTREAM_DURATION,
    &catalogue::BATCH_FILL,
    &catalogue::BATCH_SIZE,
    &catalogue::QUEUE_WAIT,
];

/// What the counters and histograms hold, by the metrics' names.
#[derive(Clone, Debug, Default)]
pub(super) struct Counts {
    counters: BTreeMap<&'static str, ByLabel>,
    histograms: BTreeMap<&'static str, Buckets>,
}

impl Counts {
    pub(super) fn of(families: &Families) -> Self {
        let counters =
            COUNTERS.iter().map(|(metric, label)| (metric.name, families.by(metric, label)));
        let histograms =
            HISTOGRAMS.iter().filter_map(|metric| Some((metric.name, families.histogram(metric)?)));
        Self { counters: counters.collect(), histograms: histograms.collect() }
    }

    /// Returns what was counted since `earlier`.
    fn since(&self, earlier: &Self) -> Self {
        let mut since = self.clone();
        for (name, values) in &mut since.counters {
            for (label, value) in values {
                // A series that was absent has been counted from 0.
                *value -= earlier.counters.get(name).and_then(|by| by.get(label)).unwrap_or(&0.0);
            }
        }
        for (name, values) in &mut since.histograms {
            if let Some(earlier) = earlier.histograms.get(name) {
                *values = values.since(earlier);
            }
        }
        since
    }

    /// Returns a counter's values by its label.
    pub(super) fn by(&self, metric: &Metric) -> impl Iterator<Item = (&str, f64)> {
        let values = self.counters.get(metric.name).into_iter().flatten();
        values.map(|(label, value)| (label.as_str(), *value))
    }

    /// Returns a counter's value for one of its label's; `None`: there is no such series.
    pub(super) fn get(&self, metric: &Metric, label: &str) -> Option<f64> {
        self.counters.get(metric.name)?.get(label).copied()
    }

    /// Returns a counter's value for one of its label's, 0 without such a series.
    pub(super) fn of_label(&self, metric: &Metric, label: &str) -> f64 {
        self.get(metric, label).unwrap_or_default()
    }

    /// Returns a counter's value.
    pub(super) fn total(&self, metric: &Metric) -> f64 {
        // An empty sum of floats is -0.
        self.by(metric).map(|(_, value)| value).sum::<f64>() + 0.0
    }

    pub(super) fn quantile(&self, metric: &Metric, share: f64) -> Option<f64> {
        self.histograms.get(metric.name)?.quantile(share)
    }

    pub(super) fn mean(&self, metric: &Metric) -> Option<f64> {
        self.histograms.get(metric.name)?.mean()
    }

    /// Returns the cache's hits as a share of its lookups; `None`: there were none.
    pub(super) fn hit_ratio(&self) -> Option<f64> {
        let of = |result| self.of_label(&catalogue::CACHE_LOOKUPS, result);
        let lookups = of("hit") + of("miss") + of("coalesced");
        (lookups > 0.0).then(|| of("hit") / lookups)
    }
}

/// What was counted since the start, and in the last minute.
pub(super) struct Spans {
    pub(super) since_start: Counts,
    pub(super) last_minute: Counts,
    /// The true span of `last_minute`.
    pub(super) seconds: f64,
}

impl Spans {
    /// Returns a counter by its label.
    pub(super) fn by<'a>(&'a self, metric: &'a Metric) -> impl Iterator<Item = (&'a str, Count)> {
        let last_minute = |name: &str| self.last_minute.of_label(metric, name);
        // Known series exist as 0 before their first event.
        let counted = self.since_start.by(metric).filter(|(_, count)| *count > 0.0);
        counted.map(move |(name, since_start)| {
            (name, Count { last_minute: last_minute(name), since_start })
        })
    }

    /// Returns a counter for one value of its label; `None`: there is no such series.
    pub(super) fn get(&self, metric: &Metric, label: &str) -> Option<Count> {
        let since_start = self.since_start.get(metric, label)?;
        Some(Count { last_minute: self.last_minute.of_label(metric, label), since_start })
    }

    /// Returns a whole counter.
    pub(super) fn total(&self, metric: &Metric) -> Count {
        Count {
            last_minute: self.last_minute.total(metric),
            since_start: self.since_start.total(metric),
        }
    }
}

/// The samples of the last minute, and the points of the plots.
#[derive(Debug)]
pub(super) struct History {
    samples: VecDeque<(Instant, Counts)>,
    points: VecDeque<(Instant, Point)>,
    started: Instant,
}

impl History {
    /// Begins with nothing counted.
    pub(super) fn new(started: Instant) -> Self {
        let samples = VecDeque::from([(started, Counts::default())]);
        Self { samples, points: VecDeque::new(), started }
    }

    /// Keeps a sample; due every [`EVERY`].
    pub(super) fn keep(&mut self, now: Instant, counts: Counts, budget_used: Option<f64>) {
        let since_point = age(now, self.points.back().map_or(self.started, |(at, _)| *at));
        if since_point + EVERY / 2 >= POINT {
            self.points.push_back((now, self.point(now, &counts, budget_used)));
        }
        self.samples.push_back((now, counts));
        // The oldest that is needed is the newest of at least a minute.
        let has_older = |samples: &VecDeque<(Instant, Counts)>| {
            samples.get(1).is_some_and(|(at, _)| age(now, *at) >= MINUTE)
        };
        while self.samples.len() > MAX_SAMPLES || has_older(&self.samples) {
            self.samples.pop_front();
        }
        while self.points.front().is_some_and(|(at, _)| age(now, *at) > PLOTTED) {
            self.points.pop_front();
        }
    }

    /// Returns both spans; the last minute is up to [`EVERY`] longer, and shorter after a start.
    pub(super) fn spans(&self, now: Instant, counts: Counts) -> Spans {
        let (span, last_minute) = self.window(now, &counts, MINUTE);
        Spans { last_minute, since_start: counts, seconds: span.as_secs_f64() }
    }

    /// Returns the points of the plots, the oldest first and the last one of this moment.
    pub(super) fn points(
        &self,
        now: Instant,
        counts: &Counts,
        budget_used: Option<f64>,
    ) -> Vec<Point> {
        let aged = |(at, point): &(Instant, Point)| Point {
            age_seconds: age(now, *at).as_secs_f64(),
            ..point.clone()
        };
        let newest = self.point(now, counts, budget_used);
        self.points.iter().map(aged).chain([newest]).collect()
    }

    fn point(&self, now: Instant, counts: &Counts, budget_used: Option<f64>) -> Point {
        let (span, counts) = self.window(now, counts, POINT.saturating_sub(EVERY / 2));
        Point {
            age_seconds: 0.0,
            requests_per_second: per_second(counts.total(&catalogue::RPCS), span.as_secs_f64()),
            hit_ratio: counts.hit_ratio(),
            p50_seconds: counts.quantile(&catalogue::RPC_DURATION, 0.5),
            p99_seconds: counts.quantile(&catalogue::RPC_DURATION, 0.99),
            budget_used,
        }
    }

    /// Returns what was counted in the last `span` or a little longer, but at most since the start, and how long that is.
    fn window(&self, now: Instant, counts: &Counts, span: Duration) -> (Duration, Counts) {
        let old_enough = |(at, _): &&(Instant, Counts)| age(now, *at) >= span;
        match self.samples.iter().rev().find(old_enough).or_else(|| self.samples.front()) {
            Some((at, earlier)) => (age(now, *at), counts.since(earlier)),
            None => (Duration::ZERO, Counts::default()),
        }
    }
}

/// Returns a rate. The first second after a start is too short for one.
pub(super) fn per_second(count: f64, seconds: f64) -> f64 {
    count / seconds.max(1.0)
}

fn age(now: Instant, at: Instant) -> Duration {
    now.saturating_duration_since(at)
}
