//! The pool of API keys.
//!
//! A key that Voyage rejects is set aside until its file changes; periodically, a call tries it again. Meanwhile the
//! file's previous key is used, if Voyage accepted it. While every key is set aside, only such tries are sent, and
//! other items fail at once.

use std::{fmt, sync::Arc, time::Duration};

use parking_lot::Mutex;
use tokio::{
    task::spawn_blocking,
    time::{Instant, timeout},
};

use crate::{
    error::{Error, Fault, Upstream},
    item::Parameters,
    upstream::{ApiKey, ApiKeys, KeyLimits, Member},
};

/// Time between tries of a key that is set aside, while others are in use.
const PAUSE: Duration = Duration::from_mins(1);

/// The pause while there is no other key: a recovery is noticed soon, and not every caller sends a try.
const PAUSE_WITHOUT_OTHERS: Duration = Duration::from_secs(5);

/// The longest wait of a rejected call for the key's file: a file system may hang.
const READING: Duration = Duration::from_secs(1);

/// The pool of keys and their state.
pub(super) struct Pool {
    entries: Vec<Entry>,
}

/// One key of the pool.
struct Entry {
    member: Member,
    /// Never held across an await.
    history: Mutex<History>,
}

#[derive(Default)]
struct History {
    /// The last accepted key: the present one of the file, or the previous one.
    accepted: Option<Arc<ApiKey>>,
    /// The last rejected key of the file.
    set_aside: Option<SetAside>,
}

struct SetAside {
    key: Arc<ApiKey>,
    /// When it was rejected, or tried again.
    tried_at: Instant,
    /// How often it was tried again.
    tries: u32,
}

/// The keys that calls may use: a bit for each, as a pool has at most 64.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Usable(u64);

impl Usable {
    pub(super) const NONE: Self = Self(0);

    pub(super) fn has(self, index: usize) -> bool {
        self.0 & bit(index) != 0
    }

    pub(super) fn without(self, index: usize) -> Self {
        Self(self.0 & !bit(index))
    }
}

fn bit(index: usize) -> u64 {
    u32::try_from(index).ok().and_then(|index| 1_u64.checked_shl(index)).unwrap_or_default()
}

impl Pool {
    pub(super) fn new(keys: &ApiKeys) -> Arc<Self> {
        let entry = |member: &Member| Entry { member: member.clone(), history: Mutex::default() };
        Arc::new(Self { entries: keys.members().map(entry).collect() })
    }

    /// Returns the number of keys.
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Returns the most rejections of one batch: the present and the previous key of every file.
    pub(super) fn most_rejections(&self) -> u32 {
        u32::try_from(self.len() * 2).unwrap_or(u32::MAX)
    }

    /// Returns the alias of a key.
    pub(super) fn alias(&self, index: usize) -> Option<&Arc<str>> {
        self.entries.get(index).map(|entry| entry.member.alias())
    }

    /// Returns a key's configured limits.
    pub(super) fn limits(&self, index: usize) -> KeyLimits {
        self.entries.get(index).map(|entry| entry.member.limits()).unwrap_or_default()
    }

    /// Returns the keys that a call may use now.
    pub(super) fn usable(&self, now: Instant) -> Usable {
        let good = self.good();
        if good == self.which(|_| true) {
            return good;
        }
        let others = good != Usable::NONE;
        Usable(good.0 | self.which(|entry| entry.is_due(now, others)).0)
    }

    /// Returns the keys that are not set aside.
    fn good(&self) -> Usable {
        self.which(|entry| entry.good_key().is_some())
    }

    fn which(&self, is: impl Fn(&Entry) -> bool) -> Usable {
        let bits = self.entries.iter().enumerate().filter(|(_, entry)| is(entry));
        Usable(bits.fold(0, |bits, (number, _)| bits | bit(number)))
    }

    /// Returns the key of a call, which must use it; `None`: it was set aside since.
    pub(super) fn take(&self, index: usize, now: Instant) -> Option<Arc<ApiKey>> {
        let others = self.good() != Usable::NONE;
        let entry = self.entries.get(index)?;
        entry.try_again(now, others).or_else(|| entry.good_key())
    }

    /// Records that Voyage accepted the key of a call sent at `sent_at`.
    pub(super) fn accepted(&self, index: usize, key: &Arc<ApiKey>, sent_at: Instant) {
        let Some(entry) = self.entries.get(index) else { return };
        let in_force = entry.member.key();
        let mut history = entry.history.lock();
        if let Some(aside) = history.set_aside.take_if(|aside| key.same_secret(&aside.key)) {
            // A call sent before the rejection proves nothing about the time after it.
            if sent_at < aside.tried_at {
                history.set_aside = Some(aside);
                return;
            }
            tracing::info!(key = %key.alias(), "Voyage accepts the API key again");
        }
        if key.same_secret(&in_force) || history.accepted.is_none() {
            history.accepted = Some(Arc::clone(key));
        }
    }

    /// Records a 401 to a call sent at `sent_at`: reads the key's file at once and sets the rejected key aside. Returns
    /// whether there is another key.
    pub(super) async fn rejected(&self, index: usize, key: &Arc<ApiKey>, sent_at: Instant) -> bool {
        if let Some(entry) = self.entries.get(index) {
            let member = entry.member.clone();
            // If this read takes too long, the poll finds the change.
            let _ = timeout(READING, spawn_blocking(move || member.reload())).await;
            entry.set_aside(key, sent_at);
        }
        self.good() != Usable::NONE
    }

    /// Returns the error for all items while every key is set aside.
    pub(super) fn refusal(&self, parameters: &Parameters, now: Instant) -> Option<Error> {
        if self.usable(now) != Usable::NONE {
            return None;
        }
        let key = self.alias(0).map(Arc::clone).unwrap_or_default();
        let attempts = 0;
        let failure = Upstream::new(Fault::Unauthenticated, parameters, key);
        Some(Error::Upstream(Arc::new(Upstream { attempts, ..failure })))
    }

    /// Returns every alias, and whether the key of that name is set aside.
    pub(super) fn set_aside(&self) -> Vec<(Arc<str>, bool)> {
        let entry = |entry: &Entry| (Arc::clone(entry.member.alias()), entry.is_set_aside());
        self.entries.iter().map(entry).collect()
    }
}

impl Entry {
    /// Returns the file's key unless it was rejected; then the previous key if that was accepted.
    fn good_key(&self) -> Option<Arc<ApiKey>> {
        let in_force = self.member.key();
        let history = self.history.lock();
        if history.rejects(&in_force) { history.accepted.clone() } else { Some(in_force) }
    }

    fn is_set_aside(&self) -> bool {
        let in_force = self.member.key();
        self.history.lock().rejects(&in_force)
    }

    /// Returns whether the key is set aside and due for a try.
    fn is_due(&self, now: Instant, others: bool) -> bool {
        let in_force = self.member.key();
        self.history.lock().due(&in_force, now, others).is_some()
    }

    /// Returns the key that is set aside if it is due to be tried again: for one call.
    fn try_again(&self, now: Instant, others: bool) -> Option<Arc<ApiKey>> {
        let in_force = self.member.key();
        let mut history = self.history.lock();
        let due = history.due(&in_force, now, others)?;
        due.tried_at = now;
        due.tries = due.tries.saturating_add(1);
        Some(in_force)
    }

    fn set_aside(&self, key: &Arc<ApiKey>, sent_at: Instant) {
        let in_force = self.member.key();
        let mut history = self.history.lock();
        history.accepted.take_if(|accepted| key.same_secret(accepted));
        if !key.same_secret(&in_force) {
            // The file has a newer key: the rejection of the old one is expected.
            return;
        }
        let now = Instant::now();
        if let Some(aside) = history.set_aside.as_mut().filter(|aside| aside.key.same_secret(key)) {
            // Calls in flight at the same time are rejected together.
            if sent_at >= aside.tried_at {
                aside.tried_at = now;
            }
            return;
        }
        history.set_aside = Some(SetAside { key: Arc::clone(key), tried_at: now, tries: 0 });
        let falls_back = history.accepted.is_some();
        drop(history);
        tracing::error!(
            key = %key.alias(),
            falls_back,
            "Voyage rejects the API key; it is set aside until its file changes, and retried periodically"
        );
    }
}

impl History {
    fn rejects(&self, key: &ApiKey) -> bool {
        self.set_aside.as_ref().is_some_and(|aside| aside.key.same_secret(key))
    }

    /// Returns the state of the current key if it is set aside and due for another try; `others`: whether the pool has
    /// other keys.
    fn due(&mut self, in_force: &ApiKey, now: Instant, others: bool) -> Option<&mut SetAside> {
        let aside = self.set_aside.as_mut().filter(|aside| aside.key.same_secret(in_force))?;
        let pause = match (others, aside.tries) {
            (true, _) => PAUSE,
            // A single 401 may be an error of Voyage; without this it would delay every caller.
            (false, 0) => Duration::ZERO,
            (false, _) => PAUSE_WITHOUT_OTHERS,
        };
        (now >= aside.tried_at + pause).then_some(aside)
    }
}

/// Prints the number of keys.
impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pool({} keys)", self.len())
    }
}

#[cfg(test)]
mod tests;
