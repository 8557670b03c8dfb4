//! What Voyage lets this account send: requests and tokens in any minute, for each model.
//!
//! A call reserves its place and its estimated tokens before it is sent, and settles with what Voyage reports.
//! [`window`] keeps one model's sliding minute, [`allowance`] what its limits are believed to be, [`gate`]
//! what follows a 429, [`outlook`] what is free when. Limits that are configured are never exceeded; others start at Voyage's tier 1 and
//! are learnt. Voyage counts by model and by credential; there is one credential, so models it is.

mod allowance;
mod config;
mod gate;
mod outlook;
mod reservation;
mod window;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::time::Instant;

pub use config::{Config, ModelLimits};
pub(crate) use outlook::{Outlook, Planned};
pub(crate) use reservation::Reservation;

use crate::model;
use allowance::Allowance;
use window::{Ticket, Window};

/// Models with a window of their own, beside those that are configured or in the catalogue. Callers may name
/// any model: further ones share one window.
const MAX_UNLISTED: usize = 256;

/// The name of the shared window; no model has it.
const OTHERS: &str = "";

/// The budgets of all models.
#[derive(Debug)]
pub(crate) struct Limiter {
    config: Config,
    /// Never held across an await.
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    windows: HashMap<Arc<str>, Window>,
    /// Whether Voyage spoke of the free tier and nothing has proved more since.
    free_tier: bool,
}

/// Whose work a call is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Class {
    /// Somebody waits for it: it may use the whole budget.
    Interactive,
    /// It leaves a little of the budget to interactive calls.
    Batch,
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

/// What is used of a model's minute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Usage {
    /// Requests in flight or landed less than a minute ago.
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

impl Limiter {
    /// Returns a limiter under which nothing has been sent yet.
    pub(crate) fn new(config: &Config) -> Arc<Self> {
        Arc::new(Self { config: config.clone(), state: Mutex::default() })
    }

    /// Reserves one request of `tokens` estimated tokens, or says when to try again.
    ///
    /// A call that is larger than the whole budget is let through when nothing else is in the minute.
    pub(crate) fn reserve(
        self: &Arc<Self>,
        model: &str,
        class: Class,
        tokens: u64,
        now: Instant,
    ) -> Result<Reservation, Blocked> {
        let (name, ticket) = self.within(model, now, |name, window| {
            window.reserve(class, tokens, now).map(|ticket| (Arc::clone(name), ticket))
        })?;
        Ok(Reservation::new(Arc::clone(self), name, ticket))
    }

    /// Returns the most tokens that one call may ask for without waiting for an empty minute.
    pub(crate) fn max_tokens_per_call(&self, model: &str) -> u64 {
        let (_, tokens) = self.for_batch(model);
        tokens
    }

    /// Returns the requests and the tokens of a minute that batch work may use.
    pub(crate) fn for_batch(&self, model: &str) -> (u64, u64) {
        let state = self.lock();
        match state.windows.get(model) {
            Some(window) => window.limits(Class::Batch),
            None => self.allowance(model, state.free_tier).limits(Class::Batch),
        }
    }

    /// Returns the earliest known time at which so much is free, if nobody else takes it; now, if it is.
    ///
    /// For one request it is the time at which [`Self::reserve`] succeeds. Calls in flight count as freed a
    /// minute from now; more than a minute's budget takes several.
    pub(crate) fn free_at(&self, model: &str, class: Class, need: Need, now: Instant) -> Instant {
        self.within(model, now, |_, window| window.free_at(class, need, now))
    }

    /// Returns an outlook on a model's budget from `now` on.
    pub(crate) fn outlook(&self, model: &str, now: Instant) -> Outlook {
        self.within(model, now, |_, window| Outlook::new(window, now))
    }

    /// Returns what is used of a model's budget.
    pub(crate) fn usage(&self, model: &str, now: Instant) -> Usage {
        self.within(model, now, |_, window| window.usage(now))
    }

    /// Tells whether Voyage treats the account as one without a payment method.
    pub(crate) fn is_free_tier(&self) -> bool {
        self.lock().free_tier
    }

    /// Works on the window that `model` counts in, which is made where there is none.
    fn within<R>(
        &self,
        model: &str,
        now: Instant,
        work: impl FnOnce(&Arc<str>, &mut Window) -> R,
    ) -> R {
        let mut state = self.lock();
        let name = self.window_of(&mut state, model, now);
        let free_tier = state.free_tier;
        let window = state
            .windows
            .entry(Arc::clone(&name))
            .or_insert_with(|| Window::new(self.allowance(&name, free_tier), now));
        let proves_more = window.advance(now);
        let result = work(&name, window);
        state.free_tier &= !proves_more;
        result
    }

    /// Returns the allowance of a model of which nothing is learnt yet.
    fn allowance(&self, model: &str, free_tier: bool) -> Allowance {
        let mut allowance = self.config.allowance(model);
        if free_tier {
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
            state.windows.retain(|name, window| {
                window.advance(now);
                self.is_listed(name) || !window.is_idle(now)
            });
        }
        Arc::from(if is_full(state) { OTHERS } else { model })
    }

    fn is_listed(&self, model: &str) -> bool {
        model::find(model).is_some() || self.config.models.contains_key(model)
    }

    /// Ends a reservation.
    fn land<R>(&self, name: &str, work: impl FnOnce(&mut Window) -> R) -> Option<R> {
        // A window with a call in flight is never forgotten.
        self.lock().windows.get_mut(name).map(work)
    }

    /// Believes Voyage that the account is in the free tier, for every model.
    fn fall_to_free_tier(&self) {
        let is_known = {
            let mut state = self.lock();
            state.windows.values_mut().for_each(Window::fall_to_free_tier);
            std::mem::replace(&mut state.free_tier, true)
        };
        if !is_known {
            tracing::warn!(
                "Voyage's account has no payment method: 3 requests and 10,000 tokens a minute, for every model; \
                 calls wait accordingly"
            );
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
