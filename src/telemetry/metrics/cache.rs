//! The cache: lookups and evictions.

use opentelemetry::KeyValue;

use super::{Metrics, catalogue::label};

impl Metrics {
    /// `catalogue::CACHE_LOOKUPS`: inputs by the source of their answers: `hit`, `miss`, `coalesced`, `bypassed`, or
    /// `refused` before the lookup.
    pub fn lookups(&self, result: &'static str, inputs: u64) {
        let tier = if result == "hit" { "memory" } else { "none" };
        let labels = [KeyValue::new(label::RESULT, result), KeyValue::new(label::TIER, tier)];
        self.add(|instruments| &instruments.cache_lookups, inputs, &labels);
    }

    /// `catalogue::CACHE_EVICTIONS`: an entry was evicted from the memory tier, because the cache was full (`size`) or
    /// the entry was too old (`expired`).
    pub fn evicted(&self, cause: &'static str) {
        let labels = [KeyValue::new(label::TIER, "memory"), KeyValue::new(label::CAUSE, cause)];
        self.add(|instruments| &instruments.cache_evictions, 1, &labels);
    }
}
