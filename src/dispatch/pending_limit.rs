//! How much may be behind the door at once.

use std::sync::Arc;

use super::{
    Config,
    sync::atomic::{AtomicUsize, Ordering},
};

/// Bounds what the dispatch holds, waiting and in flight: flights outlive their callers, so admission does not
/// bound them.
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

    /// A single input larger than all bytes gets in when it is alone.
    pub(super) fn enter(self: &Arc<Self>, bytes: usize) -> Option<PendingPermit> {
        let permit = PendingPermit { limit: Arc::clone(self), bytes };
        let inputs = self.inputs.fetch_add(1, Ordering::Relaxed);
        let others = self.bytes.fetch_add(bytes, Ordering::Relaxed);
        let fits = inputs < self.max_inputs
            && (others == 0 || others.saturating_add(bytes) <= self.max_bytes);
        fits.then_some(permit)
    }
}

/// One item's place in the room.
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
