//! [`Error`] → gRPC status: the only way out.
//!
//! One exhaustive match gives every error its place in the error table (`docs/errors.md`); what a status carries
//! beside its code follows from the place. Details stay below 4 KiB, which every client's header limit allows.

mod details;

use std::time::Duration;

use tonic::{Code, Status, metadata::MetadataValue};
use tonic_types::StatusExt as _;

use super::v1::{ErrorReason, ItemError};
use crate::error::{Error, Fault};

/// `ErrorInfo.domain` of what the gateway decided.
pub const GATEWAY_DOMAIN: &str = "voyage-gateway";

/// `ErrorInfo.domain` of Voyage's answer, or its absence.
pub const VOYAGE_DOMAIN: &str = "voyageai.com";

/// How long to wait for a provider that gave no time of its own.
const UPSTREAM_RETRY: Duration = Duration::from_secs(1);

/// How long to wait for a rate limit: Voyage names no time, and its window is a minute.
const RATE_LIMIT_RETRY: Duration = Duration::from_secs(5);

/// Three requests a minute: the next is 20 s away.
const FREE_TIER_RETRY: Duration = Duration::from_secs(20);

/// How long to wait for a full replica; another may have room at once.
const OVERLOAD_RETRY: Duration = Duration::from_millis(200);

/// How long to wait for the keys that credentials are checked by; another replica may have them.
const KEYS_RETRY: Duration = Duration::from_secs(1);

/// Longer messages of single items are cut.
const MAX_ITEM_MESSAGE_BYTES: usize = 256;

/// Bytes an item's error takes in a reply at most: its message, and 64 for everything else.
pub(super) const MAX_ITEM_ERROR_BYTES: usize = MAX_ITEM_MESSAGE_BYTES + 64;

/// An error's place in the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The gRPC code.
    pub code: Code,
    /// The reason, which implies the domain.
    pub reason: ErrorReason,
    /// What a caller should do about trying again.
    pub retry: Retry,
}

/// What a caller should do about trying again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retry {
    /// The same request will fail again.
    Never,
    /// A stock client should not even try: pushback -1.
    Forbidden,
    /// The same request may succeed after this time.
    After(Duration),
    /// Another replica will take it at once: pushback 1, the least.
    Elsewhere,
}

/// Gives an error its place.
pub fn place(error: &Error) -> Place {
    use Code::{
        DeadlineExceeded, Internal, InvalidArgument, NotFound, ResourceExhausted, Unavailable,
    };
    let never = |code, reason| Place { code, reason, retry: Retry::Never };
    match error {
        Error::InvalidRequest(_) => never(InvalidArgument, ErrorReason::InvalidRequest),
        Error::RequestTooLarge { .. } => never(ResourceExhausted, ErrorReason::RequestTooLarge),
        Error::ResponseTooLarge { .. } => never(InvalidArgument, ErrorReason::ResponseTooLarge),
        Error::CacheMiss { .. } => never(NotFound, ErrorReason::CacheMiss),
        Error::DeadlineExceeded { .. } => never(DeadlineExceeded, ErrorReason::DeadlineExceeded),
        Error::CredentialsMissing { .. } => {
            never(Code::Unauthenticated, ErrorReason::CredentialsMissing)
        }
        Error::CredentialsInvalid { .. } => {
            never(Code::Unauthenticated, ErrorReason::CredentialsInvalid)
        }
        Error::CredentialsUnverifiable => Place {
            code: Unavailable,
            reason: ErrorReason::CredentialsUnverifiable,
            retry: Retry::After(KEYS_RETRY),
        },
        Error::CallerNotAllowed { .. } => {
            never(Code::PermissionDenied, ErrorReason::CallerNotAllowed)
        }
        Error::CallerQuota(quota) => Place {
            code: ResourceExhausted,
            reason: ErrorReason::CallerQuotaExceeded,
            retry: quota.retry_after.map_or(Retry::Never, Retry::After),
        },
        Error::BudgetExhausted { retry_after, .. } => Place {
            code: ResourceExhausted,
            reason: ErrorReason::BudgetExhausted,
            retry: retry_after.map_or(Retry::Never, Retry::After),
        },
        Error::Overloaded { .. } => Place {
            code: Unavailable,
            reason: ErrorReason::Overloaded,
            retry: Retry::After(OVERLOAD_RETRY),
        },
        Error::QueueTimeout { retry_after } => Place {
            code: ResourceExhausted,
            reason: ErrorReason::QueueTimeout,
            retry: Retry::After(*retry_after),
        },
        Error::CircuitOpen { retry_after } => Place {
            code: Unavailable,
            reason: ErrorReason::CircuitOpen,
            retry: Retry::After(*retry_after),
        },
        Error::Draining => {
            Place { code: Unavailable, reason: ErrorReason::Draining, retry: Retry::Elsewhere }
        }
        Error::Internal { .. } => never(Internal, ErrorReason::Internal),
        Error::Upstream(upstream) => place_upstream(&upstream.fault),
    }
}

fn place_upstream(fault: &Fault) -> Place {
    use ErrorReason as Reason;
    let never = |code, reason| Place { code, reason, retry: Retry::Never };
    let later =
        |reason, after| Place { code: Code::Unavailable, reason, retry: Retry::After(after) };
    match fault {
        Fault::InvalidRequest { .. } => {
            never(Code::InvalidArgument, Reason::UpstreamInvalidRequest)
        }
        Fault::TooManyTokens { .. } => never(Code::InvalidArgument, Reason::TooManyTokens),
        Fault::InputTooLong { .. } => never(Code::InvalidArgument, Reason::InputTooLong),
        Fault::ModelNotSupported => never(Code::InvalidArgument, Reason::ModelNotSupported),
        Fault::PayloadTooLarge { .. } => {
            never(Code::InvalidArgument, Reason::UpstreamPayloadTooLarge)
        }
        Fault::Unauthenticated => never(Code::Unauthenticated, Reason::UpstreamUnauthenticated),
        Fault::Forbidden => never(Code::PermissionDenied, Reason::UpstreamForbidden),
        Fault::PaymentRequired => never(Code::FailedPrecondition, Reason::UpstreamPaymentRequired),
        Fault::NotFound { .. } => never(Code::NotFound, Reason::UpstreamNotFound),
        Fault::RateLimited { retry_after, free_tier } => {
            let usual = if *free_tier { FREE_TIER_RETRY } else { RATE_LIMIT_RETRY };
            Place {
                code: Code::ResourceExhausted,
                reason: Reason::UpstreamRateLimited,
                retry: Retry::After(retry_after.unwrap_or(usual)),
            }
        }
        Fault::ServerError { retry_after } => {
            later(Reason::UpstreamServerError, retry_after.unwrap_or(UPSTREAM_RETRY))
        }
        Fault::Unavailable { retry_after } => {
            later(Reason::UpstreamUnavailable, retry_after.unwrap_or(UPSTREAM_RETRY))
        }
        Fault::Timeout => later(Reason::UpstreamTimeout, UPSTREAM_RETRY),
        Fault::ConnectFailed | Fault::ConnectionLost => {
            later(Reason::UpstreamConnectFailed, UPSTREAM_RETRY)
        }
        Fault::TlsCut => later(Reason::UpstreamTlsFailed, UPSTREAM_RETRY),
        Fault::TlsRejected => Place {
            code: Code::Unavailable,
            reason: Reason::UpstreamTlsFailed,
            retry: Retry::Forbidden,
        },
        Fault::BadResponse(_) => never(Code::Internal, Reason::UpstreamBadResponse),
        Fault::Protocol | Fault::Redirect { .. } => {
            never(Code::Internal, Reason::UpstreamUnexpectedStatus)
        }
        Fault::Conflict => never(Code::Aborted, Reason::UpstreamUnexpectedStatus),
        Fault::UnexpectedStatus => never(Code::Unknown, Reason::UpstreamUnexpectedStatus),
    }
}

/// Builds the status of an error; `request_id` goes into its `RequestInfo`.
pub fn status(error: &Error, request_id: &str) -> Status {
    let place = place(error);
    let details = details::of(error, place, request_id);
    let mut status = Status::with_error_details(place.code, error.to_string(), details);
    // Java and .NET retry on a pushback whatever the code, so it travels with UNAVAILABLE only.
    if place.code == Code::Unavailable
        && let Some(pushback) = pushback(place.retry)
    {
        status.metadata_mut().insert("grpc-retry-pushback-ms", MetadataValue::from(pushback));
    }
    status
}

/// Builds the partial failure of one input; the error is placed as if it were the call's.
pub fn item_error(index: i32, error: &Error) -> ItemError {
    let place = place(error);
    ItemError {
        index,
        code: place.code as i32,
        reason: reason_name(place.reason).to_owned(),
        message: short(error.to_string()),
        retry_delay: delay(place.retry).and_then(|delay| delay.try_into().ok()),
    }
}

/// A thousand failed items must not outgrow the reply that was predicted.
fn short(mut message: String) -> String {
    message.truncate(message.floor_char_boundary(MAX_ITEM_MESSAGE_BYTES));
    message
}

/// Returns a reason as `ErrorInfo` carries it.
pub fn reason_name(reason: ErrorReason) -> &'static str {
    let name = reason.as_str_name();
    name.strip_prefix("ERROR_REASON_").unwrap_or(name)
}

fn delay(retry: Retry) -> Option<Duration> {
    match retry {
        Retry::Never | Retry::Forbidden => None,
        Retry::After(delay) => Some(delay),
        Retry::Elsewhere => Some(Duration::ZERO),
    }
}

/// `grpc-retry-pushback-ms` (gRFC A6): milliseconds, or -1 for "do not". Never 0: clients of gRPC's C core (1.85) wait
/// for their deadline then, instead of trying again at once.
fn pushback(retry: Retry) -> Option<i64> {
    match retry {
        Retry::Never => None,
        Retry::Forbidden => Some(-1),
        Retry::Elsewhere => Some(1),
        Retry::After(delay) => {
            Some(i64::from(i32::try_from(delay.as_millis()).unwrap_or(i32::MAX).max(1)))
        }
    }
}

#[cfg(test)]
mod tests;
