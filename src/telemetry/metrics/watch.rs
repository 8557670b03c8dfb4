//! What is asked for when somebody looks: gauges, by what others tell of themselves.
//!
//! Each instrument is registered once, when the metrics are made; who tells is put in later, and the last one counts.
//! Whoever tells must not hold the metrics by it: they would hold each other for ever.

use std::sync::Arc;

use opentelemetry::{KeyValue, metrics::Meter};
use parking_lot::Mutex;

use super::{
    Metrics, PortName, build,
    catalogue::{self, Metric, label},
    connections, model_label,
};

/// What the cache holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cached {
    /// Answers.
    pub entries: u64,
    /// Bytes they take.
    pub bytes: u64,
    /// Bytes they may take.
    pub max_bytes: u64,
}

/// What admission has let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Admitted {
    /// Requests.
    pub requests: u64,
    /// As many as may be.
    pub max_requests: u64,
    /// Bytes of theirs.
    pub bytes: u64,
    /// As many as may be.
    pub max_bytes: u64,
}

/// What is used of one key's minute for one model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RateWindow {
    /// The model's name.
    pub model: Arc<str>,
    /// The key's alias.
    pub key: Arc<str>,
    /// Requests used, and their limit.
    pub requests: (u64, u64),
    /// Tokens used, and their limit.
    pub tokens: (u64, u64),
}

/// The phase of a circuit breaker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BreakerState {
    /// Everyone passes.
    Closed,
    /// Nobody passes.
    Open,
    /// One probe is out, or due.
    HalfOpen,
}

/// What the dispatch tells of itself; each answer is quick and true at the moment.
pub trait DispatchState: Send + Sync {
    /// Returns the upstream calls that are out, and how many may be.
    fn batches(&self) -> (u64, u64);
    /// Returns the inputs behind the door, and their bytes.
    fn queue(&self) -> (u64, u64);
    /// Returns what is used of each key's minute, for each model that was called.
    fn rate_windows(&self) -> Vec<RateWindow>;
    /// Returns how many repeats may be made at once.
    fn retry_balance(&self) -> f64;
    /// Returns the breaker's phase.
    fn breaker(&self) -> BreakerState;
    /// Returns whether Voyage treats an account as one without a payment method.
    fn is_free_tier(&self) -> bool;
    /// Returns every key's alias, and whether it is set aside because Voyage rejected it.
    fn rejected_keys(&self) -> Vec<(Arc<str>, bool)>;
}

/// A setting, what is used of it, and its value.
type Budget = (&'static str, u64, u64);

/// A place for one who tells.
struct Slot<T>(Mutex<Option<Tells<T>>>);

type Tells<T> = Arc<dyn Fn() -> T + Send + Sync>;

impl<T> Default for Slot<T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<T> Slot<T> {
    fn put(&self, tells: impl Fn() -> T + Send + Sync + 'static) {
        *self.0.lock() = Some(Arc::new(tells));
    }

    fn ask(&self) -> Option<T> {
        // Not asked under the lock: whoever tells may take its time.
        let tells = self.0.lock().clone()?;
        Some(tells())
    }
}

/// Whom to ask.
#[derive(Default)]
pub(super) struct Watched {
    cache: Slot<Option<Cached>>,
    admission: Slot<Option<Admitted>>,
    budgets: Slot<Vec<Budget>>,
    dispatch: Slot<Option<Arc<dyn DispatchState>>>,
    certificate: Slot<Option<i64>>,
    max_connections: Mutex<Vec<(PortName, u32)>>,
}

impl Watched {
    fn dispatch(&self) -> Option<Arc<dyn DispatchState>> {
        self.dispatch.ask().flatten()
    }
}

impl Metrics {
    /// [`catalogue::CACHE_ENTRIES`], [`catalogue::CACHE_SIZE`] and [`catalogue::CACHE_MAX_SIZE`], as `cached` tells them.
    pub fn watch_cache(&self, cached: impl Fn() -> Option<Cached> + Send + Sync + 'static) {
        if let Some(shared) = &self.shared {
            shared.watched.cache.put(cached);
        }
    }

    /// [`catalogue::IN_FLIGHT_REQUESTS`] and [`catalogue::IN_FLIGHT_SIZE`]: requests that admission has let in and whose
    /// reply has not left, and the bytes of messages, inputs and replies; and their maxima, as `admitted` tells them.
    pub fn watch_admission(&self, admitted: impl Fn() -> Option<Admitted> + Send + Sync + 'static) {
        if let Some(shared) = &self.shared {
            shared.watched.admission.put(admitted);
        }
    }

    /// [`catalogue::BUDGET_USED_TOKENS`] and [`catalogue::BUDGET_LIMIT_TOKENS`]: the gateway's own budgets of tokens that
    /// are set, as `budgets` tells them: setting, used, limit.
    pub fn watch_budgets(
        &self,
        budgets: impl Fn() -> Vec<(&'static str, u64, u64)> + Send + Sync + 'static,
    ) {
        if let Some(shared) = &self.shared {
            shared.watched.budgets.put(budgets);
        }
    }

    /// The gauges of what is behind the door, as whom `dispatch` finds tells them.
    pub fn watch_dispatch(
        &self,
        dispatch: impl Fn() -> Option<Arc<dyn DispatchState>> + Send + Sync + 'static,
    ) {
        if let Some(shared) = &self.shared {
            shared.watched.dispatch.put(dispatch);
        }
    }

    /// [`catalogue::TLS_CERTIFICATE_NOT_AFTER`]: when the certificate that callers are shown expires, in seconds since
    /// 1970, as `not_after` tells it.
    pub fn watch_certificate(&self, not_after: impl Fn() -> Option<i64> + Send + Sync + 'static) {
        if let Some(shared) = &self.shared {
            shared.watched.certificate.put(not_after);
        }
    }

    /// [`catalogue::MAX_CONNECTIONS`]: how many may be open on a port; further ones wait to be accepted.
    pub fn max_connections(&self, name: PortName, max: u32) {
        let Some(shared) = &self.shared else { return };
        let ports = &shared.watched.max_connections;
        let mut ports = ports.lock();
        ports.retain(|(port, _)| *port != name);
        ports.push((name, max));
    }
}

/// Registers every gauge of these, once.
pub(super) fn register(meter: &Meter, watched: &Arc<Watched>) {
    cache(meter, watched);
    admission(meter, watched);
    budgets(meter, watched);
    calls(meter, watched);
    limits(meter, watched);
    let asked = Arc::clone(watched);
    let metric = &catalogue::TLS_CERTIFICATE_NOT_AFTER;
    build::gauge(meter, metric, move |gauge| {
        // Before 1970 it has expired as well.
        let not_after = asked.certificate.ask().flatten();
        if let Some(not_after) = not_after {
            gauge.observe(u64::try_from(not_after).unwrap_or_default(), &[]);
        }
    });
    let asked = Arc::clone(watched);
    build::gauge(meter, &catalogue::MAX_CONNECTIONS, move |gauge| {
        let ports = asked.max_connections.lock().clone();
        for (port, max) in ports {
            gauge.observe(max.into(), &[connections::port(port)]);
        }
    });
}

fn cache(meter: &Meter, watched: &Arc<Watched>) {
    let gauge = |metric: &'static Metric, of: fn(Cached) -> u64| {
        let asked = Arc::clone(watched);
        build::gauge(meter, metric, move |gauge| {
            if let Some(cached) = asked.cache.ask().flatten() {
                gauge.observe(of(cached), &[KeyValue::new(label::TIER, "memory")]);
            }
        });
    };
    gauge(&catalogue::CACHE_ENTRIES, |cached| cached.entries);
    gauge(&catalogue::CACHE_SIZE, |cached| cached.bytes);
    gauge(&catalogue::CACHE_MAX_SIZE, |cached| cached.max_bytes);
}

fn admission(meter: &Meter, watched: &Arc<Watched>) {
    let gauge = |metric: &'static Metric, of: fn(Admitted) -> u64| {
        let asked = Arc::clone(watched);
        build::gauge(meter, metric, move |gauge| {
            if let Some(admitted) = asked.admission.ask().flatten() {
                gauge.observe(of(admitted), &[]);
            }
        });
    };
    gauge(&catalogue::IN_FLIGHT_REQUESTS, |admitted| admitted.requests);
    gauge(&catalogue::MAX_IN_FLIGHT_REQUESTS, |admitted| admitted.max_requests);
    gauge(&catalogue::IN_FLIGHT_SIZE, |admitted| admitted.bytes);
    gauge(&catalogue::MAX_IN_FLIGHT_SIZE, |admitted| admitted.max_bytes);
}

fn budgets(meter: &Meter, watched: &Arc<Watched>) {
    let gauge = |metric: &'static Metric, of: fn(Budget) -> u64| {
        let asked = Arc::clone(watched);
        build::gauge(meter, metric, move |gauge| {
            for budget in asked.budgets.ask().unwrap_or_default() {
                gauge.observe(of(budget), &[KeyValue::new(label::BUDGET, budget.0)]);
            }
        });
    };
    gauge(&catalogue::BUDGET_USED_TOKENS, |(_, used, _)| used);
    gauge(&catalogue::BUDGET_LIMIT_TOKENS, |(_, _, limit)| limit);
}

/// What is out and what waits.
fn calls(meter: &Meter, watched: &Arc<Watched>) {
    let gauge = |metric: &'static Metric, of: fn(&dyn DispatchState) -> u64| {
        let asked = Arc::clone(watched);
        build::gauge(meter, metric, move |gauge| {
            if let Some(dispatch) = asked.dispatch() {
                gauge.observe(of(&*dispatch), &[]);
            }
        });
    };
    gauge(&catalogue::BATCHES_IN_FLIGHT, |dispatch| dispatch.batches().0);
    gauge(&catalogue::BATCHES_MAX_IN_FLIGHT, |dispatch| dispatch.batches().1);
    gauge(&catalogue::QUEUE_ITEMS, |dispatch| dispatch.queue().0);
    gauge(&catalogue::QUEUE_SIZE, |dispatch| dispatch.queue().1);
    gauge(&catalogue::FREE_TIER, |dispatch| dispatch.is_free_tier().into());
    let asked = Arc::clone(watched);
    build::fraction(meter, &catalogue::RETRY_BUDGET_BALANCE, move |gauge| {
        if let Some(dispatch) = asked.dispatch() {
            gauge.observe(dispatch.retry_balance(), &[]);
        }
    });
    let asked = Arc::clone(watched);
    build::gauge(meter, &catalogue::BREAKER_STATE, move |gauge| {
        let Some(now) = asked.dispatch().map(|dispatch| dispatch.breaker()) else { return };
        for (name, state) in [
            ("closed", BreakerState::Closed),
            ("open", BreakerState::Open),
            ("half_open", BreakerState::HalfOpen),
        ] {
            gauge.observe(u64::from(now == state), &[KeyValue::new(label::STATE, name)]);
        }
    });
    let asked = Arc::clone(watched);
    build::gauge(meter, &catalogue::KEY_REJECTED, move |gauge| {
        for (alias, rejected) in asked.dispatch().iter().flat_map(|state| state.rejected_keys()) {
            gauge.observe(u64::from(rejected), &[KeyValue::new(label::KEY, alias)]);
        }
    });
}

/// The rate limits, and what is used of them.
fn limits(meter: &Meter, watched: &Arc<Watched>) {
    let gauge = |metric: &'static Metric, of: fn((u64, u64)) -> u64| {
        let asked = Arc::clone(watched);
        build::gauge(meter, metric, move |gauge| {
            let Some(dispatch) = asked.dispatch() else { return };
            for window in by_label(dispatch.rate_windows()) {
                for (unit, use_of) in [("requests", window.requests), ("tokens", window.tokens)] {
                    let labels = [
                        KeyValue::new(label::MODEL, model_label(&window.model)),
                        KeyValue::new(label::KEY, Arc::clone(&window.key)),
                        KeyValue::new(label::UNIT, unit),
                    ];
                    gauge.observe(of(use_of), &labels);
                }
            }
        });
    };
    gauge(&catalogue::RATE_LIMIT_USED, |(used, _)| used);
    gauge(&catalogue::RATE_LIMIT_LIMIT, |(_, limit)| limit);
}

/// Leaves one window for each pair of labels: of models that share one, that with the largest share of its tokens used.
pub(super) fn by_label(mut windows: Vec<RateWindow>) -> Vec<RateWindow> {
    let share = |window: &RateWindow| {
        // In thousandths: whole numbers can be compared.
        u128::from(window.tokens.0) * 1_000 / u128::from(window.tokens.1.max(1))
    };
    windows.sort_by(|one, other| {
        let labels = |window: &RateWindow| (model_label(&window.model), Arc::clone(&window.key));
        // The name decides between equals, so that both metrics tell of the same window.
        labels(one)
            .cmp(&labels(other))
            .then(share(other).cmp(&share(one)))
            .then(one.model.cmp(&other.model))
    });
    windows.dedup_by(|one, other| {
        model_label(&one.model) == model_label(&other.model) && one.key == other.key
    });
    windows
}
