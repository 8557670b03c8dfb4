//! RPCs: outcome, duration, caller and errors.

use std::time::Duration;

use opentelemetry::KeyValue;

use super::{Metrics, Shared, catalogue::label};
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
    /// `catalogue::RPCS`, `catalogue::RPC_DURATION` and, for known callers, `catalogue::CALLER_RPCS`: an RPC has
    /// ended.
    pub fn rpc(&self, rpc: EndedRpc<'_>) {
        let Some(Shared { instruments, .. }) = self.shared.as_deref() else { return };
        let [method, code, outcome] = labels(rpc.method, rpc.code, rpc.outcome);
        let system = KeyValue::new(semconv::RPC_SYSTEM_NAME, semconv::GRPC);
        let seconds = rpc.took.as_secs_f64();
        if rpc.code == "OK" {
            instruments.rpc_duration.record(seconds, &[system, method.clone(), code.clone()]);
        } else {
            let error = KeyValue::new(semconv::ERROR_TYPE, rpc.code);
            instruments
                .rpc_duration
                .record(seconds, &[system, method.clone(), code.clone(), error]);
        }
        instruments.rpcs.add(1, &[method, code, outcome]);
        if let Some(caller) = rpc.caller {
            self.caller_rpcs(caller, 1);
        }
    }

    /// Starts a series of `catalogue::RPCS` at 0.
    pub fn expect_rpc(&self, method: &'static str, code: &'static str, outcome: RpcOutcome) {
        self.add(|instruments| &instruments.rpcs, 0, &labels(method, code, outcome));
    }

    /// `catalogue::OVERHEAD`: an RPC succeeded, and no upstream call for it was in flight during this time.
    pub fn overhead(&self, method: &'static str, overhead: Duration) {
        let Some(shared) = &self.shared else { return };
        let labels = [KeyValue::new(semconv::RPC_METHOD, method)];
        shared.instruments.overhead.record(overhead.as_secs_f64(), &labels);
    }

    /// `catalogue::ERRORS`: RPCs were refused or failed, by the reason in their status and by who must act. With 0, the
    /// series starts.
    pub fn errors(&self, method: &'static str, reason: &'static str, blame: Blame, rpcs: u64) {
        let labels = [
            KeyValue::new(semconv::RPC_METHOD, method),
            KeyValue::new(label::REASON, reason),
            KeyValue::new(label::BLAME, blame.as_str()),
        ];
        self.add(|instruments| &instruments.errors, rpcs, &labels);
    }

    /// `catalogue::SHED`: a request or an input was refused because the replica was full.
    pub fn shed(&self) {
        self.add(|instruments| &instruments.shed, 1, &[]);
    }

    /// `catalogue::PANICS`: an RPC panicked, and ended as `INTERNAL`.
    pub fn panic(&self) {
        self.add(|instruments| &instruments.panics, 1, &[]);
    }

    /// `catalogue::AUTH_FAILURES`: calls were refused because of their credential, by `auth.mode` and cause. With 0, the
    /// series starts.
    pub fn auth_failures(&self, mode: &'static str, why: &'static str, calls: u64) {
        let labels = [KeyValue::new(label::MODE, mode), KeyValue::new(label::WHY, why)];
        self.add(|instruments| &instruments.auth_failures, calls, &labels);
    }

    /// Starts the series of a caller at 0.
    pub fn expect_caller(&self, caller: &Caller) {
        self.caller_rpcs(caller, 0);
        self.tokens(0, Some(caller));
    }

    fn caller_rpcs(&self, caller: &Caller, rpcs: u64) {
        let Some(shared) = &self.shared else { return };
        let name = shared.caller_names.label(Some(caller));
        shared.instruments.caller_rpcs.add(rpcs, &[KeyValue::new(label::CALLER, name)]);
    }
}

/// Returns the labels of `catalogue::RPCS`.
fn labels(method: &'static str, code: &'static str, outcome: RpcOutcome) -> [KeyValue; 3] {
    [
        KeyValue::new(semconv::RPC_METHOD, method),
        KeyValue::new(semconv::RPC_RESPONSE_STATUS_CODE, code),
        KeyValue::new(label::OUTCOME, outcome.as_str()),
    ]
}
