//! From the metrics to the values of the page.

use std::cmp::Ordering;

use tokio::time::Instant;

use super::{
    history::{CountWindow, History},
    report::{
        Aged, BudgetStatus, CacheStatus, CallerUse, Cost, Count, EndpointStatus, KeyStatus, Named,
        PortStatus, Process, RateLimit, Rpcs, Status, Tokens, UpstreamStatus, Use, Verdict, Work,
    },
    verdict,
};
use crate::telemetry::{
    Families, RpcOutcome,
    catalogue::{self, Metric, label},
    recent::Recent,
};

/// Callers that are shown.
const CALLERS: usize = 10;

pub(super) struct Sources<'a> {
    pub(super) families: Families,
    pub(super) history: &'a History,
    pub(super) recent: &'a Recent,
    pub(super) is_ready: bool,
    pub(super) started: Instant,
    pub(super) now: Instant,
    /// Seconds since 1970.
    pub(super) wall_seconds: f64,
}

impl Sources<'_> {
    pub(super) fn status(&self) -> Status {
        let window = self.history.last_minute(self.now, &self.families);
        let cost = |kind| window.get(&catalogue::COST, label::KIND, kind);
        let slow_rpcs = self.recent.slow_rpcs(self.now).into_iter();
        let mut status = Status {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            revision: crate::REVISION.to_owned(),
            uptime_seconds: self.age(self.started),
            window_seconds: window.seconds,
            health: Verdict::default(),
            rpcs: rpcs(&window),
            cache: self.cache(&window),
            cost: Cost { spent_usd: cost("spent"), saved_usd: cost("saved") },
            tokens: Tokens {
                billed: window.total(&catalogue::TOKENS),
                saved: window.get(&catalogue::MODEL_TOKENS, label::KIND, "saved"),
            },
            rate_limits: RateLimit::all(&self.families),
            budgets: self.budgets(),
            work: self.work(&window),
            upstream: self.upstream(&window),
            callers: callers(&window),
            slow_rpcs: slow_rpcs.map(|event| self.aged(event.ended, event)).collect(),
            process: self.process(),
            history: self.history.points(self.now, &self.families),
        };
        status.health = verdict::of(&status, &window, self.is_ready);
        status
    }

    fn age(&self, at: Instant) -> f64 {
        self.now.saturating_duration_since(at).as_secs_f64()
    }

    fn aged<T>(&self, at: Instant, event: T) -> Aged<T> {
        Aged { event, age_seconds: self.age(at) }
    }

    fn gauge(&self, metric: &Metric) -> Option<f64> {
        self.families.sum(metric)
    }

    fn cache(&self, window: &CountWindow<'_>) -> CacheStatus {
        CacheStatus {
            hit_ratio_last_minute: window.hit_ratio(|count| count.last_minute),
            hit_ratio_since_start: window.hit_ratio(|count| count.since_start),
            entries: self.gauge(&catalogue::CACHE_ENTRIES),
            bytes: self.gauge(&catalogue::CACHE_SIZE),
            max_bytes: self.gauge(&catalogue::CACHE_MAX_SIZE),
        }
    }

    fn budgets(&self) -> Vec<BudgetStatus> {
        let used = self.families.by(&catalogue::BUDGET_USED_TOKENS, label::BUDGET);
        let limits = self.families.by(&catalogue::BUDGET_LIMIT_TOKENS, label::BUDGET).into_iter();
        let budget = |(budget, limit): (String, f64)| {
            let used = used.get(&budget).copied().unwrap_or_default();
            BudgetStatus { budget, tokens: Use { used, limit } }
        };
        limits.map(budget).collect()
    }

    fn work(&self, window: &CountWindow<'_>) -> Work {
        Work {
            waiting_texts: self.gauge(&catalogue::QUEUE_ITEMS),
            waiting_bytes: self.gauge(&catalogue::QUEUE_SIZE),
            wait_p50_seconds: window.quantile(&catalogue::QUEUE_WAIT, 0.5),
            wait_p99_seconds: window.quantile(&catalogue::QUEUE_WAIT, 0.99),
            calls: self.gauge(&catalogue::BATCHES_IN_FLIGHT),
            max_calls: self.gauge(&catalogue::BATCHES_MAX_IN_FLIGHT),
            batch_fill: window.mean(&catalogue::BATCH_FILL),
            batch_texts: window.mean(&catalogue::BATCH_SIZE),
            requests: self.gauge(&catalogue::IN_FLIGHT_REQUESTS),
            max_requests: self.gauge(&catalogue::MAX_IN_FLIGHT_REQUESTS),
            request_bytes: self.gauge(&catalogue::IN_FLIGHT_SIZE),
            max_request_bytes: self.gauge(&catalogue::MAX_IN_FLIGHT_SIZE),
        }
    }

    fn upstream(&self, window: &CountWindow<'_>) -> UpstreamStatus {
        let states = self.families.by(&catalogue::BREAKER_STATE, label::STATE);
        let keys = self.families.by(&catalogue::KEY_REJECTED, label::KEY).into_iter();
        let errors = self.recent.upstream_errors().into_iter();
        let quantile = |share| window.quantile(&catalogue::UPSTREAM_DURATION, share);
        UpstreamStatus {
            breaker: states.into_iter().find(|(_, is)| *is > 0.0).map(|(state, _)| state),
            calls: window.total(&catalogue::UPSTREAM_CALLS),
            statuses: named(window.by(&catalogue::UPSTREAM_CALLS, label::STATUS)),
            endpoints: endpoints(window),
            p50_seconds: quantile(0.5),
            p99_seconds: quantile(0.99),
            retries: window.total(&catalogue::RETRIES),
            rate_limited: window.total(&catalogue::RATE_LIMITED),
            retry_budget: self.gauge(&catalogue::RETRY_BUDGET_BALANCE),
            free_tier: self.gauge(&catalogue::FREE_TIER).is_some_and(|is| is > 0.0),
            keys: keys.map(|(key, is)| KeyStatus { key, rejected: is > 0.0 }).collect(),
            errors: errors.map(|event| self.aged(event.at, event)).collect(),
        }
    }

    fn process(&self) -> Process {
        let max = self.families.by(&catalogue::MAX_CONNECTIONS, label::PORT);
        let mut open = self.families.by(&catalogue::CONNECTIONS, label::PORT);
        for port in max.keys() {
            open.entry(port.clone()).or_default();
        }
        // The gRPC port first.
        let connections = open.into_iter().rev();
        let not_after = self.gauge(&catalogue::TLS_CERTIFICATE_NOT_AFTER);
        Process {
            resident_bytes: self.gauge(&catalogue::MEMORY_USAGE),
            threads: self.gauge(&catalogue::THREADS),
            file_descriptors: self.gauge(&catalogue::OPEN_FILES),
            connections: connections
                .map(|(port, open)| PortStatus { max: max.get(&port).copied(), port, open })
                .collect(),
            certificate_expires_in_seconds: not_after.map(|at| at - self.wall_seconds),
        }
    }
}

fn named(counts: impl IntoIterator<Item = (String, Count)>) -> Vec<Named> {
    counts.into_iter().map(|(name, count)| Named { name, count }).collect()
}

fn endpoints(window: &CountWindow<'_>) -> Vec<EndpointStatus> {
    let mut failed = window.by_if(&catalogue::UPSTREAM_CALLS, label::ENDPOINT, |series| {
        series.label(label::STATUS) != "200"
    });
    let calls = window.by(&catalogue::UPSTREAM_CALLS, label::ENDPOINT).into_iter();
    let endpoint = |(endpoint, calls): (String, Count)| {
        let failed = failed.remove(&endpoint).unwrap_or_default();
        EndpointStatus { endpoint, calls, failed }
    };
    calls.map(endpoint).collect()
}

fn rpcs(window: &CountWindow<'_>) -> Rpcs {
    let outcomes = RpcOutcome::ALL.map(RpcOutcome::as_str).map(|name| {
        let count = window.get(&catalogue::RPCS, label::OUTCOME, name);
        (name.to_owned(), count.unwrap_or_default())
    });
    let quantile = |share| window.quantile(&catalogue::RPC_DURATION, share);
    Rpcs {
        per_second: window.rpcs_per_second(),
        all: window.total(&catalogue::RPCS),
        outcomes: named(outcomes),
        p50_seconds: quantile(0.5),
        p99_seconds: quantile(0.99),
    }
}

fn callers(window: &CountWindow<'_>) -> Vec<CallerUse> {
    let mut rpcs = window.by(&catalogue::CALLER_RPCS, label::CALLER);
    let tokens = window.by(&catalogue::TOKENS, label::BILLED_TO).into_iter();
    let mut callers: Vec<CallerUse> = tokens
        .map(|(caller, tokens)| CallerUse { rpcs: rpcs.remove(&caller), caller, tokens })
        .collect();
    callers.extend(rpcs.into_iter().map(|(caller, rpcs)| CallerUse {
        caller,
        rpcs: Some(rpcs),
        tokens: Count::default(),
    }));
    let size =
        |of: &CallerUse| [of.tokens.since_start, of.rpcs.map_or(0.0, |rpcs| rpcs.since_start)];
    callers.sort_by(|a, b| size(b).partial_cmp(&size(a)).unwrap_or(Ordering::Equal));
    callers.truncate(CALLERS);
    callers
}
