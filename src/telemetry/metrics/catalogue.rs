//! Every metric as data: what it is called, counts and is labelled with, and what a person does with it.
//!
//! Instruments are made from these entries and from nothing else, and `docs/metrics.md` is written from them. Names and
//! labels of OpenTelemetry's semantic conventions are those of v1.44.0; the others begin with `voyage_gateway`.

mod gateway;
pub mod label;
mod process;
mod spending;
mod upstream;

pub use gateway::{
    AUTH_FAILURES, CACHE_ENTRIES, CACHE_EVICTIONS, CACHE_LOOKUPS, CACHE_MAX_SIZE, CACHE_SIZE,
    CALLER_RPCS, CONNECTION_FAILURES, CONNECTIONS, ERRORS, IN_FLIGHT_REQUESTS, IN_FLIGHT_SIZE,
    MAX_CONNECTIONS, MAX_IN_FLIGHT_REQUESTS, MAX_IN_FLIGHT_SIZE, OVERHEAD, PANICS, RPC_DURATION,
    RPCS, SHED, TLS_CERTIFICATE_NOT_AFTER, TLS_HANDSHAKES,
};
pub use process::{
    BUILD_INFO, CPU_TIME, FILE_DESCRIPTORS, MEMORY_USAGE, RELOADS, SPANS, THREADS, UPTIME,
};
pub use spending::{
    BUDGET_LIMIT_TOKENS, BUDGET_USED_TOKENS, COST, MODEL_TOKENS, QUOTA_REFUSALS, TOKENS,
};
pub use upstream::{
    BATCH_FILL, BATCH_SIZE, BATCHES_IN_FLIGHT, BATCHES_MAX_IN_FLIGHT, BREAKER_STATE,
    EMBEDDINGS_DURATION, EMBEDDINGS_INPUT_TOKENS, FREE_TIER, KEY_REJECTED, QUEUE_ITEMS, QUEUE_SIZE,
    QUEUE_WAIT, RATE_LIMIT_LIMIT, RATE_LIMIT_USED, RATE_LIMITED, RETRIES, RETRY_BUDGET_BALANCE,
    STATUSES, UPSTREAM_CALLS, UPSTREAM_DURATION,
};

use crate::telemetry::semconv;

/// How a metric's values come about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Only grows; a rate is taken of it.
    Counter,
    /// A count of what is there, told by its changes. A gauge to Prometheus.
    UpDownCounter,
    /// What is, at the moment of looking.
    Gauge,
    /// How values are distributed.
    Histogram,
}

impl Kind {
    /// Returns the type that `/metrics` shows.
    pub const fn prometheus_type(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::UpDownCounter | Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

/// What values a label has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Values {
    /// These and no others.
    Closed(&'static [&'static str]),
    /// Those that the words describe, and how many they can be.
    Bounded(&'static str, usize),
}

/// A label of a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Label {
    /// As OpenTelemetry knows it; Prometheus shows dots as underscores.
    pub name: &'static str,
    /// What it may be.
    pub values: Values,
    /// Whether every series has it.
    pub required: bool,
}

/// One metric.
#[derive(Clone, Copy, Debug)]
pub struct Metric {
    /// The instrument's name, as OpenTelemetry knows it.
    pub name: &'static str,
    /// The name that `/metrics` shows.
    pub prometheus: &'static str,
    /// How its values come about.
    pub kind: Kind,
    /// As UCUM writes it; empty: it has none.
    pub unit: &'static str,
    /// What its series differ in.
    pub labels: &'static [Label],
    /// What it counts, for people.
    pub description: &'static str,
    /// What a person does with it.
    pub purpose: &'static str,
    /// Upper bounds of a histogram's buckets.
    pub buckets: &'static [f64],
}

impl Metric {
    const fn new(
        kind: Kind,
        name: &'static str,
        prometheus: &'static str,
        description: &'static str,
    ) -> Self {
        let (unit, purpose) = ("", "");
        Self { name, prometheus, kind, unit, labels: &[], description, purpose, buckets: &[] }
    }

    const fn counter(
        name: &'static str,
        prometheus: &'static str,
        description: &'static str,
    ) -> Self {
        Self::new(Kind::Counter, name, prometheus, description)
    }

    const fn gauge(
        name: &'static str,
        prometheus: &'static str,
        description: &'static str,
    ) -> Self {
        Self::new(Kind::Gauge, name, prometheus, description)
    }

    const fn histogram(
        name: &'static str,
        prometheus: &'static str,
        description: &'static str,
    ) -> Self {
        Self::new(Kind::Histogram, name, prometheus, description)
    }

    const fn unit(mut self, unit: &'static str) -> Self {
        self.unit = unit;
        self
    }

    const fn labels(mut self, labels: &'static [Label]) -> Self {
        self.labels = labels;
        self
    }

    const fn buckets(mut self, buckets: &'static [f64]) -> Self {
        self.buckets = buckets;
        self
    }

    const fn for_this(mut self, purpose: &'static str) -> Self {
        self.purpose = purpose;
        self
    }

    /// Returns the most series there can be.
    pub fn max_series(&self) -> usize {
        let values = |label: &Label| match label.values {
            Values::Closed(values) => values.len(),
            Values::Bounded(_, most) => most,
        };
        let optional = |label: &Label| values(label) + usize::from(!label.required);
        self.labels.iter().map(optional).product()
    }
}

impl Label {
    const fn closed(name: &'static str, values: &'static [&'static str]) -> Self {
        Self { name, values: Values::Closed(values), required: true }
    }

    const fn bounded(name: &'static str, how: &'static str, most: usize) -> Self {
        Self { name, values: Values::Bounded(how, most), required: true }
    }

    const fn optional(mut self) -> Self {
        self.required = false;
        self
    }
}

/// Upper bounds of durations that callers or Voyage cause, in seconds; the convention's for RPCs.
pub const SECONDS: &[f64] =
    &[0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0];

/// A model of the catalogue, or `_other`.
const MODEL: Label = Label::bounded(label::MODEL, "a model of the catalogue, or `_other`", 28);

const RPC_METHOD: Label = Label::bounded(
    semconv::RPC_METHOD,
    "an RPC that is served, `package.Service/Method`, or `_OTHER`",
    9,
);

/// The endpoints of Voyage's API.
const ENDPOINT: Label = Label::closed(label::ENDPOINT, &["/embeddings"]);

/// An API key of the pool, by the alias that the operators gave it.
const KEY: Label = Label::bounded(label::KEY, "the alias of an API key; a pool has 64 at most", 64);

/// Returns every metric there is.
pub fn all() -> impl Iterator<Item = &'static Metric> {
    [gateway::ALL, spending::ALL, upstream::ALL, process::ALL].into_iter().flatten().copied()
}
