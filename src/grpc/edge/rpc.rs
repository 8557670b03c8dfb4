//! One RPC as the edge knows it, from its first byte to its last.

use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use http::{HeaderMap, HeaderValue};
use tokio::time::Instant;
use tonic::{Code, Status};

use crate::{
    caller::Caller,
    error::{Blame, Error},
    grpc::{deadline::Deadline, request_id, status},
    telemetry::{self, Metrics, RpcOutcome, recent::SlowRpc, trace::TraceContext},
};

/// What the log, metrics and traces say of an RPC.
#[derive(Debug)]
pub(in crate::grpc) struct Rpc {
    pub(in crate::grpc) request_id: HeaderValue,
    pub(in crate::grpc) method: &'static str,
    pub(in crate::grpc) trace: TraceContext,
    /// When its first byte came.
    pub(in crate::grpc) started: Instant,
    metrics: Metrics,
    /// Who calls, once that is known.
    caller: OnceLock<Caller>,
    /// Whether its deadline leaves ample time, once that is read.
    ample: OnceLock<bool>,
    /// Whose doing its failure is; the first one counts, as only one status reaches the caller.
    failure: OnceLock<RpcOutcome>,
    /// Why it failed, as its status says.
    reason: OnceLock<&'static str>,
    /// For how long upstream calls for it were out: of an RPC that may need them.
    upstream: OnceLock<Duration>,
}

impl Rpc {
    pub(super) fn new(
        headers: &HeaderMap,
        method: &'static str,
        trace: TraceContext,
        metrics: &Metrics,
    ) -> Arc<Self> {
        Arc::new(Self {
            request_id: request_id::of(headers),
            method,
            trace,
            started: Instant::now(),
            metrics: metrics.clone(),
            caller: OnceLock::new(),
            ample: OnceLock::new(),
            failure: OnceLock::new(),
            reason: OnceLock::new(),
            upstream: OnceLock::new(),
        })
    }

    pub(super) fn reason(&self) -> Option<&'static str> {
        self.reason.get().copied()
    }

    /// Notes for how long upstream calls for it were out.
    pub(in crate::grpc) fn was_upstream(&self, time: Duration) {
        let _ = self.upstream.set(time);
    }

    /// Returns the time it has taken so far but for upstream calls; `None` of one that needs none.
    pub(super) fn overhead(&self, now: Instant) -> Option<Duration> {
        Some((now - self.started).saturating_sub(*self.upstream.get()?))
    }

    pub(super) fn called_by(&self, caller: &Caller) {
        // Nobody calls twice.
        let _ = self.caller.set(caller.clone());
    }

    pub(super) fn has_until(&self, deadline: &Deadline) {
        // It is read once.
        let _ = self.ample.set(deadline.ample);
    }

    /// Returns who calls, where that is known.
    pub(super) fn caller(&self) -> Option<&Caller> {
        self.caller.get()
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
            took: ended - self.started,
            outcome,
            caller: self.caller.get().map(|caller| Arc::clone(&caller.name)),
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
        let blame = error.blame(self.ample.get().copied().unwrap_or_default());
        let _ = self.failure.set(outcome(error, blame));
        let reason = error.row().reason;
        let _ = self.reason.set(reason);
        self.metrics.error(self.method, reason, blame);
        self.log(error, blame);
        // Ids are visible ASCII, the caller's and ours.
        status::status(error, self.request_id.to_str().unwrap_or_default())
    }

    fn log(&self, error: &Error, blamed: Blame) {
        let method = self.method;
        let request_id = self.request_id.to_str().unwrap_or_default();
        let (trace_id, span_id) = (self.trace.trace_id(), self.trace.span_id());
        let caller = self.caller.get().map(|caller| &*caller.name);
        let reason = error.row().reason;
        let blame = blamed.as_str();
        if let Error::Internal { cause } = error {
            tracing::error!(method, request_id, %trace_id, %span_id, caller, reason, blame, cause, "rpc failed");
            return;
        }
        let why = match error {
            Error::CredentialsInvalid { why } => Some(*why),
            _ => None,
        };
        let phase = match error {
            Error::DeadlineExceeded { phase } => Some(phase.as_str()),
            _ => None,
        };
        let upstream = match error {
            Error::Upstream(upstream) => Some(upstream),
            _ => None,
        };
        let http_status = upstream.and_then(|upstream| upstream.status);
        let upstream_request_id = upstream.and_then(|upstream| upstream.request_id.as_deref());
        // Callers can cause failures at will, and when all goes badly there are most of them.
        let line = telemetry::bounded_line(reason);
        let unsaid = line.filter(|unsaid| *unsaid > 0);
        match (line, blamed) {
            (None, _) => {
                tracing::debug!(method, request_id, %trace_id, %span_id, caller, reason, blame, why, phase, http_status, upstream_request_id, "rpc failed");
            }
            (Some(_), Blame::Caller) => {
                tracing::info!(method, request_id, %trace_id, %span_id, caller, reason, blame, why, phase, http_status, upstream_request_id, unsaid, "rpc failed");
            }
            (Some(_), Blame::Gateway | Blame::Upstream) => {
                tracing::warn!(method, request_id, %trace_id, %span_id, caller, reason, blame, phase, http_status, upstream_request_id, unsaid, "rpc failed");
            }
        }
    }
}

/// Tells whose doing an error is.
fn outcome(error: &Error, blame: Blame) -> RpcOutcome {
    match (error, blame) {
        (Error::Overloaded { .. }, _) => RpcOutcome::Shed,
        (_, Blame::Caller) => RpcOutcome::Caller,
        (_, Blame::Upstream) => RpcOutcome::Upstream,
        (_, Blame::Gateway) => RpcOutcome::Gateway,
    }
}
