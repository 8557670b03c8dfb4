//! One RPC from its first byte to its last, for the log, metrics and traces.

use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use http::{HeaderMap, HeaderValue};
use tokio::time::Instant;
use tonic::{Code, Status};

use super::SERVICE_PREFIX;
use crate::{
    caller::Caller,
    error::{Blame, Error},
    grpc::{request_id, status},
    telemetry::{self, Metrics, RpcOutcome, recent::SlowRpc, trace::TraceContext},
};

/// An RPC. Parts of it are set once, when they are known.
#[derive(Debug)]
pub(in crate::grpc) struct Rpc {
    pub(in crate::grpc) request_id: HeaderValue,
    pub(in crate::grpc) method: &'static str,
    pub(in crate::grpc) trace: TraceContext,
    /// When its first byte arrived.
    pub(in crate::grpc) started: Instant,
    pub(super) metrics: Metrics,
    pub(super) caller: OnceLock<Caller>,
    /// Whether its deadline leaves ample time.
    pub(super) has_ample_time: OnceLock<bool>,
    /// How it failed. The first failure counts, since only one status reaches the caller.
    failure: OnceLock<RpcOutcome>,
    /// The reason in its status.
    pub(super) reason: OnceLock<&'static str>,
    /// Time spent in upstream calls; not set for RPCs that make none.
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
            has_ample_time: OnceLock::new(),
            failure: OnceLock::new(),
            reason: OnceLock::new(),
            upstream: OnceLock::new(),
        })
    }

    /// Returns whether its method is one of the gateway's own.
    pub(super) fn is_own(&self) -> bool {
        self.method.starts_with(SERVICE_PREFIX)
    }

    /// Sets the time spent in upstream calls.
    pub(in crate::grpc) fn set_upstream_time(&self, time: Duration) {
        let _ = self.upstream.set(time);
    }

    /// Returns the time it has taken so far without that of upstream calls; `None` for RPCs that make none.
    pub(super) fn overhead(&self, now: Instant) -> Option<Duration> {
        Some((now - self.started).saturating_sub(*self.upstream.get()?))
    }

    /// Returns how the RPC ended with this code.
    pub(super) fn outcome(&self, code: Code) -> RpcOutcome {
        match code {
            Code::Ok => RpcOutcome::Ok,
            Code::Cancelled => RpcOutcome::Cancelled,
            _ => self.failure.get().copied().unwrap_or(RpcOutcome::Caller),
        }
    }

    /// Returns its entry in the list of slow RPCs.
    pub(super) fn slow(&self, outcome: RpcOutcome, ended: Instant) -> SlowRpc {
        SlowRpc {
            method: self.method,
            took: ended - self.started,
            outcome,
            caller: self.caller.get().map(|caller| caller.name.to_string()),
            request_id: self.request_id.to_str().unwrap_or_default().to_owned(),
            trace_id: self.trace.trace_id().to_string(),
            ended,
        }
    }

    /// Counts a panic.
    pub(super) fn panicked(&self) {
        self.metrics.panic();
        let _ = self.failure.set(RpcOutcome::Panicked);
    }

    /// Returns the status of an error, which ends the RPC, and logs it.
    pub(super) fn refuse(&self, error: &Error) -> Status {
        let blame = error.blame(self.has_ample_time.get().copied().unwrap_or_default());
        let is_overloaded = matches!(error, Error::Overloaded { .. });
        let _ = self.failure.set(outcome_of(is_overloaded, blame));
        let reason = error.row().reason;
        let _ = self.reason.set(reason);
        self.metrics.errors(self.method, reason, blame, 1);
        self.log(error, blame);
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
        // Bounded, because callers can cause any number of failures.
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

/// Returns how an RPC ends with an error.
pub(super) fn outcome_of(is_overloaded: bool, blame: Blame) -> RpcOutcome {
    match blame {
        _ if is_overloaded => RpcOutcome::Shed,
        Blame::Caller => RpcOutcome::Caller,
        Blame::Upstream => RpcOutcome::Upstream,
        Blame::Gateway => RpcOutcome::Gateway,
    }
}
