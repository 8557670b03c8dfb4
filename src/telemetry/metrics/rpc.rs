//! RPCs: how they end, how long they take, who calls, and why some are refused.

use std::time::Duration;

use opentelemetry::{
    KeyValue,
    metrics::{Counter, Histogram, Meter},
};

use super::{
    Metrics, RpcOutcome, build,
    catalogue::{self, label},
};
use crate::{caller::Caller, error::Blame, telemetry::semconv};

/// What RPCs are counted with.
pub(super) struct Instruments {
    rpcs: Counter<u64>,
    duration: Histogram<f64>,
    errors: Counter<u64>,
    caller_rpcs: Counter<u64>,
    shed: Counter<u64>,
    panics: Counter<u64>,
    auth_failures: Counter<u64>,
    quota_refusals: Counter<u64>,
}

impl Instruments {
    pub(super) fn new(meter: &Meter) -> Self {
        Self {
            rpcs: build::counter(meter, &catalogue::RPCS),
            duration: build::histogram(meter, &catalogue::RPC_DURATION),
            errors: build::counter(meter, &catalogue::ERRORS),
            caller_rpcs: build::counter(meter, &catalogue::CALLER_RPCS),
            shed: build::counter(meter, &catalogue::SHED),
            panics: build::counter(meter, &catalogue::PANICS),
            auth_failures: build::counter(meter, &catalogue::AUTH_FAILURES),
            quota_refusals: build::counter(meter, &catalogue::QUOTA_REFUSALS),
        }
    }
}

/// An RPC that has ended.
#[derive(Clone, Copy, Debug)]
pub struct EndedRpc<'a> {
    /// `package.Service/Method`, or `_OTHER` when it is not served.
    pub method: &'static str,
    /// The status as gRPC names it; that of one a caller left is `CANCELLED`.
    pub code: &'static str,
    /// Whose doing the end was.
    pub outcome: RpcOutcome,
    /// From its first byte to the last one of its reply.
    pub took: Duration,
    /// Who called, where that became known.
    pub caller: Option<&'a Caller>,
}

impl Metrics {
    /// [`catalogue::RPCS`], [`catalogue::RPC_DURATION`] and [`catalogue::CALLER_RPCS`]: an RPC has ended. Whoever was
    /// never known is in no series of callers.
    pub fn rpc(&self, rpc: EndedRpc<'_>) {
        let Some(shared) = &self.shared else { return };
        let method = KeyValue::new(semconv::RPC_METHOD, rpc.method);
        let code = KeyValue::new(semconv::RPC_RESPONSE_STATUS_CODE, rpc.code);
        let system = KeyValue::new(semconv::RPC_SYSTEM_NAME, "grpc");
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

    /// [`catalogue::ERRORS`]: an RPC got this error, by the reason its caller is told and who has to act.
    pub fn error(&self, method: &'static str, reason: &'static str, blame: Blame) {
        let Some(shared) = &self.shared else { return };
        let labels = [
            KeyValue::new(semconv::RPC_METHOD, method),
            KeyValue::new(label::REASON, reason),
            KeyValue::new(label::BLAME, blame.as_str()),
        ];
        shared.rpc.errors.add(1, &labels);
    }

    /// [`catalogue::SHED`]: a request, or an input, was refused because this replica was full.
    pub fn shed(&self) {
        if let Some(shared) = &self.shared {
            shared.rpc.shed.add(1, &[]);
        }
    }

    /// [`catalogue::PANICS`]: an RPC was lost to a panic, and ended as `INTERNAL`.
    pub fn panic(&self) {
        if let Some(shared) = &self.shared {
            shared.rpc.panics.add(1, &[]);
        }
    }

    /// [`catalogue::AUTH_FAILURES`]: a call was refused because nobody knows who calls, by `auth.mode` and by what is
    /// wrong.
    pub fn auth_failure(&self, mode: &'static str, why: &'static str) {
        let Some(shared) = &self.shared else { return };
        let labels = [KeyValue::new(label::MODE, mode), KeyValue::new(label::WHY, why)];
        shared.rpc.auth_failures.add(1, &labels);
    }

    /// [`catalogue::QUOTA_REFUSALS`]: a request or a single input was refused because a caller's quota or the gateway's
    /// budget had no room.
    pub fn quota_refusal(&self, rule: &'static str) {
        if let Some(shared) = &self.shared {
            shared.rpc.quota_refusals.add(1, &[KeyValue::new(label::RULE, rule)]);
        }
    }
}
