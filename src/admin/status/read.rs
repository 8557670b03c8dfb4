//! From the metrics' families to what the page says.

use std::collections::BTreeMap;

use tokio::time::Instant;

use super::{
    report::{
        ApiKey, Budget, Cache, CallerUse, Connections, Cost, Count, Named, Process, RateLimit,
        Rpcs, SlowRpc, Status, Tokens, Upstream, UpstreamError, Use, Work,
    },
    sample::{Counts, Samples},
    verdict,
};
use crate::telemetry::{
    ByLabel, Families, RpcOutcome,
    catalogue::{self, Metric, label},
    recent::Recent,
};

/// Callers that are shown.
const CALLERS: usize = 10;

/// What a status is made of.
pub(super) struct Sources<'a> {
    pub(super) families: Families,
    pub(super) samples: &'a Samples,
    pub(super) recent: &'a Recent,
    pub(super) is_ready: bool,
    pub(super) started: Instant,
    pub(super) now: Instant,
    /// Seconds since 1970.
    pub(super) wall_seconds: f64,
}

impl Sources<'_> {
    /// Says how the gateway is.
    pub(super) fn status(&self) -> Status {
        let families = &self.families;
        let counts = Counts::of(families);
        let (span, window) = self.samples.window(self.now, &counts);
        let spans = Spans { since_start: &counts, window: &window, seconds: span.as_secs_f64() };
        let mut build = families.series(&catalogue::BUILD_INFO);
        let build = build.next();
        let build = |name| build.map(|build| build.label(name)).filter(|value| !value.is_empty());
        let uptime = self.now.saturating_duration_since(self.started).as_secs_f64();
        let mut status = Status {
            version: build(label::VERSION).unwrap_or(env!("CARGO_PKG_VERSION")).to_owned(),
            revision: build(label::REVISION).unwrap_or(crate::REVISION).to_owned(),
            uptime_seconds: families.sum(&catalogue::UPTIME).unwrap_or(uptime),
            window_seconds: spans.seconds,
            rpcs: spans.rpcs(),
            cache: spans.cache(families),
            cost: spans.cost(),
            tokens: spans.tokens(),
            rate_limits: rate_limits(families),
            budgets: budgets(families),
            work: spans.work(families),
            upstream: self.upstream(&spans),
            callers: spans.callers(),
            slow_rpcs: self.slow_rpcs(),
            process: self.process(),
            ..Status::default()
        };
        status.health = verdict::of(&status, &window, self.is_ready);
        status
    }

    fn upstream(&self, spans: &Spans<'_>) -> Upstream {
        let families = &self.families;
        let states = families.by(&catalogue::BREAKER_STATE, label::STATE);
        let rejected = families.by(&catalogue::KEY_REJECTED, label::KEY);
        let age = |at| self.now.saturating_duration_since(at).as_secs_f64();
        let errors = self.recent.upstream_errors().into_iter().map(|error| UpstreamError {
            reason: error.reason,
            blame: error.blame.as_str(),
            status: error.status,
            key: error.key.to_string(),
            age_seconds: age(error.at),
            request_id: error.request_id.map(|id| id.to_string()),
            trace_id: error.trace_id.map(|id| id.to_string()),
        });
        Upstream {
            breaker: states.into_iter().find(|(_, is)| *is > 0.0).map(|(state, _)| state),
            calls: spans.total(|counts| &counts.statuses),
            statuses: spans.named(|counts| &counts.statuses),
            p50_seconds: spans.window.upstream_seconds.quantile(0.5),
            p99_seconds: spans.window.upstream_seconds.quantile(0.99),
            retries: spans.plain(&catalogue::RETRIES),
            rate_limited: spans.plain(&catalogue::RATE_LIMITED),
            retry_budget: families.sum(&catalogue::RETRY_BUDGET_BALANCE),
            free_tier: families.sum(&catalogue::FREE_TIER).is_some_and(|is| is > 0.0),
            keys: rejected
                .into_iter()
                .map(|(key, rejected)| ApiKey { key, rejected: rejected > 0.0 })
                .collect(),
            errors: errors.collect(),
        }
    }

    fn slow_rpcs(&self) -> Vec<SlowRpc> {
        let rpcs = self.recent.slow_rpcs(self.now).into_iter();
        let shown = rpcs.map(|rpc| SlowRpc {
            method: rpc.method,
            seconds: rpc.took.as_secs_f64(),
            outcome: rpc.outcome.as_str(),
            caller: rpc.caller.map(|caller| caller.to_string()),
            request_id: rpc.request_id,
            trace_id: rpc.trace_id.to_string(),
            age_seconds: self.now.saturating_duration_since(rpc.ended).as_secs_f64(),
        });
        shown.collect()
    }

    fn process(&self) -> Process {
        let families = &self.families;
        let gauge = |metric| families.sum(metric);
        let max = families.by(&catalogue::MAX_CONNECTIONS, label::PORT);
        let mut open = families.by(&catalogue::CONNECTIONS, label::PORT);
        for port in max.keys() {
            open.entry(port.clone()).or_default();
        }
        let connections = open.into_iter().rev();
        Process {
            resident_bytes: gauge(&catalogue::MEMORY_USAGE),
            threads: gauge(&catalogue::THREADS),
            file_descriptors: gauge(&catalogue::FILE_DESCRIPTORS),
            connections: connections
                .map(|(port, open)| Connections { max: max.get(&port).copied(), port, open })
                .collect(),
            certificate_expires_in_seconds: gauge(&catalogue::TLS_CERTIFICATE_NOT_AFTER)
                .map(|not_after| not_after - self.wall_seconds),
        }
    }
}

/// Both spans that counters are told for.
struct Spans<'a> {
    since_start: &'a Counts,
    window: &'a Counts,
    seconds: f64,
}

impl Spans<'_> {
    fn named(&self, of: impl Fn(&Counts) -> &ByLabel) -> Vec<Named> {
        let last_minute = of(self.window);
        let named = |(name, since_start): (&String, &f64)| {
            let last_minute = last_minute.get(name).copied().unwrap_or_default();
            Named { name: name.clone(), count: Count { last_minute, since_start: *since_start } }
        };
        of(self.since_start).iter().map(named).collect()
    }

    fn one(&self, of: impl Fn(&Counts) -> &ByLabel, name: &str) -> Option<Count> {
        let since_start = *of(self.since_start).get(name)?;
        let last_minute = of(self.window).get(name).copied().unwrap_or_default();
        Some(Count { last_minute, since_start })
    }

    fn total(&self, of: impl Fn(&Counts) -> &ByLabel) -> Count {
        Count {
            last_minute: of(self.window).values().sum(),
            since_start: of(self.since_start).values().sum(),
        }
    }

    fn plain(&self, metric: &Metric) -> Count {
        self.one(|counts| &counts.plain, metric.name).unwrap_or_default()
    }

    fn rpcs(&self) -> Rpcs {
        let outcome = |outcome: RpcOutcome| Named {
            name: outcome.as_str().to_owned(),
            count: self.one(|counts| &counts.outcomes, outcome.as_str()).unwrap_or_default(),
        };
        let all = self.total(|counts| &counts.outcomes);
        Rpcs {
            // The first second after a start is too short to speak of a rate.
            per_second: all.last_minute / self.seconds.max(1.0),
            all,
            outcomes: RpcOutcome::ALL.map(outcome).to_vec(),
            p50_seconds: self.window.rpc_seconds.quantile(0.5),
            p99_seconds: self.window.rpc_seconds.quantile(0.99),
        }
    }

    fn cache(&self, families: &Families) -> Cache {
        let ratio = |counts: &Counts| {
            let of = |result| counts.lookups.get(result).copied().unwrap_or_default();
            let looked_up: f64 = of("hit") + of("miss") + of("coalesced");
            (looked_up > 0.0).then(|| of("hit") / looked_up)
        };
        Cache {
            hit_ratio_last_minute: ratio(self.window),
            hit_ratio_since_start: ratio(self.since_start),
            entries: families.sum(&catalogue::CACHE_ENTRIES),
            bytes: families.sum(&catalogue::CACHE_SIZE),
            max_bytes: families.sum(&catalogue::CACHE_MAX_SIZE),
        }
    }

    fn cost(&self) -> Cost {
        Cost {
            spent_usd: self.one(|counts| &counts.cost, "spent"),
            saved_usd: self.one(|counts| &counts.cost, "saved"),
        }
    }

    fn tokens(&self) -> Tokens {
        Tokens {
            billed: self.total(|counts| &counts.caller_tokens),
            saved: self.one(|counts| &counts.tokens, "saved"),
        }
    }

    fn work(&self, families: &Families) -> Work {
        let gauge = |metric| families.sum(metric);
        Work {
            waiting_texts: gauge(&catalogue::QUEUE_ITEMS),
            waiting_bytes: gauge(&catalogue::QUEUE_SIZE),
            wait_p50_seconds: self.window.waits.quantile(0.5),
            wait_p99_seconds: self.window.waits.quantile(0.99),
            calls: gauge(&catalogue::BATCHES_IN_FLIGHT),
            max_calls: gauge(&catalogue::BATCHES_MAX_IN_FLIGHT),
            batch_fill: self.window.fill.mean(),
            batch_texts: self.window.size.mean(),
            requests: gauge(&catalogue::IN_FLIGHT_REQUESTS),
            max_requests: gauge(&catalogue::MAX_IN_FLIGHT_REQUESTS),
            request_bytes: gauge(&catalogue::IN_FLIGHT_SIZE),
            max_request_bytes: gauge(&catalogue::MAX_IN_FLIGHT_SIZE),
        }
    }

    fn callers(&self) -> Vec<CallerUse> {
        let mut callers: BTreeMap<String, CallerUse> = BTreeMap::new();
        for Named { name, count } in self.named(|counts| &counts.caller_tokens) {
            callers.entry(name).or_default().tokens = count;
        }
        for Named { name, count } in self.named(|counts| &counts.caller_rpcs) {
            callers.entry(name).or_default().rpcs = Some(count);
        }
        let mut callers: Vec<CallerUse> =
            callers.into_iter().map(|(caller, of)| CallerUse { caller, ..of }).collect();
        let size =
            |of: &CallerUse| (of.tokens.since_start, of.rpcs.map_or(0.0, |rpcs| rpcs.since_start));
        let order = |a: &CallerUse, b: &CallerUse| {
            let ((a_tokens, a_rpcs), (b_tokens, b_rpcs)) = (size(a), size(b));
            b_tokens.total_cmp(&a_tokens).then(b_rpcs.total_cmp(&a_rpcs))
        };
        callers.sort_by(order);
        callers.truncate(CALLERS);
        callers
    }
}

fn rate_limits(families: &Families) -> Vec<RateLimit> {
    let mut limits: BTreeMap<(String, String), RateLimit> = BTreeMap::new();
    let mut read = |metric, set: fn(&mut Use, f64)| {
        for series in families.series(metric) {
            let of = |name| series.label(name).to_owned();
            let limit = limits.entry((of(label::MODEL), of(label::KEY))).or_default();
            let of = match series.label(label::UNIT) {
                "requests" => &mut limit.requests,
                "tokens" => &mut limit.tokens,
                _ => continue,
            };
            set(of.get_or_insert_default(), series.value);
        }
    };
    read(&catalogue::RATE_LIMIT_USED, |of, value| of.used = value);
    read(&catalogue::RATE_LIMIT_LIMIT, |of, value| of.limit = value);
    let named = |((model, key), limit)| RateLimit { model, key, ..limit };
    limits.into_iter().map(named).collect()
}

fn budgets(families: &Families) -> Vec<Budget> {
    let used = families.by(&catalogue::BUDGET_USED_TOKENS, label::BUDGET);
    let limits = families.by(&catalogue::BUDGET_LIMIT_TOKENS, label::BUDGET);
    let budget = |(budget, limit): (String, f64)| {
        let used = used.get(&budget).copied().unwrap_or_default();
        Budget { budget, tokens: Use { used, limit } }
    };
    limits.into_iter().map(budget).collect()
}
