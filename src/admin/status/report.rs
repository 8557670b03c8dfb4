//! The values of `/status`. Names end in their unit; values that are not measured are `null`.
//!
//! `last_minute` covers `window_seconds`: 60 to 65, and less after a start.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::telemetry::{
    Families,
    catalogue::{self, label},
    recent::{SlowRpc, UpstreamError},
};

#[derive(Clone, Debug, Serialize)]
pub(super) struct Status {
    pub version: String,
    pub revision: String,
    pub uptime_seconds: f64,
    pub window_seconds: f64,
    pub health: Verdict,
    pub rpcs: Rpcs,
    pub cache: CacheStatus,
    pub cost: Cost,
    pub tokens: Tokens,
    pub rate_limits: Vec<RateLimit>,
    /// The token budgets that are set.
    pub budgets: Vec<BudgetStatus>,
    pub work: Work,
    pub upstream: UpstreamStatus,
    /// The ten callers with the most tokens since the start.
    pub callers: Vec<CallerUse>,
    /// The slowest RPCs of the last ten minutes.
    pub slow_rpcs: Vec<Aged<SlowRpc>>,
    pub process: Process,
    /// The last 15 minutes, the oldest first.
    pub history: Vec<Point>,
}

#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct Verdict {
    /// `well`, `impaired`, `failing` (only cached inputs are answered) or `draining`.
    pub state: &'static str,
    /// Problems of this gateway, or for its operators.
    pub gateway: Vec<Problem>,
    /// Problems of Voyage.
    pub voyage: Vec<Problem>,
    /// Errors of callers.
    pub callers: Vec<Problem>,
}

#[derive(Clone, Debug, Serialize)]
pub(super) struct Problem {
    pub code: &'static str,
    pub severity: Severity,
    pub text: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Severity {
    /// No calls fail because of it.
    Notice,
    /// Some calls fail or wait.
    Impaired,
    /// Only cached inputs are answered.
    Failing,
}

/// A counter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub(super) struct Count {
    pub last_minute: f64,
    pub since_start: f64,
}

#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct Rpcs {
    /// In the last minute.
    pub per_second: f64,
    pub all: Count,
    /// Every outcome, those without RPCs too.
    pub outcomes: Vec<Named>,
    /// Of the last minute, here and below.
    pub p50_seconds: Option<f64>,
    pub p99_seconds: Option<f64>,
}

#[derive(Clone, Debug, Serialize)]
pub(super) struct Named {
    pub name: String,
    #[serde(flatten)]
    pub count: Count,
}

#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct CacheStatus {
    pub hit_ratio_last_minute: Option<f64>,
    pub hit_ratio_since_start: Option<f64>,
    pub entries: Option<f64>,
    pub bytes: Option<f64>,
    pub max_bytes: Option<f64>,
}

/// By the model catalogue's prices.
#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct Cost {
    pub spent_usd: Option<Count>,
    /// Not spent, because of the cache and of shared calls.
    pub saved_usd: Option<Count>,
}

#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct Tokens {
    /// As Voyage reported them.
    pub billed: Count,
    /// Not sent, because of the cache and of shared calls.
    pub saved: Option<Count>,
}

/// The sliding minute of a model and a key.
#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct RateLimit {
    pub model: String,
    /// The key's alias, here and below.
    pub key: String,
    pub requests: Option<Use>,
    pub tokens: Option<Use>,
}

impl RateLimit {
    /// Reads all rate limits, by model and key.
    pub(super) fn all(families: &Families) -> Vec<Self> {
        let mut limits: BTreeMap<_, Self> = BTreeMap::new();
        for (metric, set) in [
            (&catalogue::RATE_LIMIT_USED, (|of, used| of.used = used) as fn(&mut Use, f64)),
            (&catalogue::RATE_LIMIT_LIMIT, |of, limit| of.limit = limit),
        ] {
            for series in families.series(metric) {
                let [model, key] = [label::MODEL, label::KEY].map(|name| series.label(name));
                let limit = limits.entry((model, key)).or_insert_with(|| Self {
                    model: model.to_owned(),
                    key: key.to_owned(),
                    ..Self::default()
                });
                let of = match series.label(label::UNIT) {
                    "requests" => &mut limit.requests,
                    _ => &mut limit.tokens,
                };
                set(of.get_or_insert_default(), series.value);
            }
        }
        limits.into_values().collect()
    }

    /// Returns the used share of the limit with the least room; `None`: no model was called yet.
    pub(super) fn most_used(limits: &[Self]) -> Option<f64> {
        let uses = limits.iter().flat_map(|limit| [limit.requests, limit.tokens]).flatten();
        uses.map(Use::share).max_by(f64::total_cmp)
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub(super) struct Use {
    /// Used, or reserved for calls in flight.
    pub used: f64,
    pub limit: f64,
}

impl Use {
    /// Returns the used share, 0 to 1.
    pub(super) fn share(self) -> f64 {
        if self.limit > 0.0 { (self.used / self.limit).clamp(0.0, 1.0) } else { 0.0 }
    }
}

#[derive(Clone, Debug, Serialize)]
pub(super) struct BudgetStatus {
    pub budget: String,
    #[serde(flatten)]
    pub tokens: Use,
}

#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct Work {
    pub waiting_texts: Option<f64>,
    pub waiting_bytes: Option<f64>,
    pub wait_p50_seconds: Option<f64>,
    pub wait_p99_seconds: Option<f64>,
    pub calls: Option<f64>,
    pub max_calls: Option<f64>,
    /// Means of the last minute: 0 to 1, and inputs.
    pub batch_fill: Option<f64>,
    pub batch_texts: Option<f64>,
    pub requests: Option<f64>,
    pub max_requests: Option<f64>,
    pub request_bytes: Option<f64>,
    pub max_request_bytes: Option<f64>,
}

/// Voyage, as calls to it see it.
#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct UpstreamStatus {
    /// `closed`, `open` or `half_open`.
    pub breaker: Option<String>,
    pub calls: Count,
    /// Calls by HTTP status; `none` without an answer.
    pub statuses: Vec<Named>,
    /// The endpoints that were called.
    pub endpoints: Vec<EndpointStatus>,
    pub p50_seconds: Option<f64>,
    pub p99_seconds: Option<f64>,
    pub retries: Count,
    pub rate_limited: Count,
    /// Retries that the retry budget allows now.
    pub retry_budget: Option<f64>,
    /// Whether an account has no payment method: 3 requests and 10,000 tokens a minute.
    pub free_tier: bool,
    pub keys: Vec<KeyStatus>,
    /// The last failures, the newest first.
    pub errors: Vec<Aged<UpstreamError>>,
}

#[derive(Clone, Debug, Serialize)]
pub(super) struct EndpointStatus {
    /// The path, such as `/embeddings`.
    pub endpoint: String,
    pub calls: Count,
    /// Calls with another status than 200, or without an answer.
    pub failed: Count,
}

#[derive(Clone, Debug, Serialize)]
pub(super) struct KeyStatus {
    pub key: String,
    /// Whether it is out of use because Voyage rejected it.
    pub rejected: bool,
}

#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct CallerUse {
    /// A name, `_other` for callers beyond the limit, or `abandoned` for work without a caller.
    pub caller: String,
    pub tokens: Count,
    pub rpcs: Option<Count>,
}

/// An event of the past.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Aged<T> {
    #[serde(flatten)]
    pub event: T,
    pub age_seconds: f64,
}

#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct Process {
    pub resident_bytes: Option<f64>,
    pub threads: Option<f64>,
    pub file_descriptors: Option<f64>,
    pub connections: Vec<PortStatus>,
    /// Of the served certificate; negative when it has expired.
    pub certificate_expires_in_seconds: Option<f64>,
}

#[derive(Clone, Debug, Serialize)]
pub(super) struct PortStatus {
    /// `grpc` or `admin`.
    pub port: String,
    pub open: f64,
    pub max: Option<f64>,
}

/// About 15 seconds; the last point ends now.
#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct Point {
    pub age_seconds: f64,
    pub requests_per_second: f64,
    pub hit_ratio: Option<f64>,
    pub p50_seconds: Option<f64>,
    pub p99_seconds: Option<f64>,
    /// The used share of the rate limit with the least room, 0 to 1, at its end.
    pub budget_used: Option<f64>,
}
