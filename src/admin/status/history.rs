//! The counters' past: the last minute for the figures, the last 15 minutes for the plots.

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use tokio::time::Instant;

use super::report::{Count, Point, RateLimit};
use crate::telemetry::{
    Buckets, Families, Series,
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

/// Counts in the last minute, or in the interval of a point, and since the start.
pub(super) struct CountWindow<'a> {
    pub(super) now: &'a Families,
    earlier: &'a Families,
    pub(super) seconds: f64,
}

impl CountWindow<'_> {
    /// Returns a counter by the values of a label, without zeros.
    pub(super) fn by(&self, metric: &Metric, label: &str) -> BTreeMap<String, Count> {
        self.by_if(metric, label, |_| true)
    }

    /// Returns a counter by the values of a label, of some of the series, without zeros.
    pub(super) fn by_if(
        &self,
        metric: &Metric,
        label: &str,
        is_counted: impl Fn(&Series<'_>) -> bool,
    ) -> BTreeMap<String, Count> {
        let earlier = self.earlier.by_if(metric, label, &is_counted);
        let count = |(value, now): (String, f64)| {
            // A series that was absent has been counted from 0.
            let then = earlier.get(&value).unwrap_or(&0.0);
            (value, Count { last_minute: now - then, since_start: now })
        };
        // Known series exist as 0 before their first event.
        let now = self.now.by_if(metric, label, &is_counted);
        now.into_iter().filter(|(_, now)| *now > 0.0).map(count).collect()
    }

    /// Returns a counter for one value of a label; `None`: there is no such series.
    pub(super) fn get(&self, metric: &Metric, label: &str, value: &str) -> Option<Count> {
        let now = self.now.get(metric, label, value)?;
        let then = self.earlier.get(metric, label, value).unwrap_or_default();
        Some(Count { last_minute: now - then, since_start: now })
    }

    /// Returns the count in the interval for one value of a counter's label.
    pub(super) fn last(&self, metric: &Metric, label: &str, value: &str) -> f64 {
        self.get(metric, label, value).unwrap_or_default().last_minute
    }

    /// Returns a counter, all its series summed.
    pub(super) fn total(&self, metric: &Metric) -> Count {
        let [now, then] = [self.now, self.earlier].map(|of| of.sum(metric).unwrap_or_default());
        Count { last_minute: now - then, since_start: now }
    }

    /// Returns RPCs a second. The first second after a start is too short for a rate.
    pub(super) fn rpcs_per_second(&self) -> f64 {
        self.total(&catalogue::RPCS).last_minute / self.seconds.max(1.0)
    }

    /// Returns the cache's hits as a share of its lookups; `None`: there were none.
    pub(super) fn hit_ratio(&self, of: fn(Count) -> f64) -> Option<f64> {
        let of =
            |result| self.get(&catalogue::CACHE_LOOKUPS, label::RESULT, result).map_or(0.0, of);
        let lookups = of("hit") + of("miss") + of("coalesced");
        (lookups > 0.0).then(|| of("hit") / lookups)
    }

    pub(super) fn quantile(&self, metric: &Metric, share: f64) -> Option<f64> {
        self.histogram(metric)?.quantile(share)
    }

    pub(super) fn mean(&self, metric: &Metric) -> Option<f64> {
        self.histogram(metric)?.mean()
    }

    fn histogram(&self, metric: &Metric) -> Option<Buckets> {
        let earlier = self.earlier.histogram(metric).unwrap_or_default();
        Some(self.now.histogram(metric)?.since(&earlier))
    }
}

/// The samples of the last minute, and the points of the plots.
#[derive(Debug)]
pub(super) struct History {
    /// The oldest first; never empty.
    samples: VecDeque<(Instant, Families)>,
    points: VecDeque<(Instant, Point)>,
    started: Instant,
}

impl History {
    /// Begins with nothing counted.
    pub(super) fn new(started: Instant) -> Self {
        let samples = VecDeque::from([(started, Families::default())]);
        Self { samples, points: VecDeque::new(), started }
    }

    /// Keeps a sample; due every [`EVERY`].
    pub(super) fn keep(&mut self, now: Instant, families: Families) {
        let since_point = age(now, self.points.back().map_or(self.started, |(at, _)| *at));
        if since_point + EVERY / 2 >= POINT {
            self.points.push_back((now, self.point(now, &families)));
        }
        self.samples.push_back((now, families));
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
    pub(super) fn last_minute<'a>(
        &'a self,
        now: Instant,
        families: &'a Families,
    ) -> CountWindow<'a> {
        self.window(now, families, MINUTE)
    }

    /// Returns the points of the plots, the oldest first and the last one of this moment.
    pub(super) fn points(&self, now: Instant, families: &Families) -> Vec<Point> {
        let aged = |(at, point): &(Instant, Point)| Point {
            age_seconds: age(now, *at).as_secs_f64(),
            ..point.clone()
        };
        self.points.iter().map(aged).chain([self.point(now, families)]).collect()
    }

    fn point(&self, now: Instant, families: &Families) -> Point {
        let window = self.window(now, families, POINT.saturating_sub(EVERY / 2));
        Point {
            age_seconds: 0.0,
            requests_per_second: window.rpcs_per_second(),
            hit_ratio: window.hit_ratio(|count| count.last_minute),
            p50_seconds: window.quantile(&catalogue::RPC_DURATION, 0.5),
            p99_seconds: window.quantile(&catalogue::RPC_DURATION, 0.99),
            budget_used: RateLimit::most_used(&RateLimit::all(families)),
        }
    }

    /// Returns the last `span` or a little more, but at most since the start.
    fn window<'a>(
        &'a self,
        now: Instant,
        families: &'a Families,
        span: Duration,
    ) -> CountWindow<'a> {
        let old_enough = |(at, _): &&(Instant, Families)| age(now, *at) >= span;
        let sample = self.samples.iter().rev().find(old_enough).or_else(|| self.samples.front());
        let (at, earlier) = sample.map_or((now, families), |(at, earlier)| (*at, earlier));
        CountWindow { now: families, earlier, seconds: age(now, at).as_secs_f64() }
    }
}

fn age(now: Instant, at: Instant) -> Duration {
    now.saturating_duration_since(at)
}
