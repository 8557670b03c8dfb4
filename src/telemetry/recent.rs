//! The slowest recent RPCs and the last upstream errors, for the status page. Bounded; no texts, vectors, keys or tokens.

use std::{
    collections::VecDeque,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use opentelemetry::trace::TraceId;
use parking_lot::Mutex;
use serde::{Serialize, Serializer};
use tokio::time::Instant;

use super::RpcOutcome;
use crate::error::{Blame, Upstream};

/// The duration from which an RPC is slow: cache hits take a millisecond, so it waited in a queue or for Voyage.
pub const SLOW: Duration = Duration::from_millis(100);

/// The maximum of slow RPCs.
pub const MAX_RPCS: usize = 32;

/// The maximum of upstream errors.
pub const MAX_ERRORS: usize = 32;

/// How long a slow RPC is kept.
pub const KEPT: Duration = Duration::from_mins(10);

/// A slow RPC.
#[derive(Clone, Debug, Serialize)]
pub struct SlowRpc {
    /// `package.Service/Method`.
    pub method: &'static str,
    /// From its first byte to the last of its reply.
    #[serde(rename = "seconds", serialize_with = "seconds")]
    pub took: Duration,
    /// Its outcome.
    pub outcome: RpcOutcome,
    /// The authenticated caller.
    pub caller: Option<String>,
    /// Its `x-request-id`: at most 128 visible ASCII characters.
    pub request_id: String,
    /// Its trace.
    pub trace_id: String,
    /// When it ended.
    #[serde(skip)]
    pub ended: Instant,
}

/// A failed call to Voyage.
#[derive(Clone, Debug, Serialize)]
pub struct UpstreamError {
    /// The reason, as in `ErrorInfo`.
    pub reason: &'static str,
    /// Who can correct it.
    pub blame: Blame,
    /// The HTTP status; `None`: there was no response.
    pub status: Option<u16>,
    /// The alias of its API key.
    pub key: String,
    /// Voyage's `x-request-id`.
    pub request_id: Option<String>,
    /// The trace of the batch.
    pub trace_id: Option<String>,
    /// When it failed.
    #[serde(skip)]
    pub at: Instant,
}

/// Slow RPCs and upstream errors.
#[derive(Debug)]
pub struct Recent {
    /// RPCs that took more microseconds than this are kept.
    threshold: AtomicU64,
    /// Unordered.
    rpcs: Mutex<Vec<SlowRpc>>,
    /// The newest first.
    errors: Mutex<VecDeque<UpstreamError>>,
}

impl Default for Recent {
    fn default() -> Self {
        Self {
            threshold: AtomicU64::new(micros(SLOW)),
            rpcs: Mutex::default(),
            errors: Mutex::default(),
        }
    }
}

impl Recent {
    /// Returns whether an RPC of this duration would be kept. Costs one atomic load.
    pub fn is_slow(&self, took: Duration) -> bool {
        micros(took) > self.threshold.load(Ordering::Relaxed)
    }

    /// Adds an RPC if it is among the slowest.
    pub fn slow_rpc(&self, rpc: SlowRpc) {
        if !self.is_slow(rpc.took) {
            return;
        }
        let mut rpcs = self.rpcs.lock();
        rpcs.retain(|kept| is_fresh(kept, rpc.ended));
        if rpcs.len() < MAX_RPCS {
            rpcs.push(rpc);
        } else if let Some(fastest) = rpcs.iter_mut().min_by_key(|kept| kept.took)
            && fastest.took < rpc.took
        {
            *fastest = rpc;
        }
        self.set_threshold(&rpcs);
    }

    /// Adds a failure; `trace_id` is that of the batch.
    pub fn upstream_error(&self, failure: &Upstream, trace_id: Option<TraceId>) {
        let row = failure.fault.row();
        let error = UpstreamError {
            reason: row.reason,
            blame: row.blame,
            status: failure.status,
            key: failure.key.to_string(),
            request_id: failure.request_id.as_ref().map(ToString::to_string),
            trace_id: trace_id.map(|id| id.to_string()),
            at: Instant::now(),
        };
        let mut errors = self.errors.lock();
        errors.truncate(MAX_ERRORS - 1);
        errors.push_front(error);
    }

    /// Removes slow RPCs older than [`KEPT`].
    pub fn forget_old(&self, now: Instant) {
        let mut rpcs = self.rpcs.lock();
        rpcs.retain(|kept| is_fresh(kept, now));
        self.set_threshold(&rpcs);
    }

    /// Returns the slow RPCs, the slowest first.
    pub fn slow_rpcs(&self, now: Instant) -> Vec<SlowRpc> {
        self.forget_old(now);
        let mut slowest = self.rpcs.lock().clone();
        slowest.sort_by_key(|rpc| std::cmp::Reverse(rpc.took));
        slowest
    }

    /// Returns the upstream errors, the newest first.
    pub fn upstream_errors(&self) -> Vec<UpstreamError> {
        self.errors.lock().iter().cloned().collect()
    }

    /// While there is room every slow RPC is kept, then only those slower than the fastest one kept.
    fn set_threshold(&self, rpcs: &[SlowRpc]) {
        let fastest = rpcs.iter().map(|rpc| micros(rpc.took)).min();
        let threshold = fastest.filter(|_| rpcs.len() >= MAX_RPCS).unwrap_or(micros(SLOW));
        self.threshold.store(threshold, Ordering::Relaxed);
    }
}

fn seconds<S: Serializer>(took: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(took.as_secs_f64())
}

fn is_fresh(rpc: &SlowRpc, now: Instant) -> bool {
    now.saturating_duration_since(rpc.ended) < KEPT
}

fn micros(span: Duration) -> u64 {
    u64::try_from(span.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
