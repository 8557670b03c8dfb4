//! The one error of the gateway.
//!
//! [`table`] has one row per failure; [`message`] writes what callers read. Errors of Voyage are made in
//! `upstream/classify`, and become gRPC statuses in `grpc/status`.

mod message;
mod table;
mod upstream;

use std::{sync::Arc, time::Duration};

use crate::item::Endpoint;

pub use table::{Retry, Row};
pub use upstream::{BadResponse, Fault, Upstream};

/// Why a call, or one input of it, failed.
///
/// `Clone`: all waiters of one upstream call share its failure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Error {
    /// The request is invalid; all of its violations at once.
    InvalidRequest(Arc<[FieldViolation]>),
    /// An input has more tokens than the model's context, and truncation is off or does not exist. Counted with the
    /// model's own tokenizer, before anything was sent.
    InputTooLong {
        /// The endpoint, whose field holds the input.
        endpoint: Endpoint,
        /// Position in the request.
        index: usize,
        /// Tokens of the input.
        tokens: u64,
        /// Token limit of an input.
        limit: u64,
    },
    /// The request message is larger than the gateway accepts.
    RequestTooLarge {
        /// `server.max_request_bytes`.
        limit: u64,
    },
    /// The response would be larger than the caller can receive.
    ResponseTooLarge {
        /// Predicted bytes of the response.
        predicted: u64,
        /// `options.max_response_bytes`, or its default.
        limit: u64,
        /// Number of inputs that fit.
        max_inputs: u64,
    },
    /// Inputs of an `ONLY_IF_CACHED` request are not cached.
    CacheMiss {
        /// Number of these inputs.
        misses: usize,
    },
    /// The caller's deadline passed.
    DeadlineExceeded {
        /// The part of the call that was not over.
        phase: Phase,
    },
    /// The call has no credential.
    CredentialsMissing {
        /// How to send one.
        wanted: &'static str,
    },
    /// The caller's credential is not accepted. Only the log says why.
    CredentialsInvalid {
        /// The problem, for the log.
        why: &'static str,
    },
    /// The gateway has no keys yet to verify the caller's credential, which may be valid.
    CredentialsUnverifiable,
    /// The caller is authenticated and not authorized.
    CallerNotAllowed {
        /// `rpc` or `model`.
        what: &'static str,
    },
    /// The caller's own quota is used up, or smaller than the request.
    CallerQuota(Arc<Quota>),
    /// The gateway's own token budget is used up; cached inputs are still served.
    BudgetExhausted {
        /// The setting: `limits.daily_tokens` or `limits.monthly_tokens`.
        budget: &'static str,
        /// Its value.
        limit: u64,
        /// Time until the budget has room for the request; `None`: never, it needs more than the whole budget.
        retry_after: Option<Duration>,
    },
    /// This replica is full.
    Overloaded {
        /// The limit that was reached.
        what: &'static str,
    },
    /// Voyage's rate limit has capacity too late for this caller.
    QueueTimeout {
        /// Estimated time until it has capacity.
        retry_after: Duration,
    },
    /// The circuit breaker is open.
    CircuitOpen {
        /// Time until the breaker permits a call.
        retry_after: Duration,
    },
    /// This replica is shutting down.
    Draining,
    /// A defect of the gateway. The cause is for the log, never for the caller.
    Internal {
        /// The cause, for the log.
        cause: &'static str,
    },
    /// Voyage returned an error, or no response.
    Upstream(Arc<Upstream>),
}

/// A caller's quota that does not allow a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quota {
    /// The caller's name in `[callers]`.
    pub caller: Arc<str>,
    /// The rule's key: `requests_per_second`, `tokens_per_minute` or `tokens_per_day`.
    pub rule: &'static str,
    /// The rule's value.
    pub limit: u64,
    /// The amount that the request needs.
    pub need: u64,
    /// Time until the quota has room; `None`: never, the request needs more than the whole quota.
    pub retry_after: Option<Duration>,
}

/// The part of a call that was not over when its deadline passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// The request message itself.
    Request,
    /// A free upstream call.
    Queue,
    /// Voyage's response.
    Upstream,
    /// The rest of a response.
    Stream,
}

impl Phase {
    /// Returns the name used in error metadata.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Request => "request",
            Self::Queue => "queue",
            Self::Upstream => "upstream",
            Self::Stream => "stream",
        }
    }
}

/// An invalid field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldViolation {
    /// The field's path in the request, such as `inputs[3]`.
    pub field: String,
    /// The kind of the problem, in capitals, for programs.
    pub reason: &'static str,
    /// The allowed values, for people.
    pub description: String,
}

/// The side that has to act.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Blame {
    /// The caller: the request has to change.
    Caller,
    /// The gateway or its operators.
    Gateway,
    /// Voyage, or the network in between.
    Upstream,
}

impl Blame {
    /// Returns the name used in logs and metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Caller => "caller",
            Self::Gateway => "gateway",
            Self::Upstream => "upstream",
        }
    }
}

impl Error {
    /// Builds an error of one violation.
    pub fn violation(
        field: impl Into<String>,
        reason: &'static str,
        description: impl Into<String>,
    ) -> Self {
        let only = FieldViolation { field: field.into(), reason, description: description.into() };
        Self::InvalidRequest(Arc::from([only]))
    }

    /// Returns the side that has to act. If the deadline left ample time, Voyage or the queue for it is too slow.
    pub fn blame(&self, ample_time: bool) -> Blame {
        match self {
            Self::DeadlineExceeded { phase: Phase::Queue | Phase::Upstream } if ample_time => {
                Blame::Upstream
            }
            _ => self.row().blame,
        }
    }

    /// Sets the number of attempts made before this error became the answer.
    #[must_use]
    pub fn with_attempts(&self, attempts: u32) -> Self {
        self.with_upstream(|upstream| upstream.attempts = attempts)
    }

    /// Sets the time until a rate limit has capacity, where Voyage sent none.
    #[must_use]
    pub fn with_retry_after(&self, wait: Duration) -> Self {
        self.with_upstream(|upstream| {
            if let Fault::RateLimited { retry_after, .. } = &mut upstream.fault {
                *retry_after = Some(wait);
            }
        })
    }

    /// Replaces the index of an input by the one in the caller's request.
    #[must_use]
    pub fn at_input(self, caller_index: usize) -> Self {
        match &self {
            &Self::InputTooLong { endpoint, tokens, limit, .. } => {
                Self::InputTooLong { endpoint, index: caller_index, tokens, limit }
            }
            Self::Upstream(upstream) if let Fault::InputTooLong { limit, .. } = upstream.fault => {
                let fault = Fault::InputTooLong { index: caller_index, limit };
                self.with_upstream(|upstream| upstream.fault = fault)
            }
            _ => self,
        }
    }

    fn with_upstream(&self, change: impl FnOnce(&mut Upstream)) -> Self {
        let mut error = self.clone();
        if let Self::Upstream(upstream) = &mut error {
            change(Arc::make_mut(upstream));
        }
        error
    }
}
