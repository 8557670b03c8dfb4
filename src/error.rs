//! The one error of the gateway.
//!
//! Errors enter from HTTP through `upstream/classify` and leave to gRPC through `grpc/status`; both are
//! exhaustive matches, so a new variant does not compile until it has its place in the error table.
//! `Display` is the outside message: it may reach any caller and holds no text, vector or key.

mod upstream;

use std::{fmt, sync::Arc, time::Duration};

pub use upstream::{BadResponse, Fault, Upstream};

/// Why a call, or one input of it, has no answer.
///
/// `Clone`: everyone who waits for one upstream call shares its failure.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The request is wrong; all of its violations at once.
    #[error("{}", describe(.0))]
    InvalidRequest(Arc<[Violation]>),
    /// The request message is larger than the gateway accepts.
    #[error("the request message is larger than the {limit} bytes this gateway accepts")]
    RequestTooLarge {
        /// `server.max_request_bytes`.
        limit: u64,
    },
    /// The response would be larger than the caller can receive.
    #[error(
        "the response would take about {predicted} bytes and the caller accepts {limit}, enough for \
         {max_inputs} inputs; send fewer in a call, ask for a smaller dimension or dtype, or raise \
         max_response_bytes together with the client's receive limit"
    )]
    ResponseTooLarge {
        /// Bytes the response is predicted to take.
        predicted: u64,
        /// `options.max_response_bytes`, or its default.
        limit: u64,
        /// Inputs that fit.
        max_inputs: u64,
    },
    /// `ONLY_IF_CACHED` met inputs that are not cached.
    #[error("inputs that are not cached: {misses}; the cache mode forbids asking Voyage")]
    CacheMiss {
        /// How many.
        misses: usize,
    },
    /// The caller's deadline passed.
    #[error("the deadline passed while waiting for {phase}")]
    DeadlineExceeded {
        /// What was waited for.
        phase: Phase,
    },
    /// The caller sent no credential.
    #[error("this gateway wants to know who calls: {wanted}")]
    CredentialsMissing {
        /// What to do about it.
        wanted: &'static str,
    },
    /// The caller's credential is not accepted. Why is for the operators: a stranger learns nothing from it.
    #[error("the caller's credential is not accepted")]
    CredentialsInvalid {
        /// What is wrong with it, for the log.
        why: &'static str,
    },
    /// The gateway has no keys to check the caller's credential by, which may be a good one.
    #[error("this replica has no keys yet to check credentials by; another may have them")]
    CredentialsUnverifiable,
    /// The caller is known, and may not do this.
    #[error("this caller may not use this {what}; the gateway's operators say who may")]
    CallerNotAllowed {
        /// `rpc` or `model`.
        what: &'static str,
    },
    /// The caller's own quota is used up, or never large enough.
    #[error("{0}")]
    CallerQuota(Arc<Quota>),
    /// The gateway's own budget of tokens is used up; what is cached is still served.
    #[error(
        "the gateway's {budget} of {limit} tokens has no room for this; what is cached is still served"
    )]
    BudgetExhausted {
        /// The setting: `limits.daily_tokens` or `limits.monthly_tokens`.
        budget: &'static str,
        /// Its value.
        limit: u64,
        /// When there is room for as much as was asked for; `None`: never, it is more than the whole budget.
        retry_after: Option<Duration>,
    },
    /// This replica is full.
    #[error("this replica is full ({what}); another may have room")]
    Overloaded {
        /// The bound that was met.
        what: &'static str,
    },
    /// The upstream budget frees too late for this caller.
    #[error("Voyage's rate limit leaves room only in {} ms, which is later than this caller can wait", .retry_after.as_millis())]
    QueueTimeout {
        /// When there will be room, as far as is known.
        retry_after: Duration,
    },
    /// Voyage kept failing.
    #[error("Voyage kept failing, so it is given a rest; what is cached is still served")]
    CircuitOpen {
        /// When it will be tried again.
        retry_after: Duration,
    },
    /// This replica is shutting down.
    #[error("this replica is shutting down")]
    Draining,
    /// A defect of the gateway. The cause is for the log, never for the caller.
    #[error("internal error; the request id tells the operators which")]
    Internal {
        /// What broke, for the log.
        cause: &'static str,
    },
    /// Voyage's answer, or its absence.
    #[error("{0}")]
    Upstream(Arc<Upstream>),
}

/// A caller's quota that does not allow a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quota {
    /// Whose it is, by the name the operators know.
    pub caller: Arc<str>,
    /// The rule's key: `requests_per_second`, `tokens_per_minute` or `tokens_per_day`.
    pub rule: &'static str,
    /// The rule's value.
    pub limit: u64,
    /// What the request needs of it.
    pub need: u64,
    /// When there is room for it; `None`: never, it needs more than the whole quota.
    pub retry_after: Option<Duration>,
}

impl fmt::Display for Quota {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { caller, rule, limit, need, retry_after } = self;
        match retry_after {
            Some(wait) => write!(
                f,
                "the quota {rule} = {limit} of caller {caller} leaves room for this only in {} ms",
                wait.as_millis()
            ),
            None => write!(
                f,
                "the quota {rule} = {limit} of caller {caller} can never hold this request, which needs about \
                 {need}; send less in a call"
            ),
        }
    }
}

/// What a caller was waiting for when the deadline passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// The request message itself.
    Request,
    /// A free upstream call.
    Queue,
    /// Voyage's reply.
    Upstream,
    /// The rest of a stream.
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

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Request => "the whole request message",
            Self::Queue => "a free upstream call",
            Self::Upstream => "Voyage's reply",
            Self::Stream => "the rest of the stream",
        })
    }
}

/// One wrong field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The field's path in the request, such as `inputs[3]`.
    pub field: String,
    /// What is wrong, in capitals, for programs.
    pub reason: &'static str,
    /// What is wrong and what is allowed, for people.
    pub description: String,
}

fn describe(violations: &[Violation]) -> String {
    match violations {
        [] => "the request is invalid".to_owned(),
        [only] => format!("{}: {}", only.field, only.description),
        [first, rest @ ..] => {
            format!("{}: {} (and {} more)", first.field, first.description, rest.len())
        }
    }
}

/// Who has to act.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blame {
    /// The caller: the request has to change.
    Caller,
    /// The gateway or its operators.
    Gateway,
    /// Voyage, or the way to it.
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
        let only = Violation { field: field.into(), reason, description: description.into() };
        Self::InvalidRequest(Arc::from([only]))
    }

    /// Returns the kind of Voyage's failure, as metrics and traces name it; `_OTHER` of anything else.
    pub fn upstream_kind(&self) -> &'static str {
        match self {
            Self::Upstream(upstream) => upstream.fault.kind(),
            _ => "_OTHER",
        }
    }

    /// Says who has to act.
    pub fn blame(&self) -> Blame {
        match self {
            Self::InvalidRequest(_)
            | Self::RequestTooLarge { .. }
            | Self::ResponseTooLarge { .. }
            | Self::CacheMiss { .. }
            | Self::CredentialsMissing { .. }
            | Self::CredentialsInvalid { .. }
            | Self::CallerNotAllowed { .. }
            | Self::CallerQuota(_)
            | Self::DeadlineExceeded { .. } => Blame::Caller,
            Self::QueueTimeout { .. } | Self::CircuitOpen { .. } => Blame::Upstream,
            Self::BudgetExhausted { .. }
            | Self::CredentialsUnverifiable
            | Self::Overloaded { .. }
            | Self::Draining
            | Self::Internal { .. } => Blame::Gateway,
            Self::Upstream(upstream) => upstream.fault.blame(),
        }
    }

    /// Says who has to act where the caller gave ample time: what it waited for took too long.
    pub fn blame_in_ample_time(&self) -> Blame {
        match self {
            Self::DeadlineExceeded { phase: Phase::Queue | Phase::Upstream } => Blame::Upstream,
            _ => self.blame(),
        }
    }

    /// Says how many attempts were made before this error became the answer.
    #[must_use]
    pub fn with_attempts(&self, attempts: u32) -> Self {
        self.with_upstream(|upstream| upstream.attempts = attempts)
    }

    /// Says when a rate limit will have room, where Voyage did not.
    #[must_use]
    pub fn with_retry_after(&self, wait: Duration) -> Self {
        self.with_upstream(|upstream| {
            if let Fault::RateLimited { retry_after, .. } = &mut upstream.fault {
                *retry_after = Some(wait);
            }
        })
    }

    fn with_upstream(&self, change: impl FnOnce(&mut Upstream)) -> Self {
        match self {
            Self::Upstream(upstream) => {
                let mut upstream = upstream.as_ref().clone();
                change(&mut upstream);
                Self::Upstream(Arc::new(upstream))
            }
            _ => self.clone(),
        }
    }

    /// Puts the caller's own index into an error that names one input.
    #[must_use]
    pub fn at_input(self, caller_index: usize) -> Self {
        match &self {
            Self::Upstream(upstream) => match upstream.fault {
                Fault::InputTooLong { limit, .. } => Self::Upstream(Arc::new(Upstream {
                    fault: Fault::InputTooLong { index: caller_index, limit },
                    ..upstream.as_ref().clone()
                })),
                _ => self,
            },
            _ => self,
        }
    }
}
