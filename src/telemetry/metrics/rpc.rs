//! RPCs: outcome, duration, caller and errors.

use std::time::Duration;

use opentelemetry::{
    KeyValue,
    metrics::{Counter, Histogram, Meter},
};

use super::{
    Metrics,
    catalogue::{self, label},
};
use crate::{caller::Caller, error::Blame, telemetry::semconv};

/// How an RPC ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum RpcOutcome {
    /// It succeeded.
    Ok,
    /// It failed, and the caller must act.
    Caller,
    /// It failed because Voyage failed or refused.
    Upstream,
    /// It failed because the gateway failed, or its budget is used up.
    Gateway,
    /// It was refused because the replica was full.
    Shed,
    /// The caller cancelled it.
    Cancelled,
    /// It panicked.
    Panicked,
}

impl RpcOutcome {
    /// All outcomes.
    pub const ALL: [Self; 7] = [
        Self::Ok,
        Self::Caller,
        Self::Upstream,
        Self::Gateway,
        Self::Shed,
        Self::Cancelled,
        Self::Panicked,
    ];

    /// Returns the value of the label `outcome`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Caller => "caller",
            Self::Upstream => "upstream",
            Self::Gateway => "gateway",
            Self::Shed => "shed",
            Self::Cancelled => "cancelled",
            Self::Panicked => "panicked",
        }
    }
}

pub(super) struct Instruments {
    rpcs: Counter<u64>,
    duration: Histogram<f64>,
    overhead: Histogram<f64>,
    errors: Counter<u64>,
    caller_rpcs: Counter<u64>,
    shed: Counter<u64>,
    panics: Counter<u64>,
    auth_failures: Counter<u64>,
}

impl Instruments {
    pub(super) fn new(meter: &Meter) -> Self {
        Self {
            rpcs: catalogue::RPCS.counter(meter),
            duration: catalogue::RPC_DURATION.histogram(meter),
            overhead: catalogue::OVERHEAD.histogram(meter),
            errors: catalogue::ERRORS.counter(meter),
            caller_rpcs: catalogue::CALLER_RPCS.counter(meter),
            shed: catalogue::SHED.counter(meter),
            panics: catalogue::PANICS.counter(meter),
            auth_failures: catalogue::AUTH_FAILURES.counter(meter),
        }
    }
}

/// An RPC that has ended.
#[derive(Clone, Copy, Debug)]
pub struct EndedRpc<'a> {
    /// `package.Service/Method`, or `_OTHER` if it is not served.
    pub method: &'static str,
    /// The name of the status code; `CANCELLED` if the caller cancelled the RPC.
    pub code: &'static str,
    /// How it ended.
    pub outcome: RpcOutcome,
    /// From the first byte of the request to the last byte of the reply.
    pub took: Duration,
    /// The caller, if known.
    pub caller: Option<&'a Caller>,
}

impl Metrics {
    /// [`catalogue::RPCS`], [`catalogue::RPC_DURATION`] and, for known callers, [`catalogue::CALLER_RPCS`]: an RPC has
    /// ended.
    pub fn rpc(&self, rpc: EndedRpc<'_>) {
        let Some(shared) = &self.shared else { return };
        let method = KeyValue::new(semconv::RPC_METHOD, rpc.method);
        let code = KeyValue::new(semconv::RPC_RESPONSE_STATUS_CODE, rpc.code);
        let system = KeyValue::new(semconv::RPC_SYSTEM_NAME, semconv::GRPC);
        let seconds = rpc.took.as_secs_f64();
        if rpc.code == "OK" {
            shared.rpc.duration.record(seconds, &[system, method.clone(), code.clone()]);
        } else {
            let error = KeyValue::new(semconv::ERROR_TYPE, rpc.code);
            shared.rpc.duration.record(seconds, &[system, method.clone(), code.clone(), error]);
        }
        let outcome = KeyValue::new(label::OUTCOME, rpc.outcome.as_str());
        shared.rpc.rpcs.add(1, &[method, code, outcome]);
        if let Some(caller) = rpc.caller {
            let name = shared.spending.caller_names.label(Some(caller));
            shared.rpc.caller_rpcs.add(1, &[KeyValue::new(label::CALLER, name)]);
        }
    }

    /// Starts a series of [`catalogue::RPCS`] at 0.
    pub fn expect_rpc(&self, method: &'static str, code: &'static str, outcome: RpcOutcome) {
        let Some(shared) = &self.shared else { return };
        let labels = [
            KeyValue::new(semconv::RPC_METHOD, method),
            KeyValue::new(semconv::RPC_RESPONSE_STATUS_CODE, code),
            KeyValue::new(label::OUTCOME, outcome.as_str()),
        ];
        shared.rpc.rpcs.add(0, &labels);
    }

    /// [`catalogue::OVERHEAD`]: an RPC succeeded, and no upstream call for it was in flight during this time.
    pub fn overhead(&self, method: &'static str, overhead: Duration) {
        let Some(shared) = &self.shared else { return };
        let labels = [KeyValue::new(semconv::RPC_METHOD, method)];
        shared.rpc.overhead.record(overhead.as_secs_f64(), &labels);
    }

    /// [`catalogue::ERRORS`]: an RPC was refused or failed, by the reason in its status and by who must act.
    pub fn error(&self, method: &'static str, reason: &'static str, blame: Blame) {
        self.errors(method, reason, blame, 1);
    }

    /// Starts a series of [`catalogue::ERRORS`] at 0.
    pub fn expect_error(&self, method: &'static str, reason: &'static str, blame: Blame) {
        self.errors(method, reason, blame, 0);
    }

    fn errors(&self, method: &'static str, reason: &'static str, blame: Blame, rpcs: u64) {
        let Some(shared) = &self.shared else { return };
        let labels = [
            KeyValue::new(semconv::RPC_METHOD, method),
            KeyValue::new(label::REASON, reason),
            KeyValue::new(label::BLAME, blame.as_str()),
        ];
        shared.rpc.errors.add(rpcs, &labels);
    }

    /// [`catalogue::SHED`]: a request or an input was refused because the replica was full.
    pub fn shed(&self) {
        if let Some(shared) = &self.shared {
            shared.rpc.shed.add(1, &[]);
        }
    }

    /// [`catalogue::PANICS`]: an RPC panicked, and ended as `INTERNAL`.
    pub fn panic(&self) {
        if let Some(shared) = &self.shared {
            shared.rpc.panics.add(1, &[]);
        }
    }

    /// [`catalogue::AUTH_FAILURES`]: a call was refused because of its credential, by `auth.mode` and cause.
    pub fn auth_failure(&self, mode: &'static str, why: &'static str) {
        self.auth_failures(mode, why, 1);
    }

    /// Starts the series of [`Metrics::auth_failure`] at 0 for the configured `auth.mode`.
    pub fn expect_auth_failures(
        &self,
        mode: &'static str,
        causes: impl IntoIterator<Item = &'static str>,
    ) {
        for why in causes {
            self.auth_failures(mode, why, 0);
        }
    }

    /// Starts the series of a caller at 0.
    pub fn expect_caller(&self, caller: &Caller) {
        let Some(shared) = &self.shared else { return };
        let name = shared.spending.caller_names.label(Some(caller));
        shared.rpc.caller_rpcs.add(0, &[KeyValue::new(label::CALLER, name)]);
        self.tokens(0, Some(caller));
    }

    fn auth_failures(&self, mode: &'static str, why: &'static str, calls: u64) {
        let Some(shared) = &self.shared else { return };
        let labels = [KeyValue::new(label::MODE, mode), KeyValue::new(label::WHY, why)];
        shared.rpc.auth_failures.add(calls, &labels);
    }
}
