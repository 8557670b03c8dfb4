//! The provider's rate limits: sliding logs of the last minute, one per key and model.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use super::keys::Limits;

/// "Most recent minute" in the provider's words.
const WINDOW: Duration = Duration::from_mins(1);

/// What the free tier allows until a payment method is added.
const FREE_TIER: Limits = (Some(3), Some(10_000));

/// The calls of the last minute and their tokens.
type Log = VecDeque<(Instant, u64)>;

/// Limits and what has been taken from them. Refused requests take nothing.
pub(super) struct Windows {
    /// Of every key that has none of its own.
    limits: Limits,
    taken: Mutex<HashMap<(String, &'static str), Log>>,
}

impl Windows {
    pub(super) fn new(rpm: Option<u32>, tpm: Option<u64>) -> Self {
        Self { limits: (rpm, tpm), taken: Mutex::default() }
    }

    /// Tells whether these are the limits of an account without a payment method.
    pub(super) fn is_free_tier(&self, own: Option<Limits>) -> bool {
        own.unwrap_or(self.limits) == FREE_TIER
    }

    /// Takes one request of `tokens` now; tells whether both limits, the key's own if it has any, had room for it.
    pub(super) fn take(
        &self,
        (key, model): (&str, &'static str),
        own: Option<Limits>,
        tokens: u64,
    ) -> bool {
        let (rpm, tpm) = own.unwrap_or(self.limits);
        if rpm.is_none() && tpm.is_none() {
            return true;
        }
        let now = Instant::now();
        let mut taken = self.taken.lock();
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
