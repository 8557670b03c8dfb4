//! Metric series of the gateway's own RPCs that exist from the start, so that `rate()` and alerts see the first error.

use tonic::Code;

use super::{SERVICE_PREFIX, method_name, rpc::outcome_of, served_methods};
use crate::{
    error::Blame,
    grpc::{
        status::{code_name, code_of},
        v1::ErrorReason as Reason,
    },
    telemetry::{Metrics, RpcOutcome},
};

/// The reasons of errors with the side that has to act, as in the error table.
const REASONS: [(Blame, &[Reason]); 3] = [
    (
        Blame::Caller,
        &[
            Reason::InvalidRequest,
            Reason::RequestTooLarge,
            Reason::ResponseTooLarge,
            Reason::CacheMiss,
            Reason::DeadlineExceeded,
            Reason::CredentialsMissing,
            Reason::CredentialsInvalid,
            Reason::CallerNotAllowed,
            Reason::CallerQuotaExceeded,
            Reason::UpstreamInvalidRequest,
            Reason::TooManyTokens,
            Reason::InputTooLong,
            Reason::UpstreamPayloadTooLarge,
            Reason::ModelNotSupported,
        ],
    ),
    (
        Blame::Gateway,
        &[
            Reason::CredentialsUnverifiable,
            Reason::BudgetExhausted,
            Reason::Overloaded,
            Reason::Draining,
            Reason::Internal,
            Reason::UpstreamUnauthenticated,
            Reason::UpstreamForbidden,
            Reason::UpstreamPaymentRequired,
            Reason::UpstreamNotFound,
            Reason::UpstreamUnexpectedStatus,
        ],
    ),
    (
        Blame::Upstream,
        &[
            Reason::DeadlineExceeded,
            Reason::QueueTimeout,
            Reason::CircuitOpen,
            Reason::UpstreamRateLimited,
            Reason::UpstreamServerError,
            Reason::UpstreamUnavailable,
            Reason::UpstreamTimeout,
            Reason::UpstreamConnectFailed,
            Reason::UpstreamTlsFailed,
            Reason::UpstreamBadResponse,
            Reason::UpstreamUnexpectedStatus,
        ],
    ),
];

/// Returns the side that has to act, and the reason, of every error.
pub(in crate::grpc) fn errors() -> impl Iterator<Item = (Blame, Reason)> {
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
            let outcome = outcome_of(reason == Reason::Overloaded, blame);
            metrics.expect_rpc(method, code_name(code_of(reason)), outcome);
            metrics.errors(method, reason_name(reason), blame, 0);
        }
    }
}

fn reason_name(reason: Reason) -> &'static str {
    let name = reason.as_str_name();
    name.strip_prefix("ERROR_REASON_").unwrap_or(name)
}
