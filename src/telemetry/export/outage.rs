//! One line in the log when a collector is lost, and one when it is back.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

/// Whether the collector of a signal takes what it is sent.
#[derive(Debug)]
pub(super) struct Outage {
    /// `traces` or `metrics`.
    signal: &'static str,
    lost: AtomicBool,
    rejecting: AtomicBool,
}

impl Outage {
    pub(super) fn new(signal: &'static str) -> Self {
        Self { signal, lost: AtomicBool::new(false), rejecting: AtomicBool::new(false) }
    }

    /// Notes that the collector took a batch, but for `rejected` of it.
    pub(super) fn over(&self, rejected: u64) {
        if self.lost.swap(false, Relaxed) {
            tracing::info!(signal = self.signal, "the collector takes telemetry again");
        }
        let was_rejecting = self.rejecting.swap(rejected > 0, Relaxed);
        if rejected > 0 && !was_rejecting {
            tracing::warn!(
                signal = self.signal,
                rejected,
                "the collector rejects part of the telemetry; further batches are not told"
            );
        }
    }

    /// Notes that a batch was lost; `why` holds no credential.
    pub(super) fn begin(&self, why: &str) {
        if !self.lost.swap(true, Relaxed) {
            tracing::warn!(
                signal = self.signal,
                why,
                "the collector does not take telemetry: it is lost until it does; nothing else suffers"
            );
        }
    }
}
