//! The metric series of the gateway's own RPCs that exist from the start, so that `rate()` and alerts see the first error.

use tonic::Code;

use super::{SERVICE_PREFIX, method_name, rpc::outcome_of, served_methods};
use crate::{
    error::Blame,
    grpc::{
        status::{code_name, code_of},
        v1::ErrorReason::{self, *},
    },
    telemetry::{Metrics, RpcOutcome},
};

/// The reasons of errors by who must act, as the error table has them.
const REASONS: [(Blame, &[ErrorReason]); 3] = [
    (
        Blame::Caller,
        &[
            InvalidRequest,
            RequestTooLarge,
            ResponseTooLarge,
            CacheMiss,
            DeadlineExceeded,
            CredentialsMissing,
            CredentialsInvalid,
            CallerNotAllowed,
            CallerQuotaExceeded,
            UpstreamInvalidRequest,
            TooManyTokens,
            InputTooLong,
            UpstreamPayloadTooLarge,
            ModelNotSupported,
        ],
    ),
    (
        Blame::Gateway,
        &[
            CredentialsUnverifiable,
            BudgetExhausted,
            Overloaded,
            Draining,
            Internal,
            UpstreamUnauthenticated,
            UpstreamForbidden,
            UpstreamPaymentRequired,
            UpstreamNotFound,
            UpstreamUnexpectedStatus,
        ],
    ),
    (
        Blame::Upstream,
        &[
            DeadlineExceeded,
            QueueTimeout,
            CircuitOpen,
            UpstreamRateLimited,
            UpstreamServerError,
            UpstreamUnavailable,
            UpstreamTimeout,
            UpstreamConnectFailed,
            UpstreamTlsFailed,
            UpstreamBadResponse,
            UpstreamUnexpectedStatus,
        ],
    ),
];

/// Returns who must act and the reason of every error.
pub(in crate::grpc) fn errors() -> impl Iterator<Item = (Blame, ErrorReason)> {
    REASONS.into_iter().flat_map(|(blame, reasons)| reasons.iter().map(move |it| (blame, *it)))
}

/// Starts the series at 0.
pub(super) fn expect(metrics: &Metrics) {
    for path in served_methods().iter().filter(|method| method.starts_with(SERVICE_PREFIX)) {
        let method = method_name(&format!("/{path}"));
        for (code, outcome) in [
            (Code::Ok, RpcOutcome::Ok),
            (Code::Cancelled, RpcOutcome::Cancelled),
            (Code::Internal, RpcOutcome::Panicked),
        ] {
            metrics.expect_rpc(method, code_name(code), outcome);
        }
        for (blame, reason) in errors() {
            let outcome = outcome_of(reason == Overloaded, blame);
            metrics.expect_rpc(method, code_name(code_of(reason)), outcome);
            metrics.expect_error(method, reason_name(reason), blame);
        }
    }
}

fn reason_name(reason: ErrorReason) -> &'static str {
    let name = reason.as_str_name();
    name.strip_prefix("ERROR_REASON_").unwrap_or(name)
}
