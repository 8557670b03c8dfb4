//! The limit on pending items.

use std::sync::Arc;

use super::{
    Config,
    sync::atomic::{AtomicUsize, Ordering},
};

/// Limits the items queued and in flight. Admission cannot: flights outlive their callers.
#[derive(Debug)]
pub(super) struct PendingLimit {
    max_inputs: usize,
    max_bytes: usize,
    pub(super) inputs: AtomicUsize,
    pub(super) bytes: AtomicUsize,
}

impl PendingLimit {
    pub(super) fn new(config: &Config) -> Self {
        Self {
            max_inputs: config.max_waiting_inputs as usize,
            max_bytes: usize::try_from(config.max_waiting_bytes.get()).unwrap_or(usize::MAX),
            inputs: AtomicUsize::new(0),
            bytes: AtomicUsize::new(0),
        }
    }

    /// Returns a permit, unless the limit is reached. One input larger than `max_bytes` is admitted alone.
    pub(super) fn enter(self: &Arc<Self>, bytes: usize) -> Option<PendingPermit> {
        let permit = PendingPermit { limit: Arc::clone(self), bytes };
        let inputs = self.inputs.fetch_add(1, Ordering::Relaxed);
        let others = self.bytes.fetch_add(bytes, Ordering::Relaxed);
        let fits = inputs < self.max_inputs
            && (others == 0 || others.saturating_add(bytes) <= self.max_bytes);
        fits.then_some(permit)
    }
}

/// The permit of one pending item.
#[derive(Debug)]
pub(super) struct PendingPermit {
    limit: Arc<PendingLimit>,
    bytes: usize,
}

impl Drop for PendingPermit {
    fn drop(&mut self) {
        self.limit.inputs.fetch_sub(1, Ordering::Relaxed);
        self.limit.bytes.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}
