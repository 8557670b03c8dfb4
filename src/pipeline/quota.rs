//! Quotas of callers, and the token budgets of the gateway.
//!
//! [`bucket`] counts requests a second, [`sliding`] tokens of a minute, a day or a month; an [`account`] has both, and
//! [`accounts`] finds a caller's. Estimated tokens are reserved before a flight is opened, and settled with its bill.
//! Nothing is counted for callers without rules.

pub(super) mod account;
mod accounts;
pub(super) mod bucket;
pub(super) mod sliding;

use std::{sync::Arc, time::Duration};

use tokio::time::Instant;

use super::sync;
use crate::{
    caller::Caller,
    dispatch::LimitsConfig,
    error::{Error, Quota},
    telemetry::Metrics,
};
use account::{Account, Exceeded, WindowLimits};
use accounts::{Accounts, RULES};

pub(super) use account::Charge;
#[cfg(test)]
pub(super) use accounts::REMEMBERED;

/// The settings of the gateway's budgets, in the order of their windows.
const BUDGETS: [&str; 2] = ["limits.daily_tokens", "limits.monthly_tokens"];

/// The lengths of a day and a month, at any time.
const WINDOWS: [Duration; 2] = [Duration::from_hours(24), Duration::from_hours(30 * 24)];

/// The quotas of all callers and their usage.
#[derive(Debug)]
pub(super) struct Quotas {
    accounts: Accounts,
    gateway: Arc<Account>,
    budgets: WindowLimits,
    replicas: u32,
    metrics: Metrics,
}

impl Quotas {
    pub(super) fn new(config: &LimitsConfig, metrics: Metrics) -> Self {
        let now = Instant::now();
        let replicas = config.replicas;
        let limits = [config.daily_tokens, config.monthly_tokens];
        let limits = limits.map(|limit| limit.map(|limit| share(limit, replicas)));
        let gateway = Account::new(WINDOWS, now);
        let watched = Arc::clone(&gateway);
        metrics.watch_budgets(move || {
            let used = watched.used(Instant::now()).into_iter().zip(limits).zip(BUDGETS);
            used.filter_map(|((used, limit), budget)| Some((budget, used, limit?))).collect()
        });
        Self { accounts: Accounts::new(now), gateway, budgets: limits, replicas, metrics }
    }

    /// Counts a request, or refuses it when it exceeds the caller's requests a second.
    pub(super) fn count_request(&self, caller: &Caller, now: Instant) -> Result<(), Error> {
        let Some(rate) = self.request_rate(caller) else { return Ok(()) };
        let account = self.accounts.of(caller, now);
        account.take_request(rate, now).map_err(|wait| {
            let rule = "requests_per_second";
            let exceeded = Exceeded { window: 0, limit: rate.into(), retry_after: Some(wait) };
            self.refuse(caller, rule, 1, &exceeded)
        })
    }

    /// Returns this replica's share of the caller's requests a second, if they are limited.
    fn request_rate(&self, caller: &Caller) -> Option<u32> {
        let rate = share(caller.rule.requests_per_second?.into(), self.replicas);
        Some(u32::try_from(rate).unwrap_or(u32::MAX))
    }

    /// Returns the time until the caller may make one more request.
    fn request_wait(&self, caller: &Caller, now: Instant) -> Duration {
        let rate = self.request_rate(caller);
        rate.map_or(Duration::ZERO, |rate| self.accounts.of(caller, now).request_wait(rate, now))
    }

    /// Returns the accounts that pay for a caller's tokens; `None`: none counts them.
    pub(super) fn payer<'a>(&'a self, caller: &'a Caller, now: Instant) -> Option<Payer<'a>> {
        let limits = [caller.rule.tokens_per_minute, caller.rule.tokens_per_day];
        let limits = limits.map(|limit| limit.map(|limit| share(limit, self.replicas)));
        let is_ruled = limits.iter().any(Option::is_some);
        let own = is_ruled.then(|| (self.accounts.of(caller, now), limits));
        let is_budgeted = self.budgets.iter().any(Option::is_some);
        (is_ruled || is_budgeted).then_some(Payer { quotas: self, caller, own, is_budgeted })
    }

    fn refuse(&self, caller: &Caller, rule: &'static str, need: u64, why: &Exceeded) -> Error {
        self.metrics.quota_refusal(rule);
        quota_error(caller, rule, need, why)
    }

    #[cfg(test)]
    pub(super) fn remembered(&self) -> usize {
        self.accounts.len()
    }

    /// Returns the tokens that a caller used in a minute and a day, and all callers in a day and a month.
    #[cfg(test)]
    pub(super) fn used(&self, caller: &Caller) -> ([u64; 2], [u64; 2]) {
        let now = Instant::now();
        (self.accounts.of(caller, now).used(now), self.gateway.used(now))
    }
}

/// The accounts that pay for a request: its caller's, the gateway's, or both.
#[derive(Debug)]
pub(super) struct Payer<'a> {
    quotas: &'a Quotas,
    caller: &'a Caller,
    own: Option<(Arc<Account>, WindowLimits)>,
    is_budgeted: bool,
}

impl Payer<'_> {
    /// Reserves tokens in every account that would pay them, or in none.
    ///
    /// When several refuse, the error is that of the longest wait: by then all have room.
    pub(super) fn reserve(&self, tokens: u64, now: Instant) -> Result<Charge, Error> {
        let mut charge = Charge::default();
        let Quotas { gateway, budgets, .. } = self.quotas;
        if let Some((account, limits)) = &self.own {
            charge.reserve(account, *limits, tokens, now).map_err(|own| {
                let budget = self.is_budgeted.then(|| gateway.exceeded(*budgets, tokens, now));
                let budget = budget.flatten().filter(|budget| budget.wait() > own.wait());
                if let Some(budget) = budget {
                    return self.refuse_by_budget(&budget, now);
                }
                let own = self.with_request(&own, now);
                self.quotas.refuse(self.caller, RULES[own.window], tokens, &own)
            })?;
        }
        if self.is_budgeted {
            charge
                .reserve(gateway, *budgets, tokens, now)
                .map_err(|exceeded| self.refuse_by_budget(&exceeded, now))?;
        }
        Ok(charge)
    }

    /// Returns the error of [`Self::reserve`] without reserving or counting anything.
    pub(super) fn refusal(&self, tokens: u64, now: Instant) -> Option<Error> {
        let exceeded = |account: &Account, limits| account.exceeded(limits, tokens, now);
        let own = self.own.as_ref().and_then(|(account, limits)| exceeded(account, *limits));
        let budget = self.is_budgeted.then(|| exceeded(&self.quotas.gateway, self.quotas.budgets));
        let budget = budget.flatten();
        match (own, budget) {
            (Some(own), budget) if budget.is_none_or(|budget| budget.wait() <= own.wait()) => {
                let own = self.with_request(&own, now);
                Some(quota_error(self.caller, RULES[own.window], tokens, &own))
            }
            (_, budget) => budget.map(|budget| self.budget_error(&budget, now)),
        }
    }

    fn budget_error(&self, exceeded: &Exceeded, now: Instant) -> Error {
        let Exceeded { window, limit, retry_after } = self.with_request(exceeded, now);
        let retry_after = retry_after.map(whole_millis);
        Error::BudgetExhausted { budget: BUDGETS[window], limit, retry_after }
    }

    fn refuse_by_budget(&self, exceeded: &Exceeded, now: Instant) -> Error {
        self.quotas.metrics.quota_refusal(BUDGETS[exceeded.window]);
        self.budget_error(exceeded, now)
    }

    /// Raises a wait to that for the next request, which a retry needs as well.
    fn with_request(&self, exceeded: &Exceeded, now: Instant) -> Exceeded {
        let request = self.quotas.request_wait(self.caller, now);
        Exceeded { retry_after: exceeded.retry_after.map(|wait| wait.max(request)), ..*exceeded }
    }

    /// Reserves nothing: for a request that joins a flight with a reservation of another, and may still have to pay.
    pub(super) fn unreserved(&self) -> Charge {
        let mut charge = Charge::default();
        if let Some((account, limits)) = &self.own {
            charge.name(account, *limits);
        }
        if self.is_budgeted {
            charge.name(&self.quotas.gateway, self.quotas.budgets);
        }
        charge
    }
}

fn quota_error(caller: &Caller, rule: &'static str, need: u64, why: &Exceeded) -> Error {
    let &Exceeded { limit, retry_after, .. } = why;
    let (caller, retry_after) = (Arc::clone(&caller.name), retry_after.map(whole_millis));
    Error::CallerQuota(Arc::new(Quota { caller, rule, limit, need, retry_after }))
}

/// Returns one replica's share of a limit.
fn share(limit: u64, replicas: u32) -> u64 {
    (limit / u64::from(replicas.max(1))).max(1)
}

/// Rounds up to whole milliseconds, so that a wait is never too short.
fn whole_millis(wait: Duration) -> Duration {
    let millis = wait.as_nanos().div_ceil(1_000_000);
    Duration::from_millis(u64::try_from(millis).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests;
