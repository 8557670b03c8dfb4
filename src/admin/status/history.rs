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

const HISTOGRAMS: &[&Metric] = &[
    &catalogue::RPC_DURATION,
    &catalogue::UPSTREAM_DURATION,
    &catalogue::BATCH_FILL,
    &catalogue::BATCH_SIZE,
    &catalogue::QUEUE_WAIT,
];

/// The values of the counters and histograms at one moment, by the metrics' names.
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

    /// Returns the counters since `earlier`, which was `seconds` ago.
    fn since(&self, earlier: &Self, seconds: f64) -> Window {
        let mut counters: BTreeMap<_, BTreeMap<_, _>> = BTreeMap::new();
        for (name, values) in &self.counters {
            let earlier = earlier.counters.get(name);
            let count = |(label, now): (&String, &f64)| {
                // A series that was absent has been counted from 0.
                let then = earlier.and_then(|values| values.get(label)).unwrap_or(&0.0);
                (label.clone(), Count { last_minute: now - then, since_start: *now })
            };
            counters.insert(*name, values.iter().map(count).collect());
        }
        let mut histograms = self.histograms.clone();
        for (name, values) in &mut histograms {
            if let Some(earlier) = earlier.histograms.get(name) {
                *values = values.since(earlier);
            }
        }
        Window { counters, histograms, seconds }
    }
}

/// What was counted in the last minute, or the span of a point, and since the start.
pub(super) struct Window {
    counters: BTreeMap<&'static str, BTreeMap<String, Count>>,
    histograms: BTreeMap<&'static str, Buckets>,
    pub(super) seconds: f64,
}

impl Window {
    /// Returns a counter by its label, without zeros.
    pub(super) fn by(&self, metric: &Metric) -> impl Iterator<Item = (&str, Count)> {
        let counts = self.counters.get(metric.name).into_iter().flatten();
        // Known series exist as 0 before their first event.
        let counted = counts.filter(|(_, count)| count.since_start > 0.0);
        counted.map(|(label, count)| (label.as_str(), *count))
    }

    /// Returns a counter for one value of its label; `None`: there is no such series.
    pub(super) fn get(&self, metric: &Metric, label: &str) -> Option<Count> {
        self.counters.get(metric.name)?.get(label).copied()
    }

    /// Returns what was counted in the span for one value of a counter's label.
    pub(super) fn last(&self, metric: &Metric, label: &str) -> f64 {
        self.get(metric, label).unwrap_or_default().last_minute
    }

    /// Returns a counter, all its series summed.
    pub(super) fn total(&self, metric: &Metric) -> Count {
        self.by(metric).fold(Count::default(), |sum, (_, count)| Count {
            last_minute: sum.last_minute + count.last_minute,
            since_start: sum.since_start + count.since_start,
        })
    }

    /// Returns RPCs a second. The first second after a start is too short for a rate.
    pub(super) fn rpcs_per_second(&self) -> f64 {
        self.total(&catalogue::RPCS).last_minute / self.seconds.max(1.0)
    }

    /// Returns the cache's hits as a share of its lookups; `None`: there were none.
    pub(super) fn hit_ratio(&self, of: fn(Count) -> f64) -> Option<f64> {
        let of = |result| self.get(&catalogue::CACHE_LOOKUPS, result).map_or(0.0, of);
        let lookups = of("hit") + of("miss") + of("coalesced");
        (lookups > 0.0).then(|| of("hit") / lookups)
    }

    pub(super) fn quantile(&self, metric: &Metric, share: f64) -> Option<f64> {
        self.histograms.get(metric.name)?.quantile(share)
    }

    pub(super) fn mean(&self, metric: &Metric) -> Option<f64> {
        self.histograms.get(metric.name)?.mean()
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
        while self.samples.len() > MAX_SAMPLES
            || self.samples.get(1).is_some_and(|(at, _)| age(now, *at) >= MINUTE)
        {
            self.samples.pop_front();
        }
        while self.points.front().is_some_and(|(at, _)| age(now, *at) > PLOTTED) {
            self.points.pop_front();
        }
    }

    /// Returns the last minute: up to [`EVERY`] longer, and shorter after a start.
    pub(super) fn last_minute(&self, now: Instant, counts: &Counts) -> Window {
        self.window(now, counts, MINUTE)
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
        let window = self.window(now, counts, POINT.saturating_sub(EVERY / 2));
        Point {
            age_seconds: 0.0,
            requests_per_second: window.rpcs_per_second(),
            hit_ratio: window.hit_ratio(|count| count.last_minute),
            p50_seconds: window.quantile(&catalogue::RPC_DURATION, 0.5),
            p99_seconds: window.quantile(&catalogue::RPC_DURATION, 0.99),
            budget_used,
        }
    }

    /// Returns the last `span` or a little more, but at most since the start.
    fn window(&self, now: Instant, counts: &Counts, span: Duration) -> Window {
        let old_enough = |(at, _): &&(Instant, Counts)| age(now, *at) >= span;
        match self.samples.iter().rev().find(old_enough).or_else(|| self.samples.front()) {
            Some((at, earlier)) => counts.since(earlier, age(now, *at).as_secs_f64()),
            None => counts.since(counts, 0.0),
        }
    }
}

fn age(now: Instant, at: Instant) -> Duration {
    now.saturating_duration_since(at)
}
