//! Refuses what does not fit, rather than queueing blindly.
//!
//! A permit is with an RPC from its first byte to its last: it counts the message while it arrives, then the inputs
//! and the predicted reply, and leaves with the reply's last byte or with the caller.

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

/// Bounds the requests, and the bytes of theirs, that are in flight at once; clones share the bounds.
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
    /// The bound of batch requests: the rest is for callers who wait.
    max_batch: usize,
}

impl Bounded {
    fn new(max: usize) -> Self {
        // 80 %, rounded up: a single place is for all.
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
    /// Sets the bounds up.
    pub fn new(config: &Config, metrics: Metrics) -> Self {
        let max_bytes = usize::try_from(config.max_bytes.get()).unwrap_or(usize::MAX);
        let shared = Arc::new(Shared {
            requests: Bounded::new(config.max_in_flight as usize),
            bytes: Bounded::new(max_bytes),
            metrics,
        });
        // Weak: the metrics are held by what they would hold.
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

/// An RPC's place among those in flight. It is free again when the last clone is gone.
#[derive(Clone, Debug)]
pub struct Permit(Arc<Counted>);

/// What a permit counts; changed by one RPC's own steps only.
#[derive(Debug)]
struct Counted {
    shared: Arc<Shared>,
    requests: AtomicUsize,
    bytes: AtomicUsize,
}

impl Permit {
    /// Counts further bytes: of the message, as they arrive, or of a reply beyond what was predicted. Or refuses them,
    /// and all before.
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

    /// Lets a request of `bytes` bytes in, inputs and reply together. They take the place of the message's.
    ///
    /// A request larger than `admission.max_bytes` still gets in when it is alone: it is within
    /// `server.max_request_bytes`, and refusing it for ever would help nobody.
    pub(super) fn enter(&self, bytes: usize, priority: Priority) -> Result<(), Error> {
        // Enter first, look afterwards: two callers can both be refused, never both be let in too many.
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

    /// Gives everything back at once: the refusal itself takes no room.
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
