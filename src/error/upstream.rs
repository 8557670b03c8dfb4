//! Voyage's failures: the rows of the error table that come from upstream.

use std::{fmt, sync::Arc, time::Duration};

use super::Blame;
use crate::embedding::Endpoint;

/// An upstream failure and the call it happened in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upstream {
    /// What went wrong.
    pub fault: Fault,
    /// The endpoint that was called.
    pub endpoint: Endpoint,
    /// The model that was asked for.
    pub model: Arc<str>,
    /// The HTTP status, when there was one.
    pub status: Option<u16>,
    /// Attempts made for this answer: HTTP requests, but for those that are none of their own. These are the one free
    /// resend after a stale connection of the pool, and the resends of a batch that was taken apart.
    pub attempts: u32,
    /// Voyage's `x-request-id`.
    pub request_id: Option<Arc<str>>,
    /// The alias of the API key the call was made with.
    pub key: Arc<str>,
    /// Tokens that Voyage reported although its reply is of no use: they are on its bill.
    pub tokens: u64,
}

impl Upstream {
    /// Tells whether it was a reply to be paid for that does not say how many tokens it had: it was cut, most probably.
    pub fn is_unmeasured(&self) -> bool {
        self.status == Some(200) && self.tokens == 0
    }
}

/// What went wrong upstream: the rows of the error table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// 400 or 422 about something else than the cases below.
    InvalidRequest {
        /// Voyage's own words, cut to 512 bytes and free of keys; `None` when it gave none.
        detail: Option<String>,
        /// The gateway's field the message names; `request` when it is about none that callers set.
        field: Option<&'static str>,
    },
    /// 400: the request's inputs have too many tokens together.
    TooManyTokens {
        /// Tokens a request may have.
        limit: Option<u64>,
        /// Tokens it had.
        actual: Option<u64>,
    },
    /// 400: one input does not fit the model's context and must not be cut.
    InputTooLong {
        /// Position in the upstream request; in the caller's request once it leaves the pipeline.
        index: usize,
        /// Tokens an input may have.
        limit: Option<u64>,
    },
    /// 400 or 410: the model is not served.
    ModelNotSupported,
    /// 401, now or (then there is no status) a moment ago to every key there is.
    Unauthenticated,
    /// 403.
    Forbidden,
    /// 402.
    PaymentRequired,
    /// 404 or 405.
    NotFound {
        /// Host of `upstream.base_url`.
        host: Option<String>,
    },
    /// 413.
    PayloadTooLarge {
        /// Bytes of the request body.
        request_bytes: u64,
    },
    /// 429.
    RateLimited {
        /// `Retry-After`, at most 60 s; `None` when Voyage sent none (it usually sends none).
        retry_after: Option<Duration>,
        /// The account has no payment method: 3 requests and 10,000 tokens a minute.
        free_tier: bool,
    },
    /// 500 and other 5xx.
    ServerError {
        /// `Retry-After`, at most 60 s.
        retry_after: Option<Duration>,
    },
    /// 408, 425, 502, 503, 504 and a CDN's 52x.
    Unavailable {
        /// `Retry-After`, at most 60 s.
        retry_after: Option<Duration>,
    },
    /// No answer within `upstream.attempt_timeout`.
    Timeout,
    /// No connection, or one that was cut.
    ConnectFailed,
    /// A connection that was cut before anything of an answer came: usually a stale one of the pool.
    ConnectionLost,
    /// The certificate or its name is not accepted.
    TlsRejected,
    /// The TLS handshake was cut.
    TlsCut,
    /// 200 with something that is not the answer.
    BadResponse(BadResponse),
    /// 406, 411, 415, 431, 501, 505: the gateway spoke wrongly.
    Protocol,
    /// 409.
    Conflict,
    /// 3xx: redirects are not followed, the key must not travel.
    Redirect {
        /// Host of the `Location`.
        location: Option<String>,
    },
    /// Any other status.
    UnexpectedStatus,
}

/// What is wrong with a 200.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadResponse {
    /// What is wrong, for programs and people; never text of the body.
    pub why: &'static str,
    /// What was expected, when it is a number.
    pub expected: Option<u64>,
    /// What came, when it is a number.
    pub got: Option<u64>,
}

impl BadResponse {
    /// The body is over the cap: asking again would only fetch as much again.
    pub const TOO_LONG: Self = Self {
        why: "the body is longer than any answer to the request",
        expected: None,
        got: None,
    };
}

impl Fault {
    /// Returns the kind of failure, as metrics and traces name it.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::InvalidRequest { .. } => "invalid_request",
            Self::TooManyTokens { .. } => "too_many_tokens",
            Self::InputTooLong { .. } => "input_too_long",
            Self::ModelNotSupported => "model_not_supported",
            Self::Unauthenticated => "unauthenticated",
            Self::Forbidden => "forbidden",
            Self::PaymentRequired => "payment_required",
            Self::NotFound { .. } => "not_found",
            Self::PayloadTooLarge { .. } => "payload_too_large",
            Self::RateLimited { .. } => "rate_limited",
            Self::ServerError { .. } => "server_error",
            Self::Unavailable { .. } => "unavailable",
            Self::Timeout => "timeout",
            Self::ConnectFailed => "connect_failed",
            Self::ConnectionLost => "connection_lost",
            Self::TlsRejected => "tls_rejected",
            Self::TlsCut => "tls_cut",
            Self::BadResponse(_) => "bad_response",
            Self::Protocol => "protocol",
            Self::Conflict => "conflict",
            Self::Redirect { .. } => "redirect",
            Self::UnexpectedStatus => "unexpected_status",
        }
    }

    /// Says who has to act.
    pub fn blame(&self) -> Blame {
        match self {
            Self::InvalidRequest { .. }
            | Self::TooManyTokens { .. }
            | Self::InputTooLong { .. }
            | Self::ModelNotSupported
            | Self::PayloadTooLarge { .. } => Blame::Caller,
            // Voyage rejects what the operators configured: key, address, billing, our own protocol.
            Self::Unauthenticated
            | Self::Forbidden
            | Self::PaymentRequired
            | Self::NotFound { .. }
            | Self::Protocol
            | Self::Redirect { .. } => Blame::Gateway,
            Self::RateLimited { .. }
            | Self::ServerError { .. }
            | Self::Unavailable { .. }
            | Self::Timeout
            | Self::ConnectFailed
            | Self::ConnectionLost
            | Self::TlsRejected
            | Self::TlsCut
            | Self::BadResponse(_)
            | Self::Conflict
            | Self::UnexpectedStatus => Blame::Upstream,
        }
    }
}

/// The outside message of an upstream failure.
impl fmt::Display for Upstream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let model = &self.model;
        match &self.fault {
            Fault::InvalidRequest { detail: Some(detail), .. } => {
                write!(f, "Voyage refused the request: {detail}")
            }
            Fault::InvalidRequest { detail: None, .. } => {
                f.write_str("Voyage refused the request and gave no reason")
            }
            Fault::TooManyTokens { limit, actual } => {
                f.write_str("the input has more tokens than one request may have")?;
                match (actual, limit) {
                    (Some(actual), Some(limit)) => write!(f, ": {actual} of at most {limit}"),
                    _ => Ok(()),
                }
            }
            Fault::InputTooLong { index, limit } => {
                write!(f, "inputs[{index}] is longer than {model}'s context")?;
                if let Some(limit) = limit {
                    write!(f, " of {limit} tokens")?;
                }
                f.write_str("; shorten it or set truncation")
            }
            Fault::ModelNotSupported => {
                write!(f, "Voyage does not serve the model {model} on {}", self.endpoint.path())
            }
            Fault::Unauthenticated => f.write_str(
                "Voyage rejected the gateway's API key; the caller's credential is fine. Ask the \
                 gateway's operators",
            ),
            Fault::Forbidden => f.write_str(
                "Voyage forbids the gateway's key or address; the caller's credential is fine. Ask the \
                 gateway's operators",
            ),
            Fault::PaymentRequired => {
                f.write_str("Voyage asks for payment; ask the gateway's operators")
            }
            Fault::NotFound { .. } => f.write_str(
                "Voyage has no such endpoint: upstream.base_url is probably wrong; ask the gateway's \
                 operators",
            ),
            Fault::PayloadTooLarge { request_bytes } => {
                write!(f, "Voyage refused a request of {request_bytes} bytes as too large")
            }
            fault => f.write_str(fault.summary()),
        }
    }
}

impl Fault {
    /// The messages that need no data of the call.
    fn summary(&self) -> &'static str {
        match self {
            Self::RateLimited { free_tier: true, .. } => {
                "Voyage's rate limit is reached: the account has no payment method and 3 requests and \
                 10,000 tokens a minute"
            }
            Self::RateLimited { .. } => "Voyage's rate limit is reached",
            Self::ServerError { .. } => "Voyage failed with a server error",
            Self::Unavailable { .. } => "Voyage is unavailable",
            Self::Timeout => "Voyage did not answer in time",
            Self::ConnectFailed | Self::ConnectionLost => "the connection to Voyage failed",
            Self::TlsRejected => {
                "Voyage's certificate is not accepted; ask the gateway's operators"
            }
            Self::TlsCut => "the TLS handshake with Voyage was cut",
            Self::BadResponse(_) => "Voyage's answer could not be understood",
            Self::Protocol => "Voyage did not accept the form of the gateway's request",
            Self::Conflict => "Voyage reported a conflict",
            Self::Redirect { .. } => "Voyage answered with a redirect, which is never followed",
            Self::UnexpectedStatus => "Voyage answered with an unexpected status",
            Self::InvalidRequest { .. }
            | Self::TooManyTokens { .. }
            | Self::InputTooLong { .. }
            | Self::ModelNotSupported
            | Self::Unauthenticated
            | Self::Forbidden
            | Self::PaymentRequired
            | Self::NotFound { .. }
            | Self::PayloadTooLarge { .. } => "Voyage refused the request",
        }
    }
}
