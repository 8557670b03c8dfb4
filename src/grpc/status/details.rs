//! The `google.rpc` details of a status: each type at most once, `ErrorInfo` and `RequestInfo` always.

use std::{collections::HashMap, fmt::Display, time::Duration};

use tonic_types::{ErrorDetails, QuotaViolation};

use crate::error::{BadResponse, Error, Fault, FieldViolation, Upstream};

/// Longer values are cut, since all details together must stay small.
const MAX_VALUE_BYTES: usize = 128;

const ERROR_PAGE: &str = "https://docs.voyageai.com/docs/error-codes";

/// Builds the details of an error; `retry_delay` is the time of `RetryInfo`.
pub(super) fn of(error: &Error, retry_delay: Option<Duration>, request_id: &str) -> ErrorDetails {
    let mut details = ErrorDetails::new();
    details.set_request_info(request_id, "");
    if retry_delay.is_some() {
        details.set_retry_info(retry_delay);
    }
    let mut metadata = Metadata::default();
    let reason = error.row().reason;
    let domain = if let Error::Upstream(upstream) = error {
        describe_call(&mut metadata, upstream);
        add_upstream(&mut details, upstream, error);
        "voyageai.com"
    } else {
        add_own(&mut details, &mut metadata, error);
        "voyage-gateway"
    };
    details.set_error_info(reason, domain, metadata.0);
    details
}

/// `ErrorInfo.metadata`.
#[derive(Default)]
struct Metadata(HashMap<String, String>);

impl Metadata {
    fn put(&mut self, name: &str, value: impl Display) {
        let mut value = value.to_string();
        value.truncate(value.floor_char_boundary(MAX_VALUE_BYTES));
        self.0.insert(name.to_owned(), value);
    }

    fn put_known(&mut self, name: &str, value: Option<impl Display>) {
        if let Some(value) = value {
            self.put(name, value);
        }
    }
}

/// Adds the details of the gateway's own errors.
fn add_own(details: &mut ErrorDetails, metadata: &mut Metadata, error: &Error) {
    let mut exceed = |subject: String, metric: &str, limit: u64| {
        details.set_quota_failure(vec![QuotaViolation {
            subject,
            description: error.to_string(),
            quota_metric: metric.to_owned(),
            quota_value: i64::try_from(limit).unwrap_or(i64::MAX),
            ..QuotaViolation::default()
        }]);
    };
    match error {
        Error::InvalidRequest(violations) => {
            details.set_bad_request(violations.iter().map(field_violation).collect::<Vec<_>>());
        }
        Error::InputTooLong { endpoint, index, .. } => {
            let field = format!("{}[{index}]", endpoint.input_field());
            let violation =
                FieldViolation { field, reason: "INPUT_TOO_LONG", description: error.to_string() };
            details.set_bad_request(vec![field_violation(&violation)]);
        }
        Error::RequestTooLarge { limit } => metadata.put("maxRequestBytes", limit),
        Error::ResponseTooLarge { predicted, limit, max_inputs } => {
            metadata.put("predictedBytes", predicted);
            metadata.put("maxResponseBytes", limit);
            metadata.put("maxInputs", max_inputs);
        }
        Error::CacheMiss { misses } => metadata.put("misses", misses),
        Error::DeadlineExceeded { phase } => metadata.put("phase", phase.as_str()),
        Error::CallerNotAllowed { what } => metadata.put("what", what),
        Error::CallerQuota(quota) => {
            metadata.put("caller", &quota.caller);
            metadata.put("quota", quota.rule);
            metadata.put("limit", quota.limit);
            metadata.put("need", quota.need);
            exceed(format!("caller:{}", quota.caller), quota.rule, quota.limit);
        }
        Error::BudgetExhausted { budget, limit, .. } => {
            metadata.put("budget", budget);
            metadata.put("limit", limit);
            exceed("gateway".to_owned(), budget, *limit);
        }
        _ => {}
    }
}

fn field_violation(violation: &FieldViolation) -> tonic_types::FieldViolation {
    let FieldViolation { field, reason, description } = violation.clone();
    let reason = reason.to_owned();
    tonic_types::FieldViolation { field, description, reason, localized_message: None }
}

/// Adds the details of single kinds of Voyage's failures.
fn add_upstream(details: &mut ErrorDetails, upstream: &Upstream, error: &Error) {
    let mut violate = |field: String, reason: &'static str| {
        let description = error.to_string();
        let violation = FieldViolation { field, reason, description };
        details.set_bad_request(vec![field_violation(&violation)]);
    };
    match &upstream.fault {
        Fault::InputTooLong { index, .. } => {
            violate(format!("{}[{index}]", upstream.endpoint.input_field()), "INPUT_TOO_LONG");
        }
        Fault::ModelNotSupported => violate("model".to_owned(), "MODEL_NOT_SUPPORTED"),
        Fault::InvalidRequest { field: Some(field), .. } => {
            violate((*field).to_owned(), "UPSTREAM_INVALID_REQUEST");
        }
        Fault::Unauthenticated => {
            details.add_help_link("Voyage API keys", ERROR_PAGE);
        }
        Fault::Forbidden => {
            details.add_help_link("Voyage key scopes and allowed addresses", ERROR_PAGE);
        }
        Fault::PaymentRequired => {
            details.add_help_link("Voyage billing", "https://dashboard.voyageai.com");
        }
        Fault::RateLimited { .. } => {
            details.set_quota_failure(vec![QuotaViolation {
                subject: format!("voyage-key:{}", upstream.key),
                description: error.to_string(),
                api_service: "api.voyageai.com".to_owned(),
                ..QuotaViolation::default()
            }]);
        }
        _ => {}
    }
}

fn describe_call(metadata: &mut Metadata, upstream: &Upstream) {
    metadata.put("endpoint", upstream.endpoint.path());
    metadata.put("model", &upstream.model);
    metadata.put("attempts", upstream.attempts);
    metadata.put_known("httpStatus", upstream.status);
    metadata.put_known("upstreamRequestId", upstream.request_id.as_ref());
    match &upstream.fault {
        Fault::TooManyTokens { limit, actual } => {
            metadata.put_known("limit", *limit);
            metadata.put_known("actual", *actual);
        }
        Fault::InputTooLong { limit, .. } => metadata.put_known("limit", *limit),
        Fault::PayloadTooLarge { request_bytes } => metadata.put("requestBytes", request_bytes),
        Fault::BadResponse(BadResponse { why, expected, got }) => {
            metadata.put("why", why);
            metadata.put_known("expected", *expected);
            metadata.put_known("got", *got);
        }
        // The gateway's key, never the caller's credential: callers have no Voyage key.
        Fault::Unauthenticated => {
            metadata.put("credential", "gateway");
            metadata.put("keyAlias", &upstream.key);
        }
        Fault::RateLimited { free_tier: true, .. } => metadata.put("tier", "free"),
        Fault::Redirect { location } => metadata.put_known("location", location.as_ref()),
        Fault::NotFound { host } => metadata.put_known("baseUrl", host.as_ref()),
        _ => {}
    }
}
