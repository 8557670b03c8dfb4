//! [`Error`] → gRPC status, the only way out.
//!
//! The code follows from the reason in the error's row. Details stay below 4 KiB, the limit of every client's headers.

mod details;

use std::time::Duration;

use tonic::{Code, Status, metadata::MetadataValue};
use tonic_types::StatusExt as _;

use super::v1::{ErrorReason, ItemError};
use crate::error::{Error, Fault, Retry};

/// `RetryInfo` of failures of Voyage that sent no `Retry-After`.
const UPSTREAM_RETRY: Duration = Duration::from_secs(1);

/// The same for rate limits. Voyage usually sends no time, and its window is a minute.
const RATE_LIMIT_RETRY: Duration = Duration::from_secs(5);

/// The same without a payment method: 3 requests a minute are one in 20 s.
const FREE_TIER_RETRY: Duration = Duration::from_secs(20);

/// `RetryInfo` of a full replica; another may have capacity.
const OVERLOAD_RETRY: Duration = Duration::from_millis(200);

/// `RetryInfo` of a replica without a JWKS; another may have it.
const JWKS_RETRY: Duration = Duration::from_secs(1);

/// Maximum bytes of a single item's message, so that a reply of many failures stays within its predicted size.
const MAX_ITEM_MESSAGE_BYTES: usize = 256;

/// Maximum bytes of an item's error in a reply: its message, and 64 for everything else.
pub(super) const MAX_ITEM_ERROR_BYTES: usize = MAX_ITEM_MESSAGE_BYTES + 64;

/// The advice to callers about a retry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum RetryAdvice {
    /// The same request fails again.
    Never,
    /// As [`Self::Never`], with a pushback of -1 that keeps stock clients from retrying `UNAVAILABLE`.
    Forbidden,
    /// The same request may succeed after this time.
    After(Duration),
    /// Another replica accepts it now.
    Elsewhere,
}

impl RetryAdvice {
    fn of(error: &Error) -> Self {
        match error {
            Error::CallerQuota(quota) => quota.retry_after.map_or(Self::Never, Self::After),
            Error::BudgetExhausted { retry_after, .. } => {
                retry_after.map_or(Self::Never, Self::After)
            }
            Error::QueueTimeout { retry_after } | Error::CircuitOpen { retry_after } => {
                Self::After(*retry_after)
            }
            Error::CredentialsUnverifiable => Self::After(JWKS_RETRY),
            Error::Overloaded { .. } => Self::After(OVERLOAD_RETRY),
            Error::Draining => Self::Elsewhere,
            Error::Upstream(upstream) => Self::after_upstream(&upstream.fault),
            _ => Self::Never,
        }
    }

    fn after_upstream(fault: &Fault) -> Self {
        let usual = match (fault, fault.row().retry) {
            (Fault::TlsRejected, _) => return Self::Forbidden,
            (Fault::BadResponse(_), _) | (_, Retry::Never) => return Self::Never,
            (Fault::RateLimited { free_tier: true, .. }, _) => FREE_TIER_RETRY,
            (Fault::RateLimited { .. }, _) => RATE_LIMIT_RETRY,
            (_, Retry::Once | Retry::Backoff | Retry::Gate) => UPSTREAM_RETRY,
        };
        Self::After(fault.retry_after().unwrap_or(usual))
    }

    /// Returns the time of `RetryInfo`.
    fn delay(self) -> Option<Duration> {
        match self {
            Self::Never | Self::Forbidden => None,
            Self::After(delay) => Some(delay),
            Self::Elsewhere => Some(Duration::ZERO),
        }
    }

    /// Returns `grpc-retry-pushback-ms` (gRFC A6): milliseconds, or -1 against retries. Never 0: then clients of gRPC's C
    /// core (1.85) wait until their deadline instead of retrying at once.
    fn pushback(self) -> Option<i64> {
        match self {
            Self::Never => None,
            Self::Forbidden => Some(-1),
            Self::Elsewhere => Some(1),
            Self::After(delay) => {
                Some(i64::from(i32::try_from(delay.as_millis()).unwrap_or(i32::MAX).max(1)))
            }
        }
    }
}

/// Returns the code of an error: that of its reason, but for two faults that share a reason with others.
fn code(error: &Error) -> Code {
    let fault = match error {
        Error::Upstream(upstream) => Some(&upstream.fault),
        _ => None,
    };
    match fault {
        Some(Fault::Conflict) => Code::Aborted,
        Some(Fault::UnexpectedStatus) => Code::Unknown,
        _ => code_of(reason(error)),
    }
}

/// Returns the reason of an error as `proto/` has it.
fn reason(error: &Error) -> ErrorReason {
    let name = format!("ERROR_REASON_{}", error.row().reason);
    ErrorReason::from_str_name(&name).unwrap_or_default()
}

/// Returns the code of a reason.
pub(super) fn code_of(reason: ErrorReason) -> Code {
    use ErrorReason as Reason;
    match reason {
        Reason::InvalidRequest
        | Reason::ResponseTooLarge
        | Reason::UpstreamInvalidRequest
        | Reason::TooManyTokens
        | Reason::InputTooLong
        | Reason::ModelNotSupported
        | Reason::UpstreamPayloadTooLarge => Code::InvalidArgument,
        Reason::RequestTooLarge
        | Reason::CallerQuotaExceeded
        | Reason::BudgetExhausted
        | Reason::QueueTimeout
        | Reason::UpstreamRateLimited => Code::ResourceExhausted,
        Reason::CredentialsMissing
        | Reason::CredentialsInvalid
        | Reason::UpstreamUnauthenticated => Code::Unauthenticated,
        Reason::CallerNotAllowed | Reason::UpstreamForbidden => Code::PermissionDenied,
        Reason::CacheMiss | Reason::UpstreamNotFound => Code::NotFound,
        Reason::UpstreamPaymentRequired => Code::FailedPrecondition,
        Reason::DeadlineExceeded => Code::DeadlineExceeded,
        Reason::StreamStalled => Code::Aborted,
        Reason::CredentialsUnverifiable
        | Reason::Overloaded
        | Reason::CircuitOpen
        | Reason::Draining
        | Reason::UpstreamServerError
        | Reason::UpstreamUnavailable
        | Reason::UpstreamTimeout
        | Reason::UpstreamConnectFailed
        | Reason::UpstreamTlsFailed => Code::Unavailable,
        Reason::Unspecified
        | Reason::Internal
        | Reason::UpstreamBadResponse
        | Reason::UpstreamUnexpectedStatus => Code::Internal,
    }
}

/// Builds the status of an error; `request_id` goes into its `RequestInfo`.
pub fn status(error: &Error, request_id: &str) -> Status {
    let code = code(error);
    let advice = RetryAdvice::of(error);
    let details = details::of(error, advice.delay(), request_id);
    let mut status = Status::with_error_details(code, error.to_string(), details);
    // Java and .NET retry on a pushback with any code, so only UNAVAILABLE has one.
    if code == Code::Unavailable
        && let Some(pushback) = advice.pushback()
    {
        status.metadata_mut().insert("grpc-retry-pushback-ms", MetadataValue::from(pushback));
    }
    status
}

/// Builds the error of one input of a partial answer, with the content of the call's status.
pub fn item_error(index: i32, error: &Error) -> ItemError {
    let mut message = error.to_string();
    message.truncate(message.floor_char_boundary(MAX_ITEM_MESSAGE_BYTES));
    ItemError {
        index,
        code: code(error) as i32,
        reason: error.row().reason.to_owned(),
        message,
        retry_delay: RetryAdvice::of(error).delay().and_then(|delay| delay.try_into().ok()),
    }
}

/// Returns a code as gRPC spells it.
pub(super) fn code_name(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}

#[cfg(test)]
mod tests;
