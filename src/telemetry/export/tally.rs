//! What became of spans, counted.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};

/// Counts of spans since the start.
#[derive(Debug, Default)]
pub(super) struct Tally {
    recorded: AtomicU64,
    exported: AtomicU64,
    failed: AtomicU64,
    dropped: AtomicU64,
    /// Spans that wait for the exporter.
    waiting: AtomicUsize,
}

impl Tally {
    /// Counts a span that was recorded, and takes a place for it among `room`; without one it is dropped.
    pub(super) fn admit(&self, room: usize) -> bool {
        self.recorded.fetch_add(1, Relaxed);
        let admitted = self.waiting.fetch_add(1, Relaxed) < room;
        if !admitted {
            self.waiting.fetch_sub(1, Relaxed);
            self.dropped.fetch_add(1, Relaxed);
        }
        admitted
    }

    /// Gives back the places of spans that the exporter has taken.
    pub(super) fn taken(&self, spans: usize) {
        self.waiting.fetch_sub(spans, Relaxed);
    }

    /// Counts spans that left, of which the collector rejected some.
    pub(super) fn exported(&self, spans: u64, rejected: u64) {
        let rejected = rejected.min(spans);
        self.exported.fetch_add(spans - rejected, Relaxed);
        self.failed.fetch_add(rejected, Relaxed);
    }

    /// Counts spans that the collector did not get.
    pub(super) fn failed(&self, spans: u64) {
        self.failed.fetch_add(spans, Relaxed);
    }

    /// Counts what has no end yet as dropped, and returns it: nothing leaves any more.
    pub(super) fn abandon(&self) -> u64 {
        let [recorded, exported, failed, dropped] = self.counts().map(|(_, count)| count);
        let left = recorded.saturating_sub(exported + failed + dropped);
        self.dropped.fetch_add(left, Relaxed);
        left
    }

    /// Returns the counts by what became of the spans. Those recorded include the others, and those on their way.
    pub(super) fn counts(&self) -> [(&'static str, u64); 4] {
        [
            ("recorded", self.recorded.load(Relaxed)),
            ("exported", self.exported.load(Relaxed)),
            ("failed", self.failed.load(Relaxed)),
            ("dropped", self.dropped.load(Relaxed)),
        ]
    }
}
