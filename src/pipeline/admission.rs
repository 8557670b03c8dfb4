//! Refuses what does not fit, rather than queueing blindly.

use std::sync::Arc;

use super::{
    Config,
    sync::atomic::{AtomicUsize, Ordering},
};
use crate::{error::Error, telemetry::Metrics};

/// Bounds the requests, and their bytes, that are in flight at once.
#[derive(Debug)]
pub struct Admission {
    max_requests: usize,
    max_bytes: usize,
    load: Arc<Load>,
    metrics: Metrics,
}

#[derive(Debug, Default)]
struct Load {
    requests: AtomicUsize,
    bytes: AtomicUsize,
}

impl Admission {
    pub(super) fn new(config: &Config, metrics: Metrics) -> Self {
        let load = Arc::<Load>::default();
        let watched = Arc::clone(&load);
        metrics.watch_admission(move || watched.requests.load(Ordering::Relaxed) as u64);
        Self {
            max_requests: config.max_in_flight as usize,
            max_bytes: usize::try_from(config.max_bytes.get()).unwrap_or(usize::MAX),
            load,
            metrics,
        }
    }

    /// Lets a request of `bytes` bytes in until its permit is dropped.
    ///
    /// A request larger than `admission.max_bytes` still gets in when it is alone: it is within
    /// `server.max_request_bytes`, and refusing it for ever would help nobody.
    pub(super) fn enter(&self, bytes: usize) -> Result<Permit, Error> {
        // Enter first, look afterwards: two callers can both be refused, never both be let in too many.
        let permit = Permit { load: Arc::clone(&self.load), bytes };
        let others = self.load.requests.fetch_add(1, Ordering::Relaxed);
        let others_bytes = self.load.bytes.fetch_add(bytes, Ordering::Relaxed);
        let full = if others >= self.max_requests {
            "admission.max_in_flight requests"
        } else if others_bytes > 0 && others_bytes.saturating_add(bytes) > self.max_bytes {
            "admission.max_bytes of requests"
        } else {
            return Ok(permit);
        };
        self.metrics.shed();
        Err(Error::Overloaded { what: full })
    }
}

/// A place among the requests in flight.
#[derive(Debug)]
pub(super) struct Permit {
    load: Arc<Load>,
    bytes: usize,
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.load.requests.fetch_sub(1, Ordering::Relaxed);
        self.load.bytes.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}
