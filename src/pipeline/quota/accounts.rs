//! Who has an account of its own: a bounded number of callers.

use std::{collections::HashMap, sync::Arc, time::Duration};

use parking_lot::Mutex;
use tokio::time::Instant;

use super::account::Account;
use crate::caller::Caller;

/// Accounts remembered, those of callers with a table in `[callers]` apart. One takes 4 KiB at most.
pub(in crate::pipeline) const REMEMBERED: usize = 4096;

/// The least time between two looks for accounts that can be forgotten: strangers must not keep everybody busy.
const SWEEP: Duration = Duration::from_millis(100);

/// A caller's rules about tokens, in the order of [`WINDOWS`].
pub(super) const RULES: [&str; 2] = ["tokens_per_minute", "tokens_per_day"];

/// What a minute and a day mean: any of this length.
const WINDOWS: [Duration; 2] = [Duration::from_mins(1), Duration::from_hours(24)];

/// The accounts of all callers that have rules.
#[derive(Debug)]
pub(super) struct Accounts(Mutex<State>);

#[derive(Debug)]
struct State {
    known: HashMap<Arc<str>, Arc<Account>>,
    /// Shared by those for whom there is no room: an identity that is new every time buys nothing.
    overflow: Arc<Account>,
    swept_at: Option<Instant>,
}

impl Accounts {
    pub(super) fn new(now: Instant) -> Self {
        let overflow = Account::new(WINDOWS, now);
        Self(Mutex::new(State { known: HashMap::new(), overflow, swept_at: None }))
    }

    /// Returns a caller's account.
    ///
    /// When there is no room for one more, those are forgotten first of which nothing would be lost. Where all are in
    /// use, callers without a table of their own in `[callers]` share one account under the default rules.
    pub(super) fn of(&self, caller: &Caller, now: Instant) -> Arc<Account> {
        let mut state = self.0.lock();
        if let Some(account) = state.known.get(&caller.name) {
            return Arc::clone(account);
        }
        if state.known.len() >= REMEMBERED {
            state.sweep(now);
            if !caller.named && state.known.len() >= REMEMBERED {
                return Arc::clone(&state.overflow);
            }
        }
        let account = Account::new(WINDOWS, now);
        state.known.insert(Arc::clone(&caller.name), Arc::clone(&account));
        account
    }

    /// Returns how many accounts there are.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.0.lock().known.len()
    }
}

impl State {
    /// Forgets the accounts of which nothing is used and nothing held.
    fn sweep(&mut self, now: Instant) {
        if self.swept_at.is_some_and(|at| now < at + SWEEP) {
            return;
        }
        self.swept_at = Some(now);
        // Whoever holds or pays something knows its account, and nobody gets to know one but by this lock.
        self.known.retain(|_, account| Arc::strong_count(account) > 1 || !account.is_idle(now));
    }
}
