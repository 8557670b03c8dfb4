//! The error table: one row per failure. Code that depends on the kind of a failure reads a column of its row.
//!
//! A row is a call of [`caller`], [`operator`], [`failure`] or [`Row::of`]. docs/errors.md is generated from the rows.

use super::{
    BadResponse,
    Blame::{self, Caller, Gateway, Upstream},
    Error, Fault,
};
use Retry::{Backoff, Gate, Never, Once};

/// A row: the consequences of a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row {
    /// Value of `error.type` in metrics and traces; `_OTHER` for the gateway's own errors.
    pub kind: &'static str,
    /// `ErrorInfo.reason`: an `ErrorReason` of `proto/` without its prefix.
    pub reason: &'static str,
    /// The side that has to act.
    pub blame: Blame,
    /// Whether the gateway repeats the call.
    pub retry: Retry,
    /// Whether the circuit breaker counts it as a failed call.
    pub trips_breaker: bool,
    /// Beginning of the message; data of the call follows it.
    pub summary: &'static str,
}

/// Whether the gateway repeats a failed call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retry {
    /// The same call would fail again.
    Never,
    /// Once: a second retry seldom succeeds where the first did not.
    Once,
    /// After a backoff, up to `retry.max_attempts`.
    Backoff,
    /// When the rate limiter permits it, at no cost to the retry budget.
    Gate,
}

impl Row {
    /// A failure that is final and does not count against Voyage.
    const fn of(
        kind: &'static str,
        reason: &'static str,
        blame: Blame,
        summary: &'static str,
    ) -> Self {
        Self { kind, reason, blame, retry: Never, trips_breaker: false, summary }
    }
}

/// A call that the caller has to change.
const fn caller(kind: &'static str, reason: &'static str, summary: &'static str) -> Row {
    Row::of(kind, reason, Caller, summary)
}

/// A call that fails until the operators act.
const fn operator(kind: &'static str, reason: &'static str, summary: &'static str) -> Row {
    Row::of(kind, reason, Gateway, summary)
}

/// A failure of Voyage or the network; the breaker counts it.
const fn failure(
    kind: &'static str,
    reason: &'static str,
    retry: Retry,
    summary: &'static str,
) -> Row {
    Row { retry, trips_breaker: true, ..Row::of(kind, reason, Upstream, summary) }
}

// The rows of Voyage's failures.
const INVALID_REQUEST: Row =
    caller("invalid_request", "UPSTREAM_INVALID_REQUEST", "Voyage rejected the request");
// The gateway splits batches with too many tokens or bytes and resends the parts, which is no retry.
const TOO_MANY_TOKENS: Row =
    caller("too_many_tokens", "TOO_MANY_TOKENS", "input exceeds the token limit of a request");
const INPUT_TOO_LONG: Row =
    caller("input_too_long", "INPUT_TOO_LONG", "input exceeds the model's context length");
const PAYLOAD_TOO_LARGE: Row =
    caller("payload_too_large", "UPSTREAM_PAYLOAD_TOO_LARGE", "request too large for Voyage");
const MODEL_NOT_SUPPORTED: Row =
    caller("model_not_supported", "MODEL_NOT_SUPPORTED", "model not supported by Voyage");
const UNAUTHENTICATED: Row = operator(
    "unauthenticated",
    "UPSTREAM_UNAUTHENTICATED",
    "Voyage rejected the gateway's API key; the caller's credential is valid",
);
const FORBIDDEN: Row = operator(
    "forbidden",
    "UPSTREAM_FORBIDDEN",
    "Voyage denied access to the gateway's key or address; the caller's credential is valid",
);
const PAYMENT_REQUIRED: Row =
    operator("payment_required", "UPSTREAM_PAYMENT_REQUIRED", "Voyage requires payment");
const NOT_FOUND: Row = operator(
    "not_found",
    "UPSTREAM_NOT_FOUND",
    "Voyage endpoint not found; upstream.base_url may be wrong",
);
const PROTOCOL: Row =
    operator("protocol", UNEXPECTED, "Voyage did not accept the format of the request");
const REDIRECT: Row =
    operator("redirect", UNEXPECTED, "Voyage returned a redirect, which is not followed");
const RATE_LIMITED: Row = Row {
    retry: Gate,
    ..Row::of("rate_limited", "UPSTREAM_RATE_LIMITED", Upstream, "Voyage rate limit exceeded")
};
const SERVER_ERROR: Row =
    failure("server_error", "UPSTREAM_SERVER_ERROR", Backoff, "Voyage returned a server error");
const UNAVAILABLE: Row =
    failure("unavailable", "UPSTREAM_UNAVAILABLE", Backoff, "Voyage is unavailable");
const TIMEOUT: Row =
    failure("timeout", "UPSTREAM_TIMEOUT", Backoff, "Voyage did not respond in time");
const CONNECT_FAILED: Row =
    failure("connect_failed", CONNECT, Backoff, "connection to Voyage failed");
const CONNECTION_LOST: Row =
    failure("connection_lost", CONNECT, Backoff, "connection to Voyage lost");
const TLS_REJECTED: Row =
    failure("tls_rejected", TLS, Never, "Voyage's certificate is not trusted");
const TLS_CUT: Row = failure("tls_cut", TLS, Once, "TLS handshake with Voyage failed");
const BAD_RESPONSE: Row =
    failure("bad_response", "UPSTREAM_BAD_RESPONSE", Once, "Voyage returned an invalid response");
const CONFLICT: Row = Row::of("conflict", UNEXPECTED, Upstream, "Voyage reported a conflict");
const UNEXPECTED_STATUS: Row =
    Row::of("unexpected_status", UNEXPECTED, Upstream, "Voyage returned an unexpected status");

// Reasons of several rows.
const CONNECT: &str = "UPSTREAM_CONNECT_FAILED";
const TLS: &str = "UPSTREAM_TLS_FAILED";
const UNEXPECTED: &str = "UPSTREAM_UNEXPECTED_STATUS";

impl Fault {
    /// Returns the row of the error table.
    pub fn row(&self) -> Row {
        match self {
            Self::InvalidRequest { .. } => INVALID_REQUEST,
            Self::TooManyTokens { .. } => TOO_MANY_TOKENS,
            Self::InputTooLong { .. } => INPUT_TOO_LONG,
            Self::PayloadTooLarge { .. } => PAYLOAD_TOO_LARGE,
            Self::ModelNotSupported => MODEL_NOT_SUPPORTED,
            Self::Unauthenticated => UNAUTHENTICATED,
            Self::Forbidden => FORBIDDEN,
            Self::PaymentRequired => PAYMENT_REQUIRED,
            Self::NotFound { .. } => NOT_FOUND,
            Self::Protocol => PROTOCOL,
            Self::Redirect { .. } => REDIRECT,
            Self::RateLimited { .. } => RATE_LIMITED,
            Self::ServerError { .. } => SERVER_ERROR,
            Self::Unavailable { .. } => UNAVAILABLE,
            Self::Timeout => TIMEOUT,
            Self::ConnectFailed => CONNECT_FAILED,
            Self::ConnectionLost => CONNECTION_LOST,
            Self::TlsRejected => TLS_REJECTED,
            Self::TlsCut => TLS_CUT,
            Self::BadResponse(BadResponse::TOO_LONG) => Row { retry: Never, ..BAD_RESPONSE },
            Self::BadResponse(_) => BAD_RESPONSE,
            Self::Conflict => CONFLICT,
            Self::UnexpectedStatus => UNEXPECTED_STATUS,
        }
    }
}

impl Error {
    /// Returns the row of the error table.
    pub fn row(&self) -> Row {
        let own = |reason, blame, summary| Row::of("_OTHER", reason, blame, summary);
        match self {
            Self::InvalidRequest(_) => own("INVALID_REQUEST", Caller, "invalid request"),
            Self::InputTooLong { .. } => {
                own("INVALID_REQUEST", Caller, "input exceeds the model's context length")
            }
            Self::RequestTooLarge { .. } => {
                own("REQUEST_TOO_LARGE", Caller, "request message too large")
            }
            Self::ResponseTooLarge { .. } => {
                own("RESPONSE_TOO_LARGE", Caller, "response too large")
            }
            Self::CacheMiss { .. } => own("CACHE_MISS", Caller, "not found in the cache"),
            Self::DeadlineExceeded { .. } => own("DEADLINE_EXCEEDED", Caller, "deadline exceeded"),
            Self::CredentialsMissing { .. } => {
                own("CREDENTIALS_MISSING", Caller, "authentication required")
            }
            Self::CredentialsInvalid { .. } => {
                own("CREDENTIALS_INVALID", Caller, "invalid authentication credential")
            }
            Self::CredentialsUnverifiable => {
                own("CREDENTIALS_UNVERIFIABLE", Gateway, "JWKS not loaded yet")
            }
            Self::CallerNotAllowed { .. } => own("CALLER_NOT_ALLOWED", Caller, "permission denied"),
            Self::CallerQuota(_) => own("CALLER_QUOTA_EXCEEDED", Caller, "quota exceeded"),
            Self::BudgetExhausted { .. } => {
                own("BUDGET_EXHAUSTED", Gateway, "token budget exhausted")
            }
            Self::Overloaded { .. } => own("OVERLOADED", Gateway, "replica overloaded"),
            Self::QueueTimeout { .. } => {
                own("QUEUE_TIMEOUT", Upstream, "no rate limit capacity in time")
            }
            Self::CircuitOpen { .. } => {
                own("CIRCUIT_OPEN", Upstream, "the circuit breaker is open")
            }
            Self::Draining => own("DRAINING", Gateway, "this replica is shutting down"),
            Self::Internal { .. } => own("INTERNAL", Gateway, "internal error"),
            Self::Upstream(upstream) => upstream.fault.row(),
        }
    }
}

#[cfg(test)]
mod tests;
