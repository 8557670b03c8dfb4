//! Bounds the requests and bytes in flight, and refuses the rest instead of queueing it.
//!
//! A permit belongs to an RPC from its first byte to its last: it counts the message while it arrives, then the inputs
//! and the predicted reply, and is free after the reply's last byte or when the caller leaves.

use std::sync::Arc;

use super::{
    Config,
    sync::atomic::{AtomicUsize, Ordering},
};
use crate::{
    caller::Priority,
    error::Error,
    telemetry::{Admitted, Metrics},
};

/// The bounds of requests and their bytes in flight; clones share them.
#[derive(Clone, Debug)]
pub struct Admission {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    requests: Bounded,
    bytes: Bounded,
    metrics: Metrics,
}

/// A count and its bounds.
#[derive(Debug)]
struct Bounded {
    count: AtomicUsize,
    max: usize,
    /// The bound for requests of batch priority: the rest is reserved for interactive ones.
    max_batch: usize,
}

impl Bounded {
    fn new(max: usize) -> Self {
        // 80 %, rounded up: a bound of 1 admits both priorities.
        Self { count: AtomicUsize::new(0), max, max_batch: max - max / 5 }
    }

    fn max(&self, priority: Priority) -> usize {
        match priority {
            Priority::Interactive => self.max,
            Priority::Batch => self.max_batch,
        }
    }

    /// Replaces `before` by `after` in one step; returns the count of all others.
    fn exchange(&self, before: usize, after: usize) -> usize {
        let count = if after >= before {
            self.count.fetch_add(after - before, Ordering::Relaxed)
        } else {
            self.count.fetch_sub(before - after, Ordering::Relaxed)
        };
        count - before
    }

    fn get(&self) -> u64 {
        self.count.load(Ordering::Relaxed) as u64
    }
}

impl Shared {
    fn admitted(&self) -> Admitted {
        Admitted {
            requests: self.requests.get(),
            max_requests: self.requests.max as u64,
            bytes: self.bytes.get(),
            max_bytes: self.bytes.max as u64,
        }
    }
}

impl Admission {
    /// Creates the bounds.
    pub fn new(config: &Config, metrics: Metrics) -> Self {
        let max_bytes = usize::try_from(config.max_bytes.get()).unwrap_or(usize::MAX);
        let shared = Arc::new(Shared {
            requests: Bounded::new(config.max_in_flight as usize),
            bytes: Bounded::new(max_bytes),
            metrics,
        });
        // Weak: `shared` holds the metrics, which would hold it.
        let watched = Arc::downgrade(&shared);
        shared.metrics.watch_admission(move || Some(watched.upgrade()?.admitted()));
        Self { shared }
    }

    /// Returns a permit that counts nothing yet.
    pub fn permit(&self) -> Permit {
        Permit(Arc::new(Counted {
            shared: Arc::clone(&self.shared),
            requests: AtomicUsize::new(0),
            bytes: AtomicUsize::new(0),
        }))
    }
}

/// Counts an RPC as in flight until its last clone is dropped.
#[derive(Clone, Debug)]
pub struct Permit(Arc<Counted>);

/// The counts of a permit; only its own RPC changes them.
#[derive(Debug)]
struct Counted {
    shared: Arc<Shared>,
    requests: AtomicUsize,
    bytes: AtomicUsize,
}

impl Permit {
    /// Counts further bytes: of the message as they arrive, or of a reply beyond its prediction. A refusal releases the
    /// whole permit.
    pub fn count(&self, bytes: usize) -> Result<(), Error> {
        if bytes == 0 {
            return Ok(());
        }
        let before = self.0.bytes.fetch_add(bytes, Ordering::Relaxed);
        let after = before + bytes;
        let others = self.0.shared.bytes.exchange(before, after);
        if others > 0 && others.saturating_add(after) > self.0.shared.bytes.max {
            return Err(self.refuse("admission.max_bytes of requests and replies"));
        }
        Ok(())
    }

    /// Admits a request of `bytes` bytes, inputs and reply together, which replace the bytes of the message.
    ///
    /// A request larger than `admission.max_bytes` is admitted when it is alone: it is within
    /// `server.max_request_bytes`, and would otherwise never be admitted.
    pub(super) fn enter(&self, bytes: usize, priority: Priority) -> Result<(), Error> {
        // Count first, check afterwards: two callers can both be refused, but never both exceed the bound.
        let shared = &self.0.shared;
        let entered = self.0.requests.swap(1, Ordering::Relaxed);
        let others = shared.requests.exchange(entered, 1);
        let before = self.0.bytes.swap(bytes, Ordering::Relaxed);
        let others_bytes = shared.bytes.exchange(before, bytes);
        if others >= shared.requests.max(priority) {
            return Err(self.refuse("admission.max_in_flight requests"));
        }
        if others_bytes > 0 && others_bytes.saturating_add(bytes) > shared.bytes.max(priority) {
            return Err(self.refuse("admission.max_bytes of requests and replies"));
        }
        Ok(())
    }

    /// Releases everything: a refused request counts nothing.
    fn refuse(&self, what: &'static str) -> Error {
        self.0.clear();
        self.0.shared.metrics.shed();
        Error::Overloaded { what }
    }
}

impl Counted {
    fn clear(&self) {
        self.shared.requests.exchange(self.requests.swap(0, Ordering::Relaxed), 0);
        self.shared.bytes.exchange(self.bytes.swap(0, Ordering::Relaxed), 0);
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.clear();
    }
}
