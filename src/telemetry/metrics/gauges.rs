//! Observable gauges: values that their owners return at each collection.
//!
//! An owner's function must not hold the metrics strongly, since the metrics hold the function. If a gauge has two
//! functions, the last one wins.

use std::sync::Arc;

use opentelemetry::{
    KeyValue,
    metrics::{Meter, MeterProvider as _},
};

use super::{
    Metrics, PortName, SCOPE,
    catalogue::{self, Metric, label},
    connections, model_label,
};
use crate::model::ModelName;

/// The state of the cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cached {
    /// Entries.
    pub entries: u64,
    /// Size in bytes.
    pub bytes: u64,
    /// Maximum size in bytes.
    pub max_bytes: u64,
}

/// The state of admission.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Admitted {
    /// Requests in flight.
    pub requests: u64,
    /// Maximum of requests in flight.
    pub max_requests: u64,
    /// Bytes in flight.
    pub bytes: u64,
    /// Maximum of bytes in flight.
    pub max_bytes: u64,
}

/// The rate window of a key for a model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RateWindow {
    /// The model.
    pub model: ModelName,
    /// The key's alias.
    pub key: Arc<str>,
    /// Requests used, and their limit.
    pub requests: (u64, u64),
    /// Tokens used, and their limit.
    pub tokens: (u64, u64),
}

/// The state of a circuit breaker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BreakerState {
    /// All calls pass.
    Closed,
    /// No call passes.
    Open,
    /// One probe is in flight or due.
    HalfOpen,
}

/// The state of the dispatch. All methods are fast.
pub trait DispatchState: Send + Sync {
    /// Returns the upstream calls in flight, and their maximum.
    fn batches(&self) -> (u64, u64);
    /// Returns the pending inputs, and their bytes.
    fn queue(&self) -> (u64, u64);
    /// Returns the rate window of each key and called model.
    fn rate_windows(&self) -> Vec<RateWindow>;
    /// Returns the number of retries that the retry budget allows now.
    fn retry_balance(&self) -> f64;
    /// Returns the state of the circuit breaker.
    fn breaker(&self) -> BreakerState;
    /// Returns whether Voyage treats an account as one without a payment method.
    fn is_free_tier(&self) -> bool;
    /// Returns the alias of each key, and whether the key is set aside because Voyage rejected it.
    fn rejected_keys(&self) -> Vec<(Arc<str>, bool)>;
}

/// A budget's setting, used tokens and limit.
type BudgetGauge = (&'static str, u64, u64);

type Labels = Vec<KeyValue>;

/// The gauges of one owner.
struct Gauges<T> {
    meter: Meter,
    /// Returns the current state; `None` when the owner is gone.
    state: Arc<dyn Fn() -> Option<T> + Send + Sync>,
}

impl<T: 'static> Gauges<T> {
    /// Registers a gauge of one series.
    fn value(&self, metric: &'static Metric, labels: &[KeyValue], read: fn(&T) -> u64) {
        let labels = labels.to_vec();
        self.series(metric, move |state| vec![(read(state), labels.clone())]);
    }

    /// Registers a gauge of any number of series.
    fn series(
        &self,
        metric: &'static Metric,
        read: impl Fn(&T) -> Vec<(u64, Labels)> + Send + Sync + 'static,
    ) {
        let state = Arc::clone(&self.state);
        metric.gauge(&self.meter, move |gauge| {
            for (value, labels) in state().iter().flat_map(&read) {
                gauge.observe(value, &labels);
            }
        });
    }
}

impl Metrics {
    fn gauges<T>(
        &self,
        state: impl Fn() -> Option<T> + Send + Sync + 'static,
    ) -> Option<Gauges<T>> {
        let meter = self.shared.as_ref()?.provider.meter(SCOPE);
        Some(Gauges { meter, state: Arc::new(state) })
    }

    /// Registers [`catalogue::CACHE_ENTRIES`], [`catalogue::CACHE_SIZE`] and [`catalogue::CACHE_MAX_SIZE`].
    pub fn watch_cache(&self, cached: impl Fn() -> Option<Cached> + Send + Sync + 'static) {
        let Some(gauges) = self.gauges(cached) else { return };
        let memory = [KeyValue::new(label::TIER, "memory")];
        gauges.value(&catalogue::CACHE_ENTRIES, &memory, |cached| cached.entries);
        gauges.value(&catalogue::CACHE_SIZE, &memory, |cached| cached.bytes);
        gauges.value(&catalogue::CACHE_MAX_SIZE, &memory, |cached| cached.max_bytes);
    }

    /// Registers [`catalogue::IN_FLIGHT_REQUESTS`], [`catalogue::IN_FLIGHT_SIZE`] and their maxima.
    pub fn watch_admission(&self, admitted: impl Fn() -> Option<Admitted> + Send + Sync + 'static) {
        let Some(gauges) = self.gauges(admitted) else { return };
        gauges.value(&catalogue::IN_FLIGHT_REQUESTS, &[], |admitted| admitted.requests);
        gauges.value(&catalogue::MAX_IN_FLIGHT_REQUESTS, &[], |admitted| admitted.max_requests);
        gauges.value(&catalogue::IN_FLIGHT_SIZE, &[], |admitted| admitted.bytes);
        gauges.value(&catalogue::MAX_IN_FLIGHT_SIZE, &[], |admitted| admitted.max_bytes);
    }

    /// Registers [`catalogue::BUDGET_USED_TOKENS`] and [`catalogue::BUDGET_LIMIT_TOKENS`] for the configured budgets:
    /// setting, used tokens and limit.
    pub fn watch_budgets(&self, budgets: impl Fn() -> Vec<BudgetGauge> + Send + Sync + 'static) {
        let Some(gauges) = self.gauges(move || Some(budgets())) else { return };
        let of = |budget| vec![KeyValue::new(label::BUDGET, budget)];
        gauges.series(&catalogue::BUDGET_USED_TOKENS, move |budgets| {
            budgets.iter().map(|(budget, used, _)| (*used, of(*budget))).collect()
        });
        gauges.series(&catalogue::BUDGET_LIMIT_TOKENS, move |budgets| {
            budgets.iter().map(|(budget, _, limit)| (*limit, of(*budget))).collect()
        });
    }

    /// Registers the gauges of the dispatch.
    pub fn watch_dispatch(
        &self,
        dispatch: impl Fn() -> Option<Arc<dyn DispatchState>> + Send + Sync + 'static,
    ) {
        let Some(gauges) = self.gauges(dispatch) else { return };
        gauges.value(&catalogue::BATCHES_IN_FLIGHT, &[], |state| state.batches().0);
        gauges.value(&catalogue::BATCHES_MAX_IN_FLIGHT, &[], |state| state.batches().1);
        gauges.value(&catalogue::QUEUE_ITEMS, &[], |state| state.queue().0);
        gauges.value(&catalogue::QUEUE_SIZE, &[], |state| state.queue().1);
        gauges.value(&catalogue::FREE_TIER, &[], |state| state.is_free_tier().into());
        gauges.series(&catalogue::RATE_LIMIT_USED, |state| windows(&**state, |(used, _)| used));
        gauges.series(&catalogue::RATE_LIMIT_LIMIT, |state| windows(&**state, |(_, limit)| limit));
        gauges.series(&catalogue::BREAKER_STATE, |state| {
            let now = state.breaker();
            let states = [
                ("closed", BreakerState::Closed),
                ("open", BreakerState::Open),
                ("half_open", BreakerState::HalfOpen),
            ];
            let series =
                |(name, state)| (u64::from(now == state), vec![KeyValue::new(label::STATE, name)]);
            states.map(series).to_vec()
        });
        gauges.series(&catalogue::KEY_REJECTED, |state| {
            let keys = state.rejected_keys().into_iter();
            keys.map(|(alias, rejected)| (rejected.into(), vec![KeyValue::new(label::KEY, alias)]))
                .collect()
        });
        let state = gauges.state;
        catalogue::RETRY_BUDGET_BALANCE.float_gauge(&gauges.meter, move |gauge| {
            if let Some(state) = state() {
                gauge.observe(state.retry_balance(), &[]);
            }
        });
    }

    /// Registers [`catalogue::TLS_CERTIFICATE_NOT_AFTER`]; `not_after` is in seconds since 1970.
    pub fn watch_certificate(&self, not_after: impl Fn() -> Option<i64> + Send + Sync + 'static) {
        let Some(gauges) = self.gauges(not_after) else { return };
        gauges.value(&catalogue::TLS_CERTIFICATE_NOT_AFTER, &[], |not_after| {
            u64::try_from(*not_after).unwrap_or_default()
        });
    }

    /// Registers [`catalogue::MAX_CONNECTIONS`] of a port.
    pub fn max_connections(&self, name: PortName, max: u32) {
        let Some(gauges) = self.gauges(move || Some(max)) else { return };
        let port = [connections::port(name)];
        gauges.value(&catalogue::MAX_CONNECTIONS, &port, |max| u64::from(*max));
    }
}

fn windows(state: &dyn DispatchState, of: fn((u64, u64)) -> u64) -> Vec<(u64, Labels)> {
    let windows = by_label(state.rate_windows()).into_iter();
    let series = |window: RateWindow| {
        [("requests", window.requests), ("tokens", window.tokens)].map(|(unit, used_and_limit)| {
            let labels = vec![
                KeyValue::new(label::MODEL, model_label(&window.model)),
                KeyValue::new(label::KEY, Arc::clone(&window.key)),
                KeyValue::new(label::UNIT, unit),
            ];
            (of(used_and_limit), labels)
        })
    };
    windows.flat_map(series).collect()
}

/// Keeps one window per pair of labels: of models with the same label, the one that has used the largest share of its
/// tokens.
pub(super) fn by_label(mut windows: Vec<RateWindow>) -> Vec<RateWindow> {
    let share = |window: &RateWindow| {
        // In thousandths: integers have a total order.
        u128::from(window.tokens.0) * 1_000 / u128::from(window.tokens.1.max(1))
    };
    windows.sort_by(|one, other| {
        let labels = |window: &RateWindow| (model_label(&window.model), Arc::clone(&window.key));
        // The name decides between equals, so that both metrics show the same window.
        labels(one)
            .cmp(&labels(other))
            .then(share(other).cmp(&share(one)))
            .then_with(|| one.model.as_bytes().cmp(other.model.as_bytes()))
    });
    windows.dedup_by(|one, other| {
        model_label(&one.model) == model_label(&other.model) && one.key == other.key
    });
    windows
}
