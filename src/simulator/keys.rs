//! The keys that the provider accepts, and their rate limits: sliding logs of the last minute.

use std::{
    collections::{HashMap, VecDeque},
    fmt,
    sync::Arc,
    time::Duration,
};

use parking_lot::Mutex;
use tokio::time::Instant;

/// "Most recent minute" in the provider's words.
const WINDOW: Duration = Duration::from_mins(1);

/// The keys that are accepted, by default all, and their limits. Both may be changed at any time. Clones share them.
#[derive(Clone, Default)]
pub struct AcceptedKeys(Arc<Mutex<Known>>);

#[derive(Default)]
struct Known {
    /// `None`: every key.
    accepted: Option<Vec<String>>,
    limits: HashMap<String, RateLimits>,
}

/// The limits of a key, for each model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct RateLimits {
    /// Requests a minute; `None`: no limit.
    pub(super) rpm: Option<u32>,
    /// Tokens a minute; `None`: no limit.
    pub(super) tpm: Option<u64>,
}

impl RateLimits {
    /// The limits of an account without a payment method.
    pub(super) const FREE_TIER: Self = Self { rpm: Some(3), tpm: Some(10_000) };
}

impl AcceptedKeys {
    /// Accepts these keys.
    pub fn only<T: Into<String>>(keys: impl IntoIterator<Item = T>) -> Self {
        let all = Self::default();
        all.accept_only(keys);
        all
    }

    /// Accepts these keys from now on, and answers 401 to all others.
    pub fn accept_only<T: Into<String>>(&self, keys: impl IntoIterator<Item = T>) {
        let keys = keys.into_iter().map(Into::into).collect();
        self.0.lock().accepted = Some(keys);
    }

    /// Gives a key limits of its own, for each model.
    pub fn limit(&self, key: &str, rpm: Option<u32>, tpm: Option<u64>) {
        self.0.lock().limits.insert(key.to_owned(), RateLimits { rpm, tpm });
    }

    pub(super) fn accepts(&self, key: &str) -> bool {
        let known = self.0.lock();
        known.accepted.as_ref().is_none_or(|accepted| accepted.iter().any(|other| other == key))
    }

    /// Returns the limits that a key has of its own.
    pub(super) fn limits(&self, key: &str) -> Option<RateLimits> {
        self.0.lock().limits.get(key).copied()
    }
}

/// Shows how many there are, and no key.
impl fmt::Debug for AcceptedKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0.lock().accepted {
            Some(accepted) => write!(f, "AcceptedKeys({})", accepted.len()),
            None => f.write_str("AcceptedKeys(any)"),
        }
    }
}

/// The calls of the last minute and their tokens.
type Log = VecDeque<(Instant, u64)>;

/// The calls of the last minute, by key and model. Refused calls are not counted.
#[derive(Default)]
pub(super) struct Windows(Mutex<HashMap<(String, &'static str), Log>>);

impl Windows {
    /// Takes one request of `tokens` now, if both limits have room for it; returns whether they had.
    pub(super) fn take(
        &self,
        key: &str,
        model: &'static str,
        limits: RateLimits,
        tokens: u64,
    ) -> bool {
        let RateLimits { rpm, tpm } = limits;
        if rpm.is_none() && tpm.is_none() {
            return true;
        }
        let now = Instant::now();
        let mut taken = self.0.lock();
        let log = taken.entry((key.to_owned(), model)).or_default();
        while log.front().is_some_and(|(at, _)| now.duration_since(*at) >= WINDOW) {
            log.pop_front();
        }
        let used: u64 = log.iter().map(|(_, tokens)| tokens).sum();
        let requests_full = rpm.is_some_and(|rpm| log.len() >= rpm as usize);
        let tokens_full = tpm.is_some_and(|tpm| used + tokens > tpm);
        if requests_full || tokens_full {
            return false;
        }
        log.push_back((now, tokens));
        true
    }
}
