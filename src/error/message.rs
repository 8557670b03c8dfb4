//! Messages of errors: the summary of the error's row, then data of the call. They may reach any caller, and hold no
//! text, vector or key.

use std::fmt;

use super::{Blame, Error, Fault, FieldViolation, Phase, Quota, Upstream};

impl std::error::Error for Error {}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.row().summary)?;
        match self {
            Self::InvalidRequest(violations) => write_violations(f, violations),
            Self::InputTooLong { endpoint, index, tokens, limit } => write!(
                f,
                ": {}[{index}] has {tokens} tokens, the limit is {limit}; {}",
                endpoint.input_field(),
                endpoint.remedy()
            ),
            Self::RequestTooLarge { limit } => write!(f, ": the limit is {limit} bytes"),
            Self::ResponseTooLarge { predicted, limit, max_inputs } => write!(
                f,
                ": about {predicted} bytes, the limit of this call is {limit}; send at most {max_inputs} inputs per \
                 call, request less for each (a smaller dimension or dtype, no documents), or raise max_response_bytes \
                 and the client's receive limit"
            ),
            Self::CacheMiss { misses } => {
                write!(f, ": {misses} input(s); cache mode ONLY_IF_CACHED does not call Voyage")
            }
            Self::DeadlineExceeded { phase } => write!(f, " while waiting for {phase}"),
            Self::CredentialsMissing { wanted } => write!(f, ": {wanted}"),
            Self::CredentialsUnverifiable => f.write_str(
                ": this replica cannot verify credentials; another replica may be ready",
            ),
            Self::CallerNotAllowed { what } => {
                write!(f, ": this caller may not use this {what}; contact the gateway's operators")
            }
            Self::CallerQuota(quota) => write_quota(f, quota),
            Self::BudgetExhausted { budget, limit, .. } => {
                write!(f, ": {budget} = {limit}; cached inputs are still served")
            }
            Self::Overloaded { what } => {
                write!(f, " ({what}); another replica may have capacity")
            }
            Self::QueueTimeout { retry_after } => write!(
                f,
                ": Voyage's rate limit has capacity in {} ms, later than this call can wait",
                retry_after.as_millis()
            ),
            Self::CircuitOpen { .. } => {
                f.write_str(": calls to Voyage keep failing; cached inputs are still served")
            }
            Self::Internal { .. } => {
                f.write_str(": the gateway's log has the cause under the request ID")
            }
            Self::CredentialsInvalid { .. } | Self::Draining => Ok(()),
            Self::Upstream(upstream) => write_upstream(f, upstream),
        }
    }
}

fn write_violations(f: &mut fmt::Formatter<'_>, violations: &[FieldViolation]) -> fmt::Result {
    let Some((first, rest)) = violations.split_first() else { return Ok(()) };
    write!(f, ": {}: {}", first.field, first.description)?;
    if rest.is_empty() { Ok(()) } else { write!(f, " (and {} more)", rest.len()) }
}

fn write_quota(f: &mut fmt::Formatter<'_>, quota: &Quota) -> fmt::Result {
    let Quota { caller, rule, limit, need, retry_after } = quota;
    write!(f, ": {rule} = {limit} of caller {caller}; ")?;
    match retry_after {
        Some(wait) => write!(f, "retry in {} ms", wait.as_millis()),
        None => write!(f, "the request needs about {need}, send less per call"),
    }
}

/// Writes the part of the message after the summary of Voyage's failure.
fn write_upstream(f: &mut fmt::Formatter<'_>, upstream: &Upstream) -> fmt::Result {
    let model = &upstream.model;
    match &upstream.fault {
        Fault::InvalidRequest { detail: Some(detail), .. } => write!(f, ": {detail}"),
        Fault::InvalidRequest { detail: None, .. } => f.write_str(" and gave no reason"),
        Fault::TooManyTokens { limit: Some(limit), actual: Some(actual) } => {
            write!(f, ": {actual} tokens, the limit is {limit}")
        }
        Fault::InputTooLong { index, limit } => {
            write!(f, ": {}[{index}] for {model}", upstream.endpoint.input_field())?;
            if let Some(limit) = limit {
                write!(f, ", the limit is {limit} tokens")?;
            }
            write!(f, "; {}", upstream.endpoint.remedy())
        }
        Fault::ModelNotSupported => write!(f, ": {model} on {}", upstream.endpoint.path()),
        Fault::PayloadTooLarge { request_bytes } => write!(f, ": {request_bytes} bytes"),
        Fault::RateLimited { free_tier: true, .. } => f.write_str(
            ": the account has no payment method, which allows 3 requests and 10,000 tokens per minute",
        ),
        fault if fault.row().blame == Blame::Gateway || *fault == Fault::TlsRejected => {
            f.write_str("; contact the gateway's operators")
        }
        _ => Ok(()),
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Request => "the request message",
            Self::Queue => "a free upstream call",
            Self::Upstream => "Voyage's response",
            Self::Stream => "the rest of the response",
        })
    }
}
