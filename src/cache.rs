//! Every answer by the key of its own input.
//!
//! [`key`] derives keys; this file keeps answers in memory, weighed in real bytes. Only this room knows moka.
//! moka stores and evicts; whether an entry has expired is decided here, on tokio's clock.

mod config;
mod key;

use std::time::Duration;

use moka::sync::Cache as Moka;
use tokio::time::Instant;

pub use config::Config;
pub use key::{Key, KeyPrefix, Keys};

use crate::embedding::Answer;

/// What moka and the allocator add to an entry, in bytes, measured at 200,000 entries.
const ENTRY_OVERHEAD: usize = 450;

/// Answers in memory.
///
/// Errors are never stored. Lookups do not await.
#[derive(Debug)]
pub struct Cache {
    entries: Moka<Key, Entry>,
    max_bytes: u64,
    ttl: Duration,
}

#[derive(Clone, Debug)]
struct Entry {
    answer: Answer,
    expires: Instant,
    /// Age of the flight that brought it: a slow older flight never overwrites a refresh.
    flight: u64,
}

impl Cache {
    /// Builds an empty cache.
    pub fn new(config: &Config) -> Self {
        let max_bytes = config.max_bytes.get();
        let entries = Moka::builder()
            .max_capacity(max_bytes)
            .weigher(|_, entry: &Entry| weight(&entry.answer))
            .time_to_live(config.ttl.get())
            .build();
        Self { entries, max_bytes, ttl: config.ttl.get() }
    }

    /// Returns the answer stored under `key`, unless it expired before `now`.
    pub fn get(&self, key: &Key, now: Instant) -> Option<Answer> {
        let entry = self.entries.get(key)?;
        (now < entry.expires).then_some(entry.answer)
    }

    /// Stores the answer a flight brought, unless a later flight has already stored its own.
    pub fn store(&self, key: Key, answer: Answer, flight: u64) {
        // moka shows an oversized entry until its next maintenance: refuse it here instead.
        if u64::from(weight(&answer)) > self.max_bytes {
            return;
        }
        let entry = Entry { answer, expires: Instant::now() + self.ttl, flight };
        self.entries.entry(key).and_upsert_with(|stored| match stored {
            Some(stored) if stored.value().flight > flight => stored.into_value(),
            _ => entry,
        });
    }

    /// Does moka's housekeeping: evictions and expiries happen, and [`Cache::size`] becomes honest.
    pub fn maintain(&self) {
        self.entries.run_pending_tasks();
    }

    /// Returns how many entries there are and what they weigh in bytes, as of the last maintenance.
    pub fn size(&self) -> (u64, u64) {
        (self.entries.entry_count(), self.entries.weighted_size())
    }
}

/// The bytes an entry takes: key, payload and overhead.
fn weight(answer: &Answer) -> u32 {
    let bytes = size_of::<Key>() + answer.size() + ENTRY_OVERHEAD;
    u32::try_from(bytes).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests;
