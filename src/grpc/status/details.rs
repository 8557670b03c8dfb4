//! The `google.rpc` details of a status: each type at most once, `ErrorInfo` always.

use std::collections::HashMap;

use tonic_types::{ErrorDetails, FieldViolation, QuotaViolation};

use super::{GATEWAY_DOMAIN, Place, VOYAGE_DOMAIN, delay, reason_name};
use crate::error::{BadResponse, Error, Fault, Upstream, Violation};

/// Longer values are cut: all details together must stay small.
const MAX_VALUE_BYTES: usize = 128;

/// Where operators read about keys, limits and billing.
const ERROR_PAGE: &str = "https://docs.voyageai.com/docs/error-codes";

type Metadata = HashMap<String, String>;

/// Builds the details of an error at its place.
pub(super) fn of(error: &Error, place: Place, request_id: &str) -> ErrorDetails {
    let mut details = ErrorDetails::new();
    let domain = match error {
        Error::Upstream(_) => VOYAGE_DOMAIN,
        _ => GATEWAY_DOMAIN,
    };
    details.set_error_info(reason_name(place.reason), domain, metadata(error));
    details.set_request_info(request_id, "");
    if let Some(delay) = delay(place.retry) {
        details.set_retry_info(Some(delay));
    }
    match error {
        Error::InvalidRequest(violations) => {
            details.set_bad_request(violations.iter().map(field_violation).collect::<Vec<_>>());
        }
        Error::Upstream(upstream) => add_upstream(&mut details, upstream, error),
        Error::CallerQuota(quota) => {
            details.set_quota_failure(vec![QuotaViolation {
                subject: format!("caller:{}", quota.caller),
                description: error.to_string(),
                quota_metric: quota.rule.to_owned(),
                quota_value: i64::try_from(quota.limit).unwrap_or(i64::MAX),
                ..QuotaViolation::default()
            }]);
        }
        Error::BudgetExhausted { budget, limit, .. } => {
            details.set_quota_failure(vec![QuotaViolation {
                subject: "gateway".to_owned(),
                description: error.to_string(),
                quota_metric: (*budget).to_owned(),
                quota_value: i64::try_from(*limit).unwrap_or(i64::MAX),
                ..QuotaViolation::default()
            }]);
        }
        Error::RequestTooLarge { .. }
        | Error::ResponseTooLarge { .. }
        | Error::CacheMiss { .. }
        | Error::CredentialsMissing { .. }
        | Error::CredentialsInvalid { .. }
        | Error::CredentialsUnverifiable
        | Error::CallerNotAllowed { .. }
        | Error::DeadlineExceeded { .. }
        | Error::Overloaded { .. }
        | Error::QueueTimeout { .. }
        | Error::CircuitOpen { .. }
        | Error::Draining
        | Error::Internal { .. } => {}
    }
    details
}

fn field_violation(violation: &Violation) -> FieldViolation {
    FieldViolation {
        field: violation.field.clone(),
        description: violation.description.clone(),
        reason: violation.reason.to_owned(),
        localized_message: None,
    }
}

fn add_upstream(details: &mut ErrorDetails, upstream: &Upstream, error: &Error) {
    let mut violate = |field: String, reason: &'static str| {
        let description = error.to_string();
        details.set_bad_request(vec![field_violation(&Violation { field, reason, description })]);
    };
    match &upstream.fault {
        Fault::InputTooLong { index, .. } => violate(format!("inputs[{index}]"), "INPUT_TOO_LONG"),
        Fault::ModelNotSupported => violate("model".to_owned(), "MODEL_NOT_SUPPORTED"),
        Fault::InvalidRequest { field: Some(field), .. } => {
            violate((*field).to_owned(), "UPSTREAM_INVALID_REQUEST");
        }
        Fault::Unauthenticated => {
            details.add_help_link("Voyage's page about API keys", ERROR_PAGE);
        }
        Fault::Forbidden => {
            details
                .add_help_link("Voyage forbids the egress address or the key's scope", ERROR_PAGE);
        }
        Fault::PaymentRequired => {
            details.add_help_link("Voyage's billing page", "https://dashboard.voyageai.com");
        }
        Fault::RateLimited { .. } => {
            details.set_quota_failure(vec![QuotaViolation {
                subject: format!("voyage-key:{}", upstream.key),
                description: error.to_string(),
                api_service: "api.voyageai.com".to_owned(),
                ..QuotaViolation::default()
            }]);
        }
        Fault::InvalidRequest { field: None, .. }
        | Fault::TooManyTokens { .. }
        | Fault::NotFound { .. }
        | Fault::PayloadTooLarge { .. }
        | Fault::ServerError { .. }
        | Fault::Unavailable { .. }
        | Fault::Timeout
        | Fault::ConnectFailed
        | Fault::ConnectionLost
        | Fault::TlsRejected
        | Fault::TlsCut
        | Fault::BadResponse(_)
        | Fault::Protocol
        | Fault::Conflict
        | Fault::Redirect { .. }
        | Fault::UnexpectedStatus => {}
    }
}

fn metadata(error: &Error) -> Metadata {
    let mut metadata = Metadata::new();
    let mut put = |name: &str, value: String| {
        let mut value = value;
        value.truncate(value.floor_char_boundary(MAX_VALUE_BYTES));
        metadata.insert(name.to_owned(), value);
    };
    match error {
        Error::RequestTooLarge { limit } => put("maxRequestBytes", limit.to_string()),
        Error::ResponseTooLarge { predicted, limit, max_inputs } => {
            put("predictedBytes", predicted.to_string());
            put("maxResponseBytes", limit.to_string());
            put("maxInputs", max_inputs.to_string());
        }
        Error::CacheMiss { misses } => put("misses", misses.to_string()),
        Error::DeadlineExceeded { phase } => put("phase", phase.as_str().to_owned()),
        Error::CallerNotAllowed { what } => put("what", (*what).to_owned()),
        Error::CallerQuota(quota) => {
            put("caller", quota.caller.to_string());
            put("quota", quota.rule.to_owned());
            put("limit", quota.limit.to_string());
            put("need", quota.need.to_string());
        }
        Error::BudgetExhausted { budget, limit, .. } => {
            put("budget", (*budget).to_owned());
            put("limit", limit.to_string());
        }
        Error::InvalidRequest(_)
        | Error::CredentialsMissing { .. }
        | Error::CredentialsInvalid { .. }
        | Error::CredentialsUnverifiable
        | Error::Overloaded { .. }
        | Error::QueueTimeout { .. }
        | Error::CircuitOpen { .. }
        | Error::Draining
        | Error::Internal { .. } => {}
        Error::Upstream(upstream) => describe_call(upstream, &mut put),
    }
    metadata
}

fn describe_call(upstream: &Upstream, put: &mut impl FnMut(&str, String)) {
    put("endpoint", upstream.endpoint.path().to_owned());
    put("model", upstream.model.to_string());
    put("attempts", upstream.attempts.to_string());
    if let Some(status) = upstream.status {
        put("httpStatus", status.to_string());
    }
    if let Some(id) = &upstream.request_id {
        put("upstreamRequestId", id.to_string());
    }
    let mut put_known = |name: &str, number: Option<u64>| {
        if let Some(number) = number {
            put(name, number.to_string());
        }
    };
    match &upstream.fault {
        Fault::TooManyTokens { limit, actual } => {
            put_known("limit", *limit);
            put_known("actual", *actual);
        }
        Fault::InputTooLong { limit, .. } => put_known("limit", *limit),
        Fault::PayloadTooLarge { request_bytes } => put_known("requestBytes", Some(*request_bytes)),
        Fault::BadResponse(BadResponse { why, expected, got }) => {
            put_known("expected", *expected);
            put_known("got", *got);
            put("why", (*why).to_owned());
        }
        // Whose key is bad: the gateway's, never the caller's (grpc callers have no Voyage key).
        Fault::Unauthenticated => {
            put("credential", "gateway".to_owned());
            put("keyAlias", upstream.key.to_string());
        }
        Fault::RateLimited { free_tier: true, .. } => put("tier", "free".to_owned()),
        Fault::Redirect { location: Some(host) } => put("location", host.clone()),
        Fault::NotFound { host: Some(host) } => put("baseUrl", host.clone()),
        Fault::InvalidRequest { .. }
        | Fault::ModelNotSupported
        | Fault::Forbidden
        | Fault::PaymentRequired
        | Fault::NotFound { host: None }
        | Fault::RateLimited { free_tier: false, .. }
        | Fault::ServerError { .. }
        | Fault::Unavailable { .. }
        | Fault::Timeout
        | Fault::ConnectFailed
        | Fault::ConnectionLost
        | Fault::TlsRejected
        | Fault::TlsCut
        | Fault::Protocol
        | Fault::Conflict
        | Fault::Redirect { location: None }
        | Fault::UnexpectedStatus => {}
    }
}
