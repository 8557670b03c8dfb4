//! The rate limits of Voyage: requests and tokens a minute, for each key and model.
//!
//! A call reserves one request and its estimated tokens before it is sent, and settles with the reported usage.
//! [`window`] counts one sliding minute, [`allowance`] holds its limits, [`gate`] closes after a 429, and [`forecast`]
//! predicts the free budget. Configured limits are never exceeded; others start at Voyage's tier 1 and adapt to 429s.
//!
//! Voyage counts by model and by credential: every key of the [`Pool`] has one window for each model. A call uses the
//! key with the most free budget, and is blocked only when no key has enough.

mod allowance;
mod config;
mod forecast;
mod gate;
mod reservation;
mod window;

use std::{collections::HashMap, sync::Arc};

use parking_lot::Mutex;
use tokio::time::Instant;

pub use config::{Config, ModelLimits};
pub(crate) use forecast::Forecast;
pub(crate) use reservation::Reservation;

use super::pool::{Pool, Usable};
use crate::{caller::Priority, model::Catalogue, telemetry::RateWindow};
use allowance::Allowance;
use window::{GLANCE, Ticket, Window};

/// The most windows of models that are neither configured nor in the catalogue. Callers may name any model: further
/// ones share one window.
const MAX_UNLISTED: usize = 256;

/// The name of the shared window; no model has it.
const OTHERS: &str = "";

/// The budgets of all keys and models.
#[derive(Debug)]
pub(crate) struct Limiter {
    config: Config,
    catalogue: Catalogue,
    pool: Arc<Pool>,
    /// Never held across an await.
    windows: Mutex<Windows>,
}

#[derive(Debug)]
struct Windows {
    /// By model; one window for each key.
    by_model: HashMap<Arc<str>, Vec<Window>>,
    /// For each key, whether Voyage reported the free tier and no minute has disproved it since.
    free_tier: Vec<bool>,
}

/// Why a call cannot be sent now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Blocked {
    /// The earliest known time to try again; the end of another call can make it earlier.
    pub(crate) until: Instant,
    /// The cause of the wait.
    pub(crate) cause: Cause,
}

/// The cause of a wait for budget.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cause {
    /// The requests of the minute are used.
    Requests,
    /// The tokens of the minute are used.
    Tokens,
    /// A 429 closed the gate.
    Gate,
    /// The probe after a 429 is in flight for an unknown time: no waiter is rejected for it.
    InFlight,
}

/// Requests and tokens of one minute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PerMinute {
    pub(crate) requests: u64,
    pub(crate) tokens: u64,
}

/// The tokens of one key's minute.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TokenRoom {
    /// Used by calls in flight or answered less than a minute ago.
    pub(crate) used: u64,
    /// The limit for interactive calls.
    pub(crate) interactive: u64,
    /// The limit for batch calls.
    pub(crate) batch: u64,
}

/// A reservation in the window of one key.
#[derive(Clone, Copy, Debug)]
#[must_use]
pub(crate) struct Placed {
    /// The index of the key.
    index: usize,
    ticket: Ticket,
}

impl Limiter {
    /// Returns a limiter without usage.
    pub(crate) fn new(config: &Config, catalogue: &Catalogue, pool: Arc<Pool>) -> Arc<Self> {
        let windows = Windows { by_model: HashMap::new(), free_tier: vec![false; pool.len()] };
        Arc::new(Self {
            config: config.clone(),
            catalogue: catalogue.clone(),
            pool,
            windows: Mutex::new(windows),
        })
    }

    /// Reserves one request of `tokens` estimated tokens with the key that has the most free budget, or returns when to
    /// try again.
    ///
    /// A call larger than the whole budget is permitted when a key's minute is otherwise empty.
    pub(crate) fn reserve(
        self: &Arc<Self>,
        model: &str,
        priority: Priority,
        tokens: u64,
        now: Instant,
    ) -> Result<Reservation, Blocked> {
        let mut usable = self.pool.usable(now);
        loop {
            let (model, Placed { index, ticket }) = self.within(model, now, |name, windows| {
                reserve_best(windows, usable, priority, tokens, now)
                    .map(|placed| (Arc::clone(name), placed))
            })?;
            if let Some(key) = self.pool.take(index, now) {
                let (limiter, ticket) = (Arc::clone(self), Some(ticket));
                return Ok(Reservation { limiter, model, index, key, ticket, sent: false });
            }
            // The key was set aside since.
            self.update(&model, index, |window| window.refund(ticket));
            usable = usable.without(index);
        }
    }

    /// Returns the limits for batch calls of the key with the most free budget: a call must fit into one key's minute.
    pub(crate) fn for_batch(&self, model: &str) -> PerMinute {
        let now = Instant::now();
        let usable = self.pool.usable(now);
        let state = self.windows.lock();
        if let Some(windows) = state.by_model.get(model) {
            return roomiest(windows, usable, now).limits(Priority::Batch);
        }
        let limits = |index| self.allowance(model, index, &state).limits(Priority::Batch);
        let indices = (0..self.pool.len()).filter(|index| usable.has(*index));
        indices.map(limits).max_by_key(|limits| limits.tokens).unwrap_or_else(|| limits(0))
    }

    /// Returns the earliest known time at which [`Self::reserve`] succeeds, if no other call is sent; now, if it does
    /// now. Calls in flight count as freed a minute from now.
    pub(crate) fn free_at(
        &self,
        model: &str,
        priority: Priority,
        tokens: u64,
        now: Instant,
    ) -> Instant {
        let usable = self.pool.usable(now);
        self.within(model, now, |_, windows| {
            let free_at = |window: &Window| window.free_at(priority, tokens, now);
            let of_usable = windows.iter().enumerate().filter(|(index, _)| usable.has(*index));
            let soonest = of_usable.map(|(_, window)| free_at(window)).min();
            soonest.or_else(|| windows.iter().map(free_at).min()).unwrap_or(now)
        })
    }

    /// Returns a forecast of a model's budget from `now` on.
    pub(crate) fn forecast(&self, model: &str, now: Instant) -> Forecast {
        let usable = self.pool.usable(now);
        self.within(model, now, |_, windows| Forecast::new(windows, usable, now))
    }

    /// Returns the tokens of the key with the most free budget.
    pub(crate) fn token_room(&self, model: &str, now: Instant) -> TokenRoom {
        let usable = self.pool.usable(now);
        self.within(model, now, |_, windows| roomiest(windows, usable, now).token_room())
    }

    /// Returns the usage of every window: of each key, for each model that was called.
    pub(crate) fn windows(&self, now: Instant) -> Vec<RateWindow> {
        let mut state = self.windows.lock();
        let Windows { by_model, free_tier } = &mut *state;
        let mut found = Vec::new();
        for (model, windows) in by_model {
            advance(windows, free_tier, now);
            found.extend(windows.iter().enumerate().map(|(index, window)| {
                let (used, limits) = (window.used(), window.limits(Priority::Interactive));
                RateWindow {
                    model: self.catalogue.resolve(model),
                    key: self.pool.alias(index).map(Arc::clone).unwrap_or_default(),
                    requests: (used.requests, limits.requests),
                    tokens: (used.tokens, limits.tokens),
                }
            }));
        }
        found
    }

    /// Returns whether Voyage treats a key's account as one without a payment method.
    pub(crate) fn is_free_tier(&self) -> bool {
        self.windows.lock().free_tier.contains(&true)
    }

    /// Calls `work` with the model's windows, one for each key, which are created if there are none.
    fn within<R>(
        &self,
        model: &str,
        now: Instant,
        work: impl FnOnce(&Arc<str>, &mut [Window]) -> R,
    ) -> R {
        let mut state = self.windows.lock();
        let name = self.window_of(&mut state, model, now);
        if !state.by_model.contains_key(&name) {
            let allowances = (0..self.pool.len()).map(|index| self.allowance(&name, index, &state));
            let windows = allowances.map(|allowance| Window::new(allowance, now)).collect();
            state.by_model.insert(Arc::clone(&name), windows);
        }
        let Windows { by_model, free_tier } = &mut *state;
        let windows = by_model.get_mut(&name).map(Vec::as_mut_slice).unwrap_or_default();
        advance(windows, free_tier, now);
        work(&name, windows)
    }

    /// Returns the initial limits of a key for a model.
    fn allowance(&self, model: &str, index: usize, state: &Windows) -> Allowance {
        let mut allowance =
            self.config.allowance(model, self.catalogue.find(model), self.pool.limits(index));
        if state.free_tier.get(index) == Some(&true) {
            allowance.fall_to_free_tier();
        }
        allowance
    }

    /// Returns the name of the model's windows: its own, or [`OTHERS`].
    fn window_of(&self, state: &mut Windows, model: &str, now: Instant) -> Arc<str> {
        if let Some((name, _)) = state.by_model.get_key_value(model) {
            return Arc::clone(name);
        }
        if self.is_listed(model) {
            return Arc::from(model);
        }
        let is_full = |state: &Windows| {
            // Calls in the shared window may be this model's: they must count together.
            let own = state.by_model.keys().filter(|name| !self.is_listed(name)).count();
            own >= MAX_UNLISTED || state.by_model.contains_key(OTHERS)
        };
        if is_full(state) {
            state.by_model.retain(|name, windows| {
                for window in windows.iter_mut() {
                    window.advance(now);
                }
                self.is_listed(name) || !windows.iter().all(|window| window.is_idle(now))
            });
        }
        Arc::from(if is_full(state) { OTHERS } else { model })
    }

    fn is_listed(&self, model: &str) -> bool {
        self.catalogue.find(model).is_some() || self.config.models.contains_key(model)
    }

    /// Changes the window of one key. A window with a call in flight is never removed.
    fn update<R>(
        &self,
        model: &str,
        index: usize,
        work: impl FnOnce(&mut Window) -> R,
    ) -> Option<R> {
        self.windows.lock().by_model.get_mut(model)?.get_mut(index).map(work)
    }

    /// Applies the limits of the free tier to a key, for every model.
    fn fall_to_free_tier(&self, index: usize) {
        let is_known = {
            let mut state = self.windows.lock();
            let windows = state.by_model.values_mut().filter_map(|windows| windows.get_mut(index));
            windows.for_each(Window::fall_to_free_tier);
            state.free_tier.get_mut(index).is_none_or(|known| std::mem::replace(known, true))
        };
        if !is_known {
            tracing::warn!(
                key = self.pool.alias(index).map(AsRef::as_ref),
                "Voyage's account has no payment method: 3 requests and 10,000 tokens a minute, for every model; \
                 calls wait accordingly"
            );
        }
    }
}

/// Advances a model's windows to `now`; a minute may disprove the free tier.
fn advance(windows: &mut [Window], free_tier: &mut [bool], now: Instant) {
    for (window, free_tier) in windows.iter_mut().zip(free_tier) {
        *free_tier &= !window.advance(now);
    }
}

/// Reserves with the key that has the most free budget for such a call, or returns when the first key has enough.
fn reserve_best(
    windows: &mut [Window],
    usable: Usable,
    priority: Priority,
    tokens: u64,
    now: Instant,
) -> Result<Placed, Blocked> {
    let mut left = usable;
    let mut blocked: Option<Blocked> = None;
    loop {
        let usable = windows.iter().enumerate().filter(|(index, _)| left.has(*index));
        // `max_by_key` returns the last of equals: reversed, the first.
        let best = usable.rev().max_by_key(|(_, window)| window.appeal(priority, tokens, now));
        let Some((index, _)) = best else {
            // Without a usable key, only the time of the next check is known.
            return Err(blocked.unwrap_or(Blocked { until: now + GLANCE, cause: Cause::InFlight }));
        };
        match windows[index].reserve(priority, tokens, now) {
            Ok(ticket) => return Ok(Placed { index, ticket }),
            Err(other) => {
                let sooner = blocked.is_none_or(|blocked| other.until < blocked.until);
                blocked = if sooner { Some(other) } else { blocked };
                left = left.without(index);
            }
        }
    }
}

/// Returns the window of the key with the most free budget.
fn roomiest(windows: &[Window], usable: Usable, now: Instant) -> &Window {
    let rev = windows.iter().enumerate().rev();
    let best = rev.max_by_key(|(index, window)| (usable.has(*index), window.room(now)));
    best.map_or(&windows[0], |(_, window)| window)
}

#[cfg(test)]
mod tests;
