//! One RPC as the edge knows it, from its first byte to its last.

use std::sync::{Arc, OnceLock};

use http::{HeaderMap, HeaderValue};
use tokio::time::Instant;
use tonic::{Code, Status};

use crate::{
    caller::Caller,
    error::{Blame, Error},
    grpc::{request_id, status},
    telemetry::{RpcOutcome, recent::SlowRpc, trace::TraceContext},
};

/// What the log, metrics and traces say of an RPC.
#[derive(Debug)]
pub(in crate::grpc) struct Rpc {
    pub(in crate::grpc) request_id: HeaderValue,
    pub(in crate::grpc) method: &'static str,
    pub(in crate::grpc) trace: TraceContext,
    /// When its headers were here.
    pub(super) began: Instant,
    /// Who calls, once that is known.
    caller: OnceLock<Arc<str>>,
    /// Whose doing its failure is; the first one counts, as only one status reaches the caller.
    failure: OnceLock<RpcOutcome>,
}

impl Rpc {
    pub(super) fn new(headers: &HeaderMap, method: &'static str) -> Arc<Self> {
        Arc::new(Self {
            request_id: request_id::of(headers),
            method,
            trace: TraceContext::of(headers),
            began: Instant::now(),
            caller: OnceLock::new(),
            failure: OnceLock::new(),
        })
    }

    pub(super) fn called_by(&self, caller: &Caller) {
        // Nobody calls twice.
        let _ = self.caller.set(Arc::clone(&caller.name));
    }

    /// Returns how the RPC ended, by the status its caller saw.
    pub(super) fn outcome(&self, code: Code) -> RpcOutcome {
        match code {
            Code::Ok => RpcOutcome::Ok,
            Code::Cancelled => RpcOutcome::Cancelled,
            _ => self.failure.get().copied().unwrap_or(RpcOutcome::Caller),
        }
    }

    /// Returns what is told of the RPC when it was slow.
    pub(super) fn slow(&self, outcome: RpcOutcome, ended: Instant) -> SlowRpc {
        SlowRpc {
            method: self.method,
            took: ended - self.began,
            outcome,
            caller: self.caller.get().cloned(),
            request_id: self.request_id.to_str().unwrap_or_default().to_owned(),
            trace_id: self.trace.trace_id(),
            ended,
        }
    }

    /// Notes that a panic took the RPC.
    pub(super) fn panicked(&self) {
        let _ = self.failure.set(RpcOutcome::Panicked);
    }

    /// Turns an error into the RPC's status and logs it, once.
    pub(super) fn refuse(&self, error: &Error) -> Status {
        let _ = self.failure.set(outcome(error));
        self.log(error);
        // Ids are visible ASCII, the caller's and ours.
        status::status(error, self.request_id.to_str().unwrap_or_default())
    }

    fn log(&self, error: &Error) {
        let method = self.method;
        let request_id = self.request_id.to_str().unwrap_or_default();
        let trace_id = self.trace.trace_id();
        let caller = self.caller.get().map(|name| &**name);
        let reason = status::reason_name(status::place(error).reason);
        let blame = error.blame().as_str();
        match (error.blame(), error) {
            (_, Error::Internal { cause }) => {
                tracing::error!(method, request_id, %trace_id, caller, reason, blame, cause, "rpc failed");
            }
            (_, Error::CredentialsInvalid { why }) => {
                tracing::debug!(method, request_id, %trace_id, caller, reason, blame, why, "rpc failed");
            }
            (Blame::Caller, _) => {
                tracing::debug!(method, request_id, %trace_id, caller, reason, blame, "rpc failed");
            }
            (Blame::Gateway | Blame::Upstream, _) => {
                let upstream = match error {
                    Error::Upstream(upstream) => Some(upstream),
                    _ => None,
                };
                let http_status = upstream.and_then(|upstream| upstream.status);
                let upstream_request_id =
                    upstream.and_then(|upstream| upstream.request_id.as_deref());
                tracing::warn!(
                    method,
                    request_id,
                    %trace_id,
                    caller,
                    reason,
                    blame,
                    http_status,
                    upstream_request_id,
                    "rpc failed"
                );
            }
        }
    }
}

/// Tells whose doing an error is.
fn outcome(error: &Error) -> RpcOutcome {
    match (error, error.blame()) {
        (Error::Overloaded { .. }, _) => RpcOutcome::Shed,
        (_, Blame::Caller) => RpcOutcome::Caller,
        (_, Blame::Upstream) => RpcOutcome::Upstream,
        (_, Blame::Gateway) => RpcOutcome::Gateway,
    }
}
