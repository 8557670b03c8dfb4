//! The cache: where answers come from, and what leaves it.

use opentelemetry::{
    KeyValue,
    metrics::{Counter, Meter},
};

use super::{
    Metrics, build,
    catalogue::{self, label},
};

/// What the cache is counted with.
pub(super) struct Instruments {
    lookups: Counter<u64>,
    evictions: Counter<u64>,
}

impl Instruments {
    pub(super) fn new(meter: &Meter) -> Self {
        Self {
            lookups: build::counter(meter, &catalogue::CACHE_LOOKUPS),
            evictions: build::counter(meter, &catalogue::CACHE_EVICTIONS),
        }
    }
}

impl Metrics {
    /// [`catalogue::CACHE_LOOKUPS`]: inputs by where their answers came from (`hit`, `miss`, `coalesced`, `bypassed`, or
    /// `refused` before they were looked for).
    pub fn lookups(&self, result: &'static str, inputs: u64) {
        let Some(shared) = self.shared.as_ref().filter(|_| inputs > 0) else { return };
        let tier = if result == "hit" { "memory" } else { "none" };
        let labels = [KeyValue::new(label::RESULT, result), KeyValue::new(label::TIER, tier)];
        shared.cache.lookups.add(inputs, &labels);
    }

    /// [`catalogue::CACHE_EVICTIONS`]: an answer left the memory tier because the cache was full (`size`) or it was old
    /// (`expired`).
    pub fn evicted(&self, cause: &'static str) {
        let Some(shared) = &self.shared else { return };
        let labels = [KeyValue::new(label::TIER, "memory"), KeyValue::new(label::CAUSE, cause)];
        shared.cache.evictions.add(1, &labels);
    }
}
