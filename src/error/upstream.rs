//! Failures of calls to Voyage.

use std::{sync::Arc, time::Duration};

use crate::item::{Endpoint, Parameters};

/// A failed call to Voyage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upstream {
    /// The kind of the failure.
    pub fault: Fault,
    /// The endpoint that was called.
    pub endpoint: Endpoint,
    /// The requested model.
    pub model: Arc<str>,
    /// The HTTP status, when there was one.
    pub status: Option<u16>,
    /// Attempts made. Two kinds of HTTP requests do not count: the one free resend after a stale pooled connection, and
    /// the resends of a batch that was split.
    pub attempts: u32,
    /// Voyage's `x-request-id`.
    pub request_id: Option<Arc<str>>,
    /// The alias of the API key that was used.
    pub key: Arc<str>,
    /// Tokens that Voyage reported, and bills, although its response is unusable.
    pub tokens: u64,
}

impl Upstream {
    /// Returns the failure of a first attempt without a response; `key` is the alias of the key.
    pub fn new(fault: Fault, parameters: &Parameters, key: Arc<str>) -> Self {
        Self {
            fault,
            endpoint: parameters.endpoint(),
            model: Arc::clone(&parameters.model),
            status: None,
            attempts: 1,
            request_id: None,
            key,
            tokens: 0,
        }
    }

    /// Returns whether Voyage bills the response although its token count is unknown: usually the body was cut.
    pub fn is_unmeasured(&self) -> bool {
        self.status == Some(200) && self.tokens == 0
    }
}

/// The kind of a failure; [`Fault::row`] has its consequences.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// 400 or 422, other than the cases below.
    InvalidRequest {
        /// Voyage's message, at most 512 bytes and without keys; `None` when it sent none.
        detail: Option<String>,
        /// The field of the caller's request that the message names; `request` when callers do not set that field.
        field: Option<&'static str>,
    },
    /// 400: the inputs of the request have too many tokens in total.
    TooManyTokens {
        /// Token limit of a request.
        limit: Option<u64>,
        /// Tokens of this request.
        actual: Option<u64>,
    },
    /// 400: one input exceeds the model's context length and truncation is off.
    InputTooLong {
        /// Position in the upstream request; in the caller's request once it leaves the pipeline.
        index: usize,
        /// Token limit of an input.
        limit: Option<u64>,
    },
    /// 400 or 410: Voyage does not serve the model.
    ModelNotSupported,
    /// 401. Without a status: every key got a 401 a moment ago, and nothing was sent.
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
        /// Size of the request body.
        request_bytes: u64,
    },
    /// 429.
    RateLimited {
        /// `Retry-After`, at most 60 s; `None` when Voyage sent none, as usual.
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
    /// No response within `upstream.attempt_timeout`.
    Timeout,
    /// No connection, or a connection cut during the response.
    ConnectFailed,
    /// A connection closed before the first byte of the response: usually a stale pooled one.
    ConnectionLost,
    /// The certificate is not trusted or has another name.
    TlsRejected,
    /// The connection was closed during the TLS handshake.
    TlsCut,
    /// 200 with an invalid body.
    BadResponse(BadResponse),
    /// 406, 411, 415, 431, 501, 505: Voyage rejected the format of the request.
    Protocol,
    /// 409.
    Conflict,
    /// 3xx. Redirects are not followed: they would send the key to another host.
    Redirect {
        /// Host in `Location`.
        location: Option<String>,
    },
    /// Any other status.
    UnexpectedStatus,
}

/// The problem with the body of a 200.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadResponse {
    /// The problem, without text of the body.
    pub why: &'static str,
    /// The expected number, if any.
    pub expected: Option<u64>,
    /// The received number, if any.
    pub got: Option<u64>,
}

impl BadResponse {
    /// The body exceeds the size limit; a retry would return as much again.
    pub const TOO_LONG: Self = Self {
        why: "the body is longer than any answer to the request",
        expected: None,
        got: None,
    };
}

impl Fault {
    /// Returns the `Retry-After` of Voyage's response, if it sent one.
    pub const fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::RateLimited { retry_after, .. }
            | Self::ServerError { retry_after }
            | Self::Unavailable { retry_after } => *retry_after,
            _ => None,
        }
    }
}
