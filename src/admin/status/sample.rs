//! The last minute: what the counters were then, and are now.

use std::{collections::VecDeque, time::Duration};

use tokio::time::Instant;

use crate::telemetry::{
    Buckets, ByLabel, Families,
    catalogue::{self, Metric, label},
};

/// How often the numbers are kept.
pub(super) const EVERY: Duration = Duration::from_secs(5);

/// How far back the page looks.
pub(super) const WINDOW: Duration = Duration::from_mins(1);

/// Samples that are kept: a minute's, and the one it begins with.
const MAX_SAMPLES: usize = 13;

/// The counters whose last minute is shown.
#[derive(Clone, Debug, Default)]
pub(super) struct Counts {
    pub(super) outcomes: ByLabel,
    pub(super) reasons: ByLabel,
    pub(super) lookups: ByLabel,
    pub(super) statuses: ByLabel,
    pub(super) caller_tokens: ByLabel,
    pub(super) caller_rpcs: ByLabel,
    pub(super) tokens: ByLabel,
    pub(super) cost: ByLabel,
    pub(super) refusals: ByLabel,
    /// Counters that have no label of interest, by name.
    pub(super) plain: ByLabel,
    pub(super) upstream_seconds: Buckets,
    pub(super) rpc_seconds: Buckets,
    pub(super) fill: Buckets,
    pub(super) size: Buckets,
    pub(super) waits: Buckets,
}

/// Counters without a label of interest.
const PLAIN: [&Metric; 3] = [&catalogue::RATE_LIMITED, &catalogue::RETRIES, &catalogue::PANICS];

impl Counts {
    pub(super) fn of(families: &Families) -> Self {
        let histogram = |metric| families.histogram(metric).unwrap_or_default();
        let plain = PLAIN
            .iter()
            .filter_map(|metric| families.sum(metric).map(|value| (metric.name.to_owned(), value)));
        Self {
            outcomes: families.by(&catalogue::RPCS, label::OUTCOME),
            reasons: families.by(&catalogue::ERRORS, label::REASON),
            lookups: families.by(&catalogue::CACHE_LOOKUPS, label::RESULT),
            statuses: families.by(&catalogue::UPSTREAM_CALLS, label::STATUS),
            caller_tokens: families.by(&catalogue::TOKENS, label::BILLED_TO),
            caller_rpcs: families.by(&catalogue::CALLER_RPCS, label::CALLER),
            tokens: families.by(&catalogue::MODEL_TOKENS, label::KIND),
            cost: families.by(&catalogue::COST, label::KIND),
            refusals: families.by(&catalogue::QUOTA_REFUSALS, label::RULE),
            plain: plain.collect(),
            upstream_seconds: histogram(&catalogue::UPSTREAM_DURATION),
            rpc_seconds: histogram(&catalogue::RPC_DURATION),
            fill: histogram(&catalogue::BATCH_FILL),
            size: histogram(&catalogue::BATCH_SIZE),
            waits: histogram(&catalogue::QUEUE_WAIT),
        }
    }

    /// Returns what was counted since `earlier`.
    fn since(&self, earlier: &Self) -> Self {
        Self {
            outcomes: less(&self.outcomes, &earlier.outcomes),
            reasons: less(&self.reasons, &earlier.reasons),
            lookups: less(&self.lookups, &earlier.lookups),
            statuses: less(&self.statuses, &earlier.statuses),
            caller_tokens: less(&self.caller_tokens, &earlier.caller_tokens),
            caller_rpcs: less(&self.caller_rpcs, &earlier.caller_rpcs),
            tokens: less(&self.tokens, &earlier.tokens),
            cost: less(&self.cost, &earlier.cost),
            refusals: less(&self.refusals, &earlier.refusals),
            plain: less(&self.plain, &earlier.plain),
            upstream_seconds: self.upstream_seconds.since(&earlier.upstream_seconds),
            rpc_seconds: self.rpc_seconds.since(&earlier.rpc_seconds),
            fill: self.fill.since(&earlier.fill),
            size: self.size.since(&earlier.size),
            waits: self.waits.since(&earlier.waits),
        }
    }
}

/// What was not there earlier has been counted from 0.
fn less(now: &ByLabel, earlier: &ByLabel) -> ByLabel {
    let less = |(name, value): (&String, &f64)| {
        (name.clone(), value - earlier.get(name).copied().unwrap_or(0.0))
    };
    now.iter().map(less).collect()
}

/// The samples of the last minute, and one before.
#[derive(Debug)]
pub(super) struct Samples(VecDeque<(Instant, Counts)>);

impl Samples {
    /// Begins with nothing counted.
    pub(super) fn new(now: Instant) -> Self {
        Self(VecDeque::from([(now, Counts::default())]))
    }

    pub(super) fn keep(&mut self, now: Instant, counts: Counts) {
        self.0.push_back((now, counts));
        // One that is as old as the window is enough to look back on.
        while self.0.len() > MAX_SAMPLES
            || self.0.get(1).is_some_and(|(at, _)| now.saturating_duration_since(*at) >= WINDOW)
        {
            self.0.pop_front();
        }
    }

    /// Returns what was counted in the last minute, or since the start when that is less, and how long that is: up to
    /// [`EVERY`] more than a minute.
    pub(super) fn window(&self, now: Instant, counts: &Counts) -> (Duration, Counts) {
        let old_enough =
            |(at, _): &&(Instant, Counts)| now.saturating_duration_since(*at) >= WINDOW;
        match self.0.iter().rev().find(old_enough).or_else(|| self.0.front()) {
            Some((at, earlier)) => (now.saturating_duration_since(*at), counts.since(earlier)),
            None => (Duration::ZERO, Counts::default()),
        }
    }
}
