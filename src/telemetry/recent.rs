//! What went slowly or wrong of late, for the status page: bounded, and without any text, vector, key or token.

use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use opentelemetry::trace::TraceId;
use parking_lot::{Mutex, MutexGuard};
use tokio::time::Instant;

use super::RpcOutcome;
use crate::error::{Blame, Upstream};

/// An RPC is slow from here on: hits take a millisecond, so it has waited, for Voyage or for its turn.
pub const SLOW: Duration = Duration::from_millis(100);

/// Slow RPCs that are kept, the slowest.
pub const MAX_RPCS: usize = 32;

/// Upstream errors that are kept, the last.
pub const MAX_ERRORS: usize = 32;

/// How long a slow RPC is kept.
pub const KEPT: Duration = Duration::from_mins(10);

/// An RPC that took long.
#[derive(Clone, Debug)]
pub struct SlowRpc {
    /// `package.Service/Method`.
    pub method: &'static str,
    /// From its first byte to the last of its reply.
    pub took: Duration,
    /// How it ended.
    pub outcome: RpcOutcome,
    /// Who called, if that was found out.
    pub caller: Option<Arc<str>>,
    /// Its `x-request-id`: at most 128 visible ASCII characters.
    pub request_id: String,
    /// Its trace.
    pub trace_id: TraceId,
    /// When it ended.
    pub ended: Instant,
}

/// A call to Voyage that failed.
#[derive(Clone, Debug)]
pub struct UpstreamError {
    /// The reason as callers would read it.
    pub reason: &'static str,
    /// Whose doing it is.
    pub blame: Blame,
    /// The HTTP status, if there was an answer.
    pub status: Option<u16>,
    /// The alias of the key it was made with.
    pub key: Arc<str>,
    /// Voyage's `x-request-id`.
    pub request_id: Option<Arc<str>>,
    /// The trace of the batch, if it has one.
    pub trace_id: Option<TraceId>,
    /// When it failed.
    pub at: Instant,
}

/// The last of both.
#[derive(Debug)]
pub struct Recent {
    /// Microseconds that an RPC must take more than to be kept.
    threshold: AtomicU64,
    /// In no order.
    rpcs: Mutex<Vec<SlowRpc>>,
    /// The newest comes first.
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
    /// Tells whether an RPC that took so long would be kept: one atomic load.
    pub fn is_slow(&self, took: Duration) -> bool {
        micros(took) > self.threshold.load(Ordering::Relaxed)
    }

    /// Keeps an RPC if it is among the slowest.
    pub fn slow_rpc(&self, rpc: SlowRpc) {
        if !self.is_slow(rpc.took) {
            return;
        }
        let mut rpcs = lock(&self.rpcs);
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

    /// Keeps a failure; `trace_id` is that of the batch, if it has one.
    pub fn upstream_error(&self, failure: &Upstream, trace_id: Option<TraceId>) {
        let row = failure.fault.row();
        let error = UpstreamError {
            reason: row.reason,
            blame: row.blame,
            status: failure.status,
            key: Arc::clone(&failure.key),
            request_id: failure.request_id.clone(),
            trace_id,
            at: Instant::now(),
        };
        let mut errors = lock(&self.errors);
        errors.truncate(MAX_ERRORS - 1);
        errors.push_front(error);
    }

    /// Forgets the slow RPCs that are too old.
    pub fn forget_old(&self, now: Instant) {
        let mut rpcs = lock(&self.rpcs);
        rpcs.retain(|kept| is_fresh(kept, now));
        self.set_threshold(&rpcs);
    }

    /// Returns the slow RPCs, the slowest first.
    pub fn slow_rpcs(&self, now: Instant) -> Vec<SlowRpc> {
        self.forget_old(now);
        let mut slowest = lock(&self.rpcs).clone();
        slowest.sort_by_key(|rpc| std::cmp::Reverse(rpc.took));
        slowest
    }

    /// Returns the upstream errors, the newest first.
    pub fn upstream_errors(&self) -> Vec<UpstreamError> {
        lock(&self.errors).iter().cloned().collect()
    }

    /// While there is room every slow RPC is kept; then only those slower than the fastest that is.
    fn set_threshold(&self, rpcs: &[SlowRpc]) {
        let fastest = rpcs.iter().map(|rpc| micros(rpc.took)).min();
        let threshold = fastest.filter(|_| rpcs.len() >= MAX_RPCS).unwrap_or(micros(SLOW));
        self.threshold.store(threshold, Ordering::Relaxed);
    }
}

fn is_fresh(rpc: &SlowRpc, now: Instant) -> bool {
    now.saturating_duration_since(rpc.ended) < KEPT
}

fn micros(span: Duration) -> u64 {
    u64::try_from(span.as_micros()).unwrap_or(u64::MAX)
}

fn lock<T>(kept: &Mutex<T>) -> MutexGuard<'_, T> {
    kept.lock()
}

#[cfg(test)]
mod tests;
