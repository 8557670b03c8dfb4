//! What Voyage lets these keys send: requests and tokens in any minute, for each key and model.
//!
//! A call reserves its place and its estimated tokens before it is sent, and settles with what Voyage reports.
//! [`window`] keeps one sliding minute, [`allowance`] what its limits are believed to be, [`gate`] what follows
//! a 429, [`forecast`] what is free later. Limits that are configured are never exceeded; others start at Voyage's
//! tier 1 and are learnt.
//!
//! Voyage counts by model and by credential, and so does this: every key of the [`Pool`] has a window a model. A call
//! takes the key that has the most room for it and is held back only when no key has any.

mod allowance;
mod config;
mod forecast;
mod gate;
mod reservation;
mod window;

use std::{collections::HashMap, sync::Arc};

use parking_lot::{Mutex, MutexGuard};
use tokio::time::Instant;

pub use config::{Config, ModelLimits};
pub(crate) use forecast::Forecast;
pub(crate) use reservation::Reservation;

use super::pool::{Pool, Usable};
use crate::{caller::Priority, model, telemetry::RateWindow};
use allowance::Allowance;
use window::{GLANCE, Ticket, Window};

/// Models with a window of their own, beside those that are configured or in the catalogue. Callers may name
/// any model: further ones share one window.
const MAX_UNLISTED: usize = 256;

/// The name of the shared window; no model has it.
const OTHERS: &str = "";

/// The budgets of all keys and models.
#[derive(Debug)]
pub(crate) struct Limiter {
    config: Config,
    pool: Arc<Pool>,
    /// Never held across an await.
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// Of each model, one for every key.
    windows: HashMap<Arc<str>, Vec<Window>>,
    /// Of each key, whether Voyage spoke of the free tier and nothing has proved more since.
    free_tier: Vec<bool>,
}

/// Whose work a call is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Class {
    /// Somebody waits for it: it may use the whole budget.
    Interactive,
    /// It leaves a little of the budget to interactive calls.
    Batch,
}

impl From<Priority> for Class {
    fn from(priority: Priority) -> Self {
        match priority {
            Priority::Interactive => Self::Interactive,
            Priority::Batch => Self::Batch,
        }
    }
}

/// Why a call cannot be sent now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Blocked {
    /// The earliest known time at which trying again makes sense; a call that lands can make it earlier.
    pub(crate) until: Instant,
    /// What stands in the way.
    pub(crate) cause: Cause,
}

/// What stands in the way of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cause {
    /// The requests of the minute are used.
    Requests,
    /// The tokens of the minute are used.
    Tokens,
    /// Voyage answered 429 and asked for patience.
    Gate,
    /// The first call after a 429 is out, and how long it takes is not known: this is no reason to refuse
    /// anyone.
    InFlight,
}

/// What somebody waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Need {
    /// Calls.
    pub(crate) requests: u32,
    /// The tokens of all of them.
    pub(crate) tokens: u64,
}

/// What is used of a model's minute, of the key that has the most room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Usage {
    /// Requests in flight or ended less than a minute ago.
    pub(crate) requests: u64,
    /// The requests a minute in force.
    pub(crate) requests_limit: u64,
    /// The tokens of those requests.
    pub(crate) tokens: u64,
    /// The tokens a minute in force.
    pub(crate) tokens_limit: u64,
    /// Until when a 429 forbids further calls, if one does.
    pub(crate) closed_until: Option<Instant>,
}

/// The tokens of one key's minute.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TokenRoom {
    /// Used by calls in flight or answered less than a minute ago.
    pub(crate) used: u64,
    /// What interactive calls may use in all.
    pub(crate) interactive: u64,
    /// What batch calls may use in all.
    pub(crate) batch: u64,
}

impl Limiter {
    /// Returns a limiter under which nothing has been sent yet.
    pub(crate) fn new(config: &Config, pool: Arc<Pool>) -> Arc<Self> {
        let state = State { windows: HashMap::new(), free_tier: vec![false; pool.len()] };
        Arc::new(Self { config: config.clone(), pool, state: Mutex::new(state) })
    }

    /// Reserves one request of `tokens` estimated tokens, or says when to try again.
    ///
    /// Of the keys that have room it takes the one with the most. A call that is larger than the whole budget is let
    /// through when nothing else is in a key's minute.
    pub(crate) fn reserve(
        self: &Arc<Self>,
        model: &str,
        class: Class,
        tokens: u64,
        now: Instant,
    ) -> Result<Reservation, Blocked> {
        let mut usable = self.pool.usable(now);
        loop {
            let (name, index, ticket) = self.within(model, now, |name, windows| {
                reserve_best(windows, usable, class, tokens, now)
                    .map(|(index, ticket)| (Arc::clone(name), index, ticket))
            })?;
            if let Some(key) = self.pool.take(index, now) {
                return Ok(Reservation::new(Arc::clone(self), (name, index), key, ticket));
            }
            // It has been set aside between the two looks.
            self.update(&name, index, |window| window.refund(ticket));
            usable = usable.without(index);
        }
    }

    /// Returns the requests and the tokens of a minute that batch work may use of the key that has the most room: a call
    /// must fit into one key's minute.
    pub(crate) fn for_batch(&self, model: &str) -> (u64, u64) {
        let now = Instant::now();
        let usable = self.pool.usable(now);
        let state = self.lock();
        if let Some(windows) = state.windows.get(model) {
            return roomiest(windows, usable, now).limits(Class::Batch);
        }
        let limits = |index| self.allowance(model, index, &state).limits(Class::Batch);
        let indices = (0..self.pool.len()).filter(|index| usable.has(*index));
        indices.map(limits).max_by_key(|(_, tokens)| *tokens).unwrap_or_else(|| limits(0))
    }

    /// Returns the earliest known time at which so much is free of one key's minute, if nobody else takes it; now, if it
    /// is.
    ///
    /// For one request it is the time at which [`Self::reserve`] succeeds. Calls in flight count as freed a
    /// minute from now; more than a minute's budget takes several.
    pub(crate) fn free_at(&self, model: &str, class: Class, need: Need, now: Instant) -> Instant {
        let usable = self.pool.usable(now);
        self.within(model, now, |_, windows| {
            let free_at = |window: &Window| window.free_at(class, need, now);
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

    /// Returns the tokens of the key that has the most room.
    pub(crate) fn token_room(&self, model: &str, now: Instant) -> TokenRoom {
        let usable = self.pool.usable(now);
        self.within(model, now, |_, windows| roomiest(windows, usable, now).token_room())
    }

    /// Returns what is used of a model's budget, of the key that has the most room.
    #[cfg(test)]
    pub(crate) fn usage(&self, model: &str, now: Instant) -> Usage {
        let usable = self.pool.usable(now);
        self.within(model, now, |_, windows| roomiest(windows, usable, now).usage(now))
    }

    /// Returns what is used of every window there is: of each key, for each model that was called.
    pub(crate) fn windows(&self, now: Instant) -> Vec<RateWindow> {
        let mut state = self.lock();
        let State { windows, free_tier } = &mut *state;
        let mut found = Vec::new();
        for (model, windows) in windows {
            for (index, (window, free_tier)) in windows.iter_mut().zip(&mut *free_tier).enumerate()
            {
                // What a minute has proved would be lost if nobody were told.
                *free_tier &= !window.advance(now);
                let Usage { requests, requests_limit, tokens, tokens_limit, .. } =
                    window.usage(now);
                found.push(RateWindow {
                    model: Arc::clone(model),
                    key: self.pool.alias(index).map(Arc::clone).unwrap_or_default(),
                    requests: (requests, requests_limit),
                    tokens: (tokens, tokens_limit),
                });
            }
        }
        found
    }

    /// Tells whether Voyage treats a key's account as one without a payment method.
    pub(crate) fn is_free_tier(&self) -> bool {
        self.lock().free_tier.contains(&true)
    }

    /// Works on the windows that `model` counts in, one for each key; they are made where there are none.
    fn within<R>(
        &self,
        model: &str,
        now: Instant,
        work: impl FnOnce(&Arc<str>, &mut [Window]) -> R,
    ) -> R {
        let mut state = self.lock();
        let name = self.window_of(&mut state, model, now);
        if !state.windows.contains_key(&name) {
            let indices = 0..self.pool.len();
            let windows = indices
                .map(|index| Window::new(self.allowance(&name, index, &state), now))
                .collect();
            state.windows.insert(Arc::clone(&name), windows);
        }
        let State { windows, free_tier } = &mut *state;
        let windows = windows.get_mut(&name).map(Vec::as_mut_slice).unwrap_or_default();
        for (window, free_tier) in windows.iter_mut().zip(free_tier) {
            *free_tier &= !window.advance(now);
        }
        work(&name, windows)
    }

    /// Returns what a key may send to a model of which nothing is learnt yet.
    fn allowance(&self, model: &str, index: usize, state: &State) -> Allowance {
        let mut allowance = self.config.allowance(model, self.pool.limits(index));
        if state.free_tier.get(index) == Some(&true) {
            allowance.fall_to_free_tier();
        }
        allowance
    }

    /// Returns the name of the window that `model` counts in.
    fn window_of(&self, state: &mut State, model: &str, now: Instant) -> Arc<str> {
        if let Some((name, _)) = state.windows.get_key_value(model) {
            return Arc::clone(name);
        }
        if self.is_listed(model) {
            return Arc::from(model);
        }
        let is_full = |state: &State| {
            // While the shared window holds calls, some may be this model's: they must count together.
            let own = state.windows.keys().filter(|name| !self.is_listed(name)).count();
            own >= MAX_UNLISTED || state.windows.contains_key(OTHERS)
        };
        if is_full(state) {
            state.windows.retain(|name, windows| {
                for window in windows.iter_mut() {
                    window.advance(now);
                }
                self.is_listed(name) || !windows.iter().all(|window| window.is_idle(now))
            });
        }
        Arc::from(if is_full(state) { OTHERS } else { model })
    }

    fn is_listed(&self, model: &str) -> bool {
        model::find(model).is_some() || self.config.models.contains_key(model)
    }

    /// Ends a reservation.
    fn update<R>(
        &self,
        name: &str,
        index: usize,
        work: impl FnOnce(&mut Window) -> R,
    ) -> Option<R> {
        // A window with a call in flight is never forgotten.
        self.lock().windows.get_mut(name)?.get_mut(index).map(work)
    }

    /// Believes Voyage that a key's account is in the free tier, for every model.
    fn fall_to_free_tier(&self, index: usize) {
        let is_known = {
            let mut state = self.lock();
            let windows = state.windows.values_mut().filter_map(|windows| windows.get_mut(index));
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

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }
}

/// Reserves with the key that has the most room for such a call; where none has any, says when the first will.
fn reserve_best(
    windows: &mut [Window],
    usable: Usable,
    class: Class,
    tokens: u64,
    now: Instant,
) -> Result<(usize, Ticket), Blocked> {
    let mut left = usable;
    // Without a key nothing is known but that one may be back.
    let mut blocked: Option<Blocked> = None;
    loop {
        let usable = windows.iter().enumerate().filter(|(index, _)| left.has(*index));
        // The last of equals is the one that `max_by_key` finds; the first should be.
        let best = usable.rev().max_by_key(|(_, window)| window.appeal(class, tokens, now));
        let Some((index, _)) = best else {
            return Err(blocked.unwrap_or(Blocked { until: now + GLANCE, cause: Cause::InFlight }));
        };
        match windows[index].reserve(class, tokens, now) {
            Ok(ticket) => return Ok((index, ticket)),
            Err(other) => {
                let sooner = blocked.is_none_or(|blocked| other.until < blocked.until);
                blocked = if sooner { Some(other) } else { blocked };
                left = left.without(index);
            }
        }
    }
}

/// Returns the window of the key that a call finds the most room with.
fn roomiest(windows: &[Window], usable: Usable, now: Instant) -> &Window {
    let rev = windows.iter().enumerate().rev();
    let best = rev.max_by_key(|(index, window)| (usable.has(*index), window.room(now)));
    best.map_or(&windows[0], |(_, window)| window)
}

#[cfg(test)]
mod tests;
