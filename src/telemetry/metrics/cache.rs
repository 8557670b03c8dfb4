//! The cache: lookups and evictions.

use opentelemetry::{
    KeyValue,
    metrics::{Counter, Meter},
};

use super::{
    Metrics,
    catalogue::{self, label},
};

pub(super) struct Instruments {
    lookups: Counter<u64>,
    evictions: Counter<u64>,
}

impl Instruments {
    pub(super) fn new(meter: &Meter) -> Self {
        let new = Self {
            lookups: catalogue::CACHE_LOOKUPS.counter(meter),
            evictions: catalogue::CACHE_EVICTIONS.counter(meter),
        };
        for result in ["hit", "miss", "coalesced", "bypassed", "refused"] {
            new.lookups(result, 0);
        }
        new
    }

    fn lookups(&self, result: &'static str, inputs: u64) {
        let tier = if result == "hit" { "memory" } else { "none" };
        let labels = [KeyValue::new(label::RESULT, result), KeyValue::new(label::TIER, tier)];
        self.lookups.add(inputs, &labels);
    }
}

impl Metrics {
    /// [`catalogue::CACHE_LOOKUPS`]: inputs by the source of their answers: `hit`, `miss`, `coalesced`, `bypassed`, or
    /// `refused` before the lookup.
    pub fn lookups(&self, result: &'static str, inputs: u64) {
        if let Some(shared) = &self.shared {
            shared.cache.lookups(result, inputs);
        }
    }

    /// [`catalogue::CACHE_EVICTIONS`]: an entry was evicted from the memory tier, because the cache was full (`size`) or
    /// the entry was too old (`expired`).
    pub fn evicted(&self, cause: &'static str) {
        let Some(shared) = &self.shared else { return };
        let labels = [KeyValue::new(label::TIER, "memory"), KeyValue::new(label::CAUSE, cause)];
        shared.cache.evictions.add(1, &labels);
    }
}
