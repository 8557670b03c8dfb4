//! Answers in memory, by the key of their input.
//!
//! [`key`] derives keys; this file stores answers, weighed in bytes. Only this module uses moka,
//! which stores and evicts; whether an entry has expired is decided here, on tokio's clock.

mod config;
mod key;

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use moka::{notification::RemovalCause, sync::Cache as Moka};
use tokio::time::Instant;

pub use config::{CachedScores, Config};
pub use key::{Key, KeyDeriver, KeyPrefix};

use crate::{
    item::{Answer, Usage},
    telemetry::{Cached, Metrics},
};

/// The bytes that moka, the allocator and the token count add to an entry, measured at 200,000 entries.
const ENTRY_OVERHEAD: usize = 458;

/// An answer and its cost when it was fetched, which a hit saves.
#[derive(Clone, Debug, PartialEq)]
pub struct Stored {
    /// The answer.
    pub answer: Answer,
    /// Its share of the tokens that were billed or, where Voyage reported none, estimated.
    pub tokens: u32,
    /// Its share of the pixels.
    pub pixels: u32,
}

impl Stored {
    /// Takes an answer and what it cost.
    pub fn new(answer: Answer, cost: &Usage) -> Self {
        let saturate = |count| u32::try_from(count).unwrap_or(u32::MAX);
        Self { answer, tokens: saturate(cost.tokens), pixels: saturate(cost.pixels()) }
    }

    /// Returns what a hit saves.
    pub fn saves(&self) -> Usage {
        Usage { image_pixels: self.pixels.into(), ..Usage::of_tokens(self.tokens.into()) }
    }
}

/// How long an answer has been stored, and will be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Age {
    /// The time since it was stored.
    pub age: Duration,
    /// The time until it expires.
    pub expires_in: Duration,
}

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
    stored: Stored,
    expires: Instant,
    /// The number of the flight that fetched it: a slow older flight never overwrites a refresh.
    flight: u64,
}

impl Cache {
    /// Builds an empty cache that counts evictions and expiries.
    pub fn new(config: &Config, metrics: &Metrics) -> Self {
        let max_bytes = config.max_bytes.get();
        let metrics = metrics.clone();
        let entries = Moka::builder()
            .max_capacity(max_bytes)
            .weigher(|_, entry: &Entry| weight(&entry.stored.answer))
            .eviction_listener(move |_, _, cause| match cause {
                RemovalCause::Size => metrics.evicted("size"),
                RemovalCause::Expired => metrics.evicted("expired"),
                RemovalCause::Explicit | RemovalCause::Replaced => {}
            })
            .time_to_live(config.ttl.get())
            .build();
        Self { entries, max_bytes, ttl: config.ttl.get() }
    }

    /// Returns the answer stored under `key`, unless it expired before `now`.
    pub fn get(&self, key: &Key, now: Instant) -> Option<Stored> {
        let entry = self.entries.get(key)?;
        (now < entry.expires).then_some(entry.stored)
    }

    /// Returns whether an answer is stored, without an effect on evictions.
    pub fn contains(&self, key: &Key) -> bool {
        self.entries.contains_key(key)
    }

    /// Returns the age and the remaining time of stored answers, without an effect on evictions.
    ///
    /// moka has no such look-up: this walks over all entries, some 100 ns each, and is for rare questions only.
    pub fn ages(&self, keys: &HashSet<Key>) -> HashMap<Key, Age> {
        let now = Instant::now();
        let stored = self.entries.iter().filter(|(key, _)| keys.contains(&**key));
        let age = |(key, entry): (Arc<Key>, Entry)| {
            let expires_in = entry.expires.saturating_duration_since(now);
            (*key, Age { age: self.ttl.saturating_sub(expires_in), expires_in })
        };
        stored.map(age).filter(|(_, age)| !age.expires_in.is_zero()).collect()
    }

    /// Stores the answer of a flight, unless a later flight has already stored its own.
    pub fn store(&self, key: Key, stored: Stored, flight: u64) {
        // moka would return an oversized entry until its next maintenance.
        if u64::from(weight(&stored.answer)) > self.max_bytes {
            return;
        }
        let entry = Entry { stored, expires: Instant::now() + self.ttl, flight };
        self.entries.entry(key).and_upsert_with(|stored| match stored {
            Some(stored) if stored.value().flight > flight => stored.into_value(),
            _ => entry,
        });
    }

    /// Runs moka's maintenance: evictions and expiries, after which [`Cache::cached`] is exact.
    pub fn maintain(&self) {
        self.entries.run_pending_tasks();
    }

    /// Returns the entries, their bytes and the most bytes, as of the last maintenance.
    pub fn cached(&self) -> Cached {
        let Self { entries, max_bytes, .. } = self;
        let (bytes, max_bytes) = (entries.weighted_size(), *max_bytes);
        Cached { entries: entries.entry_count(), bytes, max_bytes }
    }
}

/// Returns the bytes of an entry: key, payload and overhead.
fn weight(answer: &Answer) -> u32 {
    let bytes = size_of::<Key>() + answer.bytes() + ENTRY_OVERHEAD;
    u32::try_from(bytes).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests;
