//! Counts of spans by result.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};

/// Counts of spans since the start.
#[derive(Debug, Default)]
pub(super) struct SpanCounts {
    recorded: AtomicU64,
    exported: AtomicU64,
    failed: AtomicU64,
    dropped: AtomicU64,
    /// Spans in the queue of the exporter.
    queued: AtomicUsize,
}

impl SpanCounts {
    /// Counts a recorded span. Returns false, and counts it as dropped, when `queue_size` spans are queued already.
    pub(super) fn admit(&self, queue_size: usize) -> bool {
        self.recorded.fetch_add(1, Relaxed);
        let admitted = self.queued.fetch_add(1, Relaxed) < queue_size;
        if !admitted {
            self.queued.fetch_sub(1, Relaxed);
            self.dropped.fetch_add(1, Relaxed);
        }
        admitted
    }

    /// Records that the exporter has taken spans out of the queue.
    pub(super) fn dequeued(&self, spans: usize) {
        self.queued.fetch_sub(spans, Relaxed);
    }

    /// Counts spans whose export has ended.
    pub(super) fn ended(&self, spans: u64, is_exported: bool) {
        let count = if is_exported { &self.exported } else { &self.failed };
        count.fetch_add(spans, Relaxed);
    }

    /// Counts spans that have no result yet as dropped, and returns their number. No export may follow.
    pub(super) fn drop_rest(&self) -> u64 {
        let [recorded, exported, failed, dropped] = self.by_result().map(|(_, count)| count);
        let rest = recorded.saturating_sub(exported + failed + dropped);
        self.dropped.fetch_add(rest, Relaxed);
        rest
    }

    /// Returns the number of spans that were not exported.
    pub(super) fn lost(&self) -> u64 {
        self.failed.load(Relaxed) + self.dropped.load(Relaxed)
    }

    /// Returns the counts by result. `recorded` includes the others, and spans in the queue.
    pub(super) fn by_result(&self) -> [(&'static str, u64); 4] {
        [
            ("recorded", self.recorded.load(Relaxed)),
            ("exported", self.exported.load(Relaxed)),
            ("failed", self.failed.load(Relaxed)),
            ("dropped", self.dropped.load(Relaxed)),
        ]
    }
}
