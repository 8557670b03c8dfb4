//! The accounts of callers, at most a fixed number.

use std::{collections::HashMap, sync::Arc, time::Duration};

use parking_lot::Mutex;
use tokio::time::Instant;

use super::account::Account;
use crate::caller::Caller;

/// The most accounts kept, besides those of callers with a table in `[callers]`. One takes 4 KiB at most.
pub(crate) const REMEMBERED: usize = 4096;

/// The least time between two sweeps of idle accounts, which unknown callers could otherwise cause all the time.
const SWEEP: Duration = Duration::from_millis(100);

/// A caller's rules about tokens, in the order of [`WINDOWS`].
pub(super) const RULES: [&str; 2] = ["tokens_per_minute", "tokens_per_day"];

/// The lengths of a minute and a day, at any time.
const WINDOWS: [Duration; 2] = [Duration::from_mins(1), Duration::from_hours(24)];

/// The accounts of all callers that have rules.
#[derive(Debug)]
pub(super) struct Accounts(Mutex<Known>);

#[derive(Debug)]
struct Known {
    by_name: HashMap<Arc<str>, Arc<Account>>,
    /// Shared by callers beyond the bound, so that ever new identities get no further quota.
    overflow: Arc<Account>,
    swept_at: Option<Instant>,
}

impl Accounts {
    pub(super) fn new(now: Instant) -> Self {
        let overflow = Account::new(WINDOWS, now);
        Self(Mutex::new(Known { by_name: HashMap::new(), overflow, swept_at: None }))
    }

    /// Returns a caller's account.
    ///
    /// At the bound, idle accounts are removed first. When none is idle, callers without a table in `[callers]` share
    /// one account under the default rules.
    pub(super) fn of(&self, caller: &Caller, now: Instant) -> Arc<Account> {
        let mut known = self.0.lock();
        if let Some(account) = known.by_name.get(&caller.name) {
            return Arc::clone(account);
        }
        if known.by_name.len() >= REMEMBERED {
            known.sweep(now);
            if !caller.named && known.by_name.len() >= REMEMBERED {
                return Arc::clone(&known.overflow);
            }
        }
        let account = Account::new(WINDOWS, now);
        known.by_name.insert(Arc::clone(&caller.name), Arc::clone(&account));
        account
    }

    /// Returns the number of accounts.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.0.lock().by_name.len()
    }
}

impl Known {
    /// Removes the accounts without usage and reservations.
    fn sweep(&mut self, now: Instant) {
        if self.swept_at.is_some_and(|at| now < at + SWEEP) {
            return;
        }
        self.swept_at = Some(now);
        // Every charge holds its account, and gets it only under this lock.
        self.by_name.retain(|_, account| Arc::strong_count(account) > 1 || !account.is_idle(now));
    }
}
