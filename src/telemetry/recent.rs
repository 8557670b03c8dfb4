//! The slowest recent RPCs and the last upstream errors, for the status page. Bounded, without secrets of callers.

use std::{collections::VecDeque, time::Duration};

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
    /// The side that has to act.
    pub blame: Blame,
    /// The HTTP status; `None`: there was no response.
    pub status: Option<u16>,
    /// The path of the endpoint.
    pub endpoint: &'static str,
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
#[derive(Debug, Default)]
pub struct Recent {
    /// The slowest first.
    rpcs: Mutex<Vec<SlowRpc>>,
    /// The newest first.
    errors: Mutex<VecDeque<UpstreamError>>,
}

impl Recent {
    /// Adds an RPC if it is slow and among the slowest.
    pub fn slow_rpc(&self, rpc: SlowRpc) {
        if rpc.took <= SLOW {
            return;
        }
        let mut rpcs = self.rpcs.lock();
        rpcs.retain(|kept| is_fresh(kept, rpc.ended));
        let place = rpcs.partition_point(|kept| kept.took >= rpc.took);
        rpcs.insert(place, rpc);
        rpcs.truncate(MAX_RPCS);
    }

    /// Adds a failure; `trace_id` is that of the batch.
    pub fn upstream_error(&self, failure: &Upstream, trace_id: Option<TraceId>) {
        let row = failure.fault.row();
        let error = UpstreamError {
            reason: row.reason,
            blame: row.blame,
            status: failure.status,
            endpoint: failure.endpoint.path(),
            key: failure.key.to_string(),
            request_id: failure.request_id.as_ref().map(ToString::to_string),
            trace_id: trace_id.map(|id| id.to_string()),
            at: Instant::now(),
        };
        let mut errors = self.errors.lock();
        errors.truncate(MAX_ERRORS - 1);
        errors.push_front(error);
    }

    /// Returns the slow RPCs of the last ten minutes, the slowest first.
    pub fn slow_rpcs(&self, now: Instant) -> Vec<SlowRpc> {
        self.rpcs.lock().iter().filter(|rpc| is_fresh(rpc, now)).cloned().collect()
    }

    /// Returns the upstream errors, the newest first.
    pub fn upstream_errors(&self) -> Vec<UpstreamError> {
        self.errors.lock().iter().cloned().collect()
    }
}

fn seconds<S: Serializer>(took: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(took.as_secs_f64())
}

fn is_fresh(rpc: &SlowRpc, now: Instant) -> bool {
    now.saturating_duration_since(rpc.ended) < KEPT
}

#[cfg(test)]
mod tests;
