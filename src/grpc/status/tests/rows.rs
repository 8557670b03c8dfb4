//! Every variant: its code, reason, domain, details and pushback.

use std::collections::BTreeSet;

use tonic_types::ErrorDetails;

use super::*;

/// The details of a status besides `ErrorInfo`, `RequestInfo` and `RetryInfo`.
#[derive(Clone, Copy, Debug)]
pub(super) enum Extra {
    Nothing,
    /// `BadRequest` about these fields.
    Fields(&'static [&'static str]),
    Quota,
    Help,
}

/// One row of the table.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) error: Error,
    pub(super) code: Code,
    pub(super) reason: &'static str,
    pub(super) retry: RetryAdvice,
    extra: Extra,
    /// Keys of the metadata, except those that all rows of the domain have.
    keys: &'static [&'static str],
}

const SECOND: RetryAdvice = RetryAdvice::After(Duration::from_secs(1));

fn row(
    error: Error,
    (code, reason): (Code, &'static str),
    retry: RetryAdvice,
    extra: Extra,
    keys: &'static [&'static str],
) -> Row {
    Row { error, code, reason, retry, extra, keys }
}

fn caller_rows() -> Vec<Row> {
    use Extra::{Nothing, Quota};
    use RetryAdvice::{After, Never};
    let quota = |retry_after| {
        let rule = "tokens_per_minute";
        let quota =
            crate::error::Quota { caller: "search".into(), rule, limit: 100, need: 9, retry_after };
        Error::CallerQuota(quota.into())
    };
    let quota_keys = &["caller", "quota", "limit", "need"];
    let exceeded = (Code::ResourceExhausted, "CALLER_QUOTA_EXCEEDED");
    let wait = Duration::from_secs(3);
    let used_up = |retry_after| {
        let error = Error::BudgetExhausted { budget: "limits.daily_tokens", limit: 9, retry_after };
        let place = (Code::ResourceExhausted, "BUDGET_EXHAUSTED");
        row(error, place, retry_after.map_or(Never, After), Quota, &["budget", "limit"])
    };
    let denied = |what| Error::CallerNotAllowed { what };
    let not_allowed = (Code::PermissionDenied, "CALLER_NOT_ALLOWED");
    let unauthenticated = |reason| (Code::Unauthenticated, reason);
    vec![
        row(
            Error::CredentialsMissing { wanted: "say who calls" },
            unauthenticated("CREDENTIALS_MISSING"),
            Never,
            Nothing,
            &[],
        ),
        row(
            Error::CredentialsInvalid { why: "a canary" },
            unauthenticated("CREDENTIALS_INVALID"),
            Never,
            Nothing,
            &[],
        ),
        row(
            Error::CredentialsUnverifiable,
            (Code::Unavailable, "CREDENTIALS_UNVERIFIABLE"),
            After(Duration::from_secs(1)),
            Nothing,
            &[],
        ),
        row(denied("rpc"), not_allowed, Never, Nothing, &["what"]),
        row(denied("model"), not_allowed, Never, Nothing, &["what"]),
        row(quota(Some(wait)), exceeded, After(wait), Quota, quota_keys),
        row(quota(None), exceeded, Never, Quota, quota_keys),
        used_up(Some(wait)),
        used_up(None),
    ]
}

fn too_long_row() -> Row {
    let endpoint = crate::item::Endpoint::Contextualized;
    row(
        Error::InputTooLong { endpoint, index: 3, tokens: 40_000, limit: 32_000 },
        (Code::InvalidArgument, "INVALID_REQUEST"),
        RetryAdvice::Never,
        Extra::Fields(&["documents[3]"]),
        &[],
    )
}

fn gateway_rows() -> Vec<Row> {
    use Extra::{Fields, Nothing};
    use RetryAdvice::{After, Elsewhere, Never};
    let violation = |field: &str| FieldViolation {
        field: field.to_owned(),
        reason: "EMPTY_TEXT",
        description: "expected a text".to_owned(),
    };
    let invalid = Error::InvalidRequest(vec![violation("model"), violation("inputs[3]")].into());
    let too_large = Error::ResponseTooLarge { predicted: 9, limit: 8, max_inputs: 7 };
    let late = |phase| Error::DeadlineExceeded { phase };
    let deadline = (Code::DeadlineExceeded, "DEADLINE_EXCEEDED");
    let sizes = &["predictedBytes", "maxResponseBytes", "maxInputs"];
    vec![
        row(
            invalid,
            (Code::InvalidArgument, "INVALID_REQUEST"),
            Never,
            Fields(&["model", "inputs[3]"]),
            &[],
        ),
        too_long_row(),
        row(
            Error::RequestTooLarge { limit: 8 },
            (Code::ResourceExhausted, "REQUEST_TOO_LARGE"),
            Never,
            Nothing,
            &["maxRequestBytes"],
        ),
        row(too_large, (Code::InvalidArgument, "RESPONSE_TOO_LARGE"), Never, Nothing, sizes),
        row(
            Error::CacheMiss { misses: 2 },
            (Code::NotFound, "CACHE_MISS"),
            Never,
            Nothing,
            &["misses"],
        ),
        row(late(Phase::Request), deadline, Never, Nothing, &["phase"]),
        row(late(Phase::Queue), deadline, Never, Nothing, &["phase"]),
        row(late(Phase::Upstream), deadline, Never, Nothing, &["phase"]),
        row(
            Error::Overloaded { what: "requests" },
            (Code::Unavailable, "OVERLOADED"),
            After(Duration::from_millis(200)),
            Nothing,
            &[],
        ),
        row(Error::Draining, (Code::Unavailable, "DRAINING"), Elsewhere, Nothing, &[]),
        row(
            Error::Internal { cause: "a canary" },
            (Code::Internal, "INTERNAL"),
            Never,
            Nothing,
            &[],
        ),
    ]
}

/// Refusals of the gateway because of Voyage.
fn waiting_rows() -> Vec<Row> {
    let seven = Duration::from_secs(7);
    let timeout = (Code::ResourceExhausted, "QUEUE_TIMEOUT");
    let open = (Code::Unavailable, "CIRCUIT_OPEN");
    let after = RetryAdvice::After(seven);
    vec![
        row(Error::QueueTimeout { retry_after: seven }, timeout, after, Extra::Nothing, &[]),
        row(Error::CircuitOpen { retry_after: seven }, open, after, Extra::Nothing, &[]),
    ]
}

/// Voyage's 4xx about the request.
fn refusal_rows() -> Vec<Row> {
    use Extra::{Fields, Nothing};
    use RetryAdvice::Never;
    let invalid = (Code::InvalidArgument, "UPSTREAM_INVALID_REQUEST");
    let said = Some("Voyage's words".to_owned());
    let named = Fault::InvalidRequest { detail: said.clone(), field: Some("output_dimension") };
    let unnamed = Fault::InvalidRequest { detail: said, field: None };
    let silent = Fault::InvalidRequest { detail: None, field: None };
    let tokens = (Code::InvalidArgument, "TOO_MANY_TOKENS");
    let counted = Fault::TooManyTokens { limit: Some(120_000), actual: Some(126_899) };
    let uncounted = Fault::TooManyTokens { limit: None, actual: None };
    let too_long = (Code::InvalidArgument, "INPUT_TOO_LONG");
    let long = |limit| Fault::InputTooLong { index: 5, limit };
    let large = Fault::PayloadTooLarge { request_bytes: 9 };
    let at = |fault, status| upstream(fault, Some(status));
    vec![
        row(at(named, 400), invalid, Never, Fields(&["output_dimension"]), &[]),
        row(at(unnamed, 422), invalid, Never, Nothing, &[]),
        row(at(silent, 400), invalid, Never, Nothing, &[]),
        row(at(counted, 400), tokens, Never, Nothing, &["limit", "actual"]),
        row(at(uncounted, 400), tokens, Never, Nothing, &[]),
        row(at(long(Some(32_000)), 400), too_long, Never, Fields(&["inputs[5]"]), &["limit"]),
        row(at(long(None), 400), too_long, Never, Fields(&["inputs[5]"]), &[]),
        row(
            at(Fault::ModelNotSupported, 410),
            (Code::InvalidArgument, "MODEL_NOT_SUPPORTED"),
            Never,
            Fields(&["model"]),
            &[],
        ),
        row(
            at(large, 413),
            (Code::InvalidArgument, "UPSTREAM_PAYLOAD_TOO_LARGE"),
            Never,
            Nothing,
            &["requestBytes"],
        ),
    ]
}

/// Voyage's 4xx that operators have to correct.
fn set_up_rows() -> Vec<Row> {
    use Extra::{Help, Nothing};
    use RetryAdvice::Never;
    let credential = &["credential", "keyAlias"];
    let missing = (Code::NotFound, "UPSTREAM_NOT_FOUND");
    let lost = |host: Option<&str>| Fault::NotFound { host: host.map(str::to_owned) };
    let at = |fault, status| upstream(fault, Some(status));
    vec![
        row(
            at(Fault::Unauthenticated, 401),
            (Code::Unauthenticated, "UPSTREAM_UNAUTHENTICATED"),
            Never,
            Help,
            credential,
        ),
        row(
            at(Fault::Forbidden, 403),
            (Code::PermissionDenied, "UPSTREAM_FORBIDDEN"),
            Never,
            Help,
            &[],
        ),
        row(
            at(Fault::PaymentRequired, 402),
            (Code::FailedPrecondition, "UPSTREAM_PAYMENT_REQUIRED"),
            Never,
            Help,
            &[],
        ),
        row(at(lost(Some("voyage.example")), 404), missing, Never, Nothing, &["baseUrl"]),
        row(at(lost(None), 405), missing, Never, Nothing, &[]),
    ]
}

/// Failures that may be temporary.
fn limit_and_failure_rows() -> Vec<Row> {
    use Extra::{Nothing, Quota};
    use RetryAdvice::After;
    let limited = (Code::ResourceExhausted, "UPSTREAM_RATE_LIMITED");
    let server = (Code::Unavailable, "UPSTREAM_SERVER_ERROR");
    let unavailable = (Code::Unavailable, "UPSTREAM_UNAVAILABLE");
    let seven = Duration::from_secs(7);
    let rate = |retry_after, free_tier| Fault::RateLimited { retry_after, free_tier };
    let at = |fault, status| upstream(fault, Some(status));
    let retry_after = Some(seven);
    vec![
        row(at(rate(None, false), 429), limited, After(Duration::from_secs(5)), Quota, &[]),
        row(at(rate(None, true), 429), limited, After(Duration::from_secs(20)), Quota, &["tier"]),
        row(at(rate(retry_after, true), 429), limited, After(seven), Quota, &["tier"]),
        row(at(Fault::ServerError { retry_after: None }, 500), server, SECOND, Nothing, &[]),
        row(at(Fault::ServerError { retry_after }, 500), server, After(seven), Nothing, &[]),
        row(at(Fault::Unavailable { retry_after: None }, 503), unavailable, SECOND, Nothing, &[]),
        row(at(Fault::Unavailable { retry_after }, 503), unavailable, After(seven), Nothing, &[]),
        row(
            upstream(Fault::Timeout, None),
            (Code::Unavailable, "UPSTREAM_TIMEOUT"),
            SECOND,
            Nothing,
            &[],
        ),
        row(
            upstream(Fault::ConnectFailed, None),
            (Code::Unavailable, "UPSTREAM_CONNECT_FAILED"),
            SECOND,
            Nothing,
            &[],
        ),
        row(
            upstream(Fault::ConnectionLost, None),
            (Code::Unavailable, "UPSTREAM_CONNECT_FAILED"),
            SECOND,
            Nothing,
            &[],
        ),
        // The body was cut: there had been a status.
        row(
            at(Fault::ConnectFailed, 200),
            (Code::Unavailable, "UPSTREAM_CONNECT_FAILED"),
            SECOND,
            Nothing,
            &[],
        ),
        row(
            upstream(Fault::TlsCut, None),
            (Code::Unavailable, "UPSTREAM_TLS_FAILED"),
            SECOND,
            Nothing,
            &[],
        ),
        row(
            upstream(Fault::TlsRejected, None),
            (Code::Unavailable, "UPSTREAM_TLS_FAILED"),
            RetryAdvice::Forbidden,
            Nothing,
            &[],
        ),
    ]
}

/// Answers that make no sense.
fn nonsense_rows() -> Vec<Row> {
    use Extra::Nothing;
    use RetryAdvice::Never;
    let bad = (Code::Internal, "UPSTREAM_BAD_RESPONSE");
    let counted = BadResponse { why: "the number of answers", expected: Some(2), got: Some(1) };
    let other = BadResponse { why: "a vector is not base64", expected: None, got: None };
    let unexpected = |code| (code, "UPSTREAM_UNEXPECTED_STATUS");
    let redirect = |location: Option<&str>| {
        upstream(Fault::Redirect { location: location.map(str::to_owned) }, Some(307))
    };
    let at = |fault, status| upstream(fault, Some(status));
    vec![
        row(at(Fault::BadResponse(counted), 200), bad, Never, Nothing, &["why", "expected", "got"]),
        row(at(Fault::BadResponse(other), 200), bad, Never, Nothing, &["why"]),
        row(at(Fault::Protocol, 415), unexpected(Code::Internal), Never, Nothing, &[]),
        row(
            redirect(Some("other.example")),
            unexpected(Code::Internal),
            Never,
            Nothing,
            &["location"],
        ),
        row(redirect(None), unexpected(Code::Internal), Never, Nothing, &[]),
        row(at(Fault::Conflict, 409), unexpected(Code::Aborted), Never, Nothing, &[]),
        row(at(Fault::UnexpectedStatus, 418), unexpected(Code::Unknown), Never, Nothing, &[]),
    ]
}

/// The whole table.
pub(super) fn rows() -> Vec<Row> {
    [
        gateway_rows(),
        caller_rows(),
        waiting_rows(),
        refusal_rows(),
        set_up_rows(),
        limit_and_failure_rows(),
        nonsense_rows(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// Numbers the variants without gaps; a new one does not compile until it has its number, and then lacks its row.
fn number(error: &Error) -> usize {
    match error {
        Error::InvalidRequest(_) => 0,
        Error::RequestTooLarge { .. } => 1,
        Error::ResponseTooLarge { .. } => 2,
        Error::CacheMiss { .. } => 3,
        Error::DeadlineExceeded { .. } => 4,
        Error::Overloaded { .. } => 5,
        Error::Draining => 6,
        Error::Internal { .. } => 7,
        Error::QueueTimeout { .. } => 30,
        Error::CircuitOpen { .. } => 31,
        Error::CredentialsMissing { .. } => 32,
        Error::CredentialsInvalid { .. } => 33,
        Error::CallerNotAllowed { .. } => 34,
        Error::CallerQuota(_) => 35,
        Error::BudgetExhausted { .. } => 36,
        Error::CredentialsUnverifiable => 37,
        Error::InputTooLong { .. } => 38,
        Error::Upstream(upstream) => match upstream.fault {
            Fault::InvalidRequest { .. } => 8,
            Fault::TooManyTokens { .. } => 9,
            Fault::InputTooLong { .. } => 10,
            Fault::ModelNotSupported => 11,
            Fault::Unauthenticated => 12,
            Fault::Forbidden => 13,
            Fault::PaymentRequired => 14,
            Fault::NotFound { .. } => 15,
            Fault::PayloadTooLarge { .. } => 16,
            Fault::RateLimited { .. } => 17,
            Fault::ServerError { .. } => 18,
            Fault::Unavailable { .. } => 19,
            Fault::Timeout => 20,
            Fault::ConnectFailed => 21,
            Fault::TlsRejected => 22,
            Fault::TlsCut => 23,
            Fault::BadResponse(_) => 24,
            Fault::Protocol => 25,
            Fault::Conflict => 26,
            Fault::Redirect { .. } => 27,
            Fault::UnexpectedStatus => 28,
            Fault::ConnectionLost => 29,
        },
    }
}

/// How many variants [`number`] knows.
const VARIANTS: usize = 39;

fn domain(error: &Error) -> &'static str {
    if matches!(error, Error::Upstream(_)) { "voyageai.com" } else { "voyage-gateway" }
}

#[test]
fn every_variant_has_a_row() {
    let numbers: BTreeSet<_> = rows().iter().map(|row| number(&row.error)).collect();
    assert_eq!(numbers, (0..VARIANTS).collect());
}

#[test]
fn every_row_has_its_code_reason_and_domain() {
    for row in rows() {
        assert_eq!(RetryAdvice::of(&row.error), row.retry, "{row:?}");
        assert_eq!(row.error.row().reason, row.reason, "{row:?}");

        let status = status(&row.error, "the-id");
        assert_eq!(status.code(), row.code, "{row:?}");
        assert_eq!(status.message(), row.error.to_string(), "{row:?}");
        let info = status.get_details_error_info().unwrap();
        assert_eq!((&*info.reason, &*info.domain), (row.reason, domain(&row.error)), "{row:?}");
        assert_eq!(status.get_details_request_info().unwrap().request_id, "the-id", "{row:?}");
    }
}

/// The series of metrics that start at 0 are those of the error table.
#[test]
fn every_row_has_a_series_from_the_start() {
    let mut expected = BTreeSet::new();
    for error in rows().into_iter().map(|row| row.error) {
        let blames = [false, true].map(|ample_time| error.blame(ample_time).as_str());
        expected.extend(blames.map(|blame| (blame, reason(&error))));
    }
    let series = crate::grpc::edge::expected_errors();
    let series: BTreeSet<_> = series.map(|(blame, reason)| (blame.as_str(), reason)).collect();
    assert_eq!(series, expected);
}

/// Pushback travels with `UNAVAILABLE` only: Java and .NET retry on it whatever the code.
#[test]
fn every_row_says_whether_and_when_to_try_again() {
    for row in rows() {
        let status = status(&row.error, "the-id");
        let (delay, pushback) = match (row.retry, row.code) {
            (RetryAdvice::Never, _) => (None, None),
            (RetryAdvice::Forbidden, _) => (None, Some("-1".to_owned())),
            (RetryAdvice::Elsewhere, _) => (Some(Duration::ZERO), Some("1".to_owned())),
            (RetryAdvice::After(delay), Code::Unavailable) => {
                (Some(delay), Some(delay.as_millis().to_string()))
            }
            (RetryAdvice::After(delay), _) => (Some(delay), None),
        };
        let info = status.get_details_retry_info();
        assert_eq!(info.and_then(|info| info.retry_delay), delay, "{row:?}");
        let sent = status.metadata().get("grpc-retry-pushback-ms");
        assert_eq!(sent.map(|sent| sent.to_str().unwrap()), pushback.as_deref(), "{row:?}");
    }
}

#[test]
fn every_row_has_its_details_and_no_other() {
    for row in rows() {
        let details = status(&row.error, "the-id").get_error_details();
        let fields = details.bad_request().map(|bad| {
            bad.field_violations.iter().map(|violation| violation.field.clone()).collect::<Vec<_>>()
        });
        let expected = match row.extra {
            Extra::Fields(fields) => Some(fields.iter().map(|field| (*field).to_owned()).collect()),
            _ => None,
        };
        assert_eq!(fields, expected, "{row:?}");
        assert_eq!(details.quota_failure().is_some(), matches!(row.extra, Extra::Quota), "{row:?}");
        assert_eq!(details.help().is_some(), matches!(row.extra, Extra::Help), "{row:?}");
        assert!(details.precondition_failure().is_none(), "{row:?}");
        assert!(details.debug_info().is_none(), "{row:?}");
        assert!(details.resource_info().is_none(), "{row:?}");
        assert!(details.localized_message().is_none(), "{row:?}");
    }
}

#[test]
fn every_row_has_its_metadata_and_no_other() {
    for row in rows() {
        let details = status(&row.error, "the-id").get_error_details();
        let found: BTreeSet<_> =
            details.error_info().unwrap().metadata.keys().map(String::as_str).collect();
        let mut expected: BTreeSet<_> = row.keys.iter().copied().collect();
        if let Error::Upstream(upstream) = &row.error {
            expected.extend(["endpoint", "model", "attempts"]);
            if upstream.status.is_some() {
                expected.extend(["httpStatus", "upstreamRequestId"]);
            }
        }
        assert_eq!(found, expected, "{row:?}");
    }
}

fn metadata_of(error: &Error) -> impl Fn(&str) -> String + use<> {
    let metadata = status(error, "the-id").get_details_error_info().unwrap().metadata;
    move |key| metadata[key].clone()
}

#[test]
fn metadata_holds_the_numbers() {
    let value = metadata_of(&upstream(
        Fault::TooManyTokens { limit: Some(120_000), actual: Some(126_899) },
        Some(400),
    ));
    for (key, expected) in [
        ("endpoint", "/embeddings"),
        ("model", "voyage-4"),
        ("attempts", "3"),
        ("httpStatus", "400"),
        ("upstreamRequestId", "upstream-id"),
        ("limit", "120000"),
        ("actual", "126899"),
    ] {
        assert_eq!(value(key), expected);
    }
    let value = metadata_of(&Error::ResponseTooLarge { predicted: 9, limit: 8, max_inputs: 7 });
    let sizes = [value("predictedBytes"), value("maxResponseBytes"), value("maxInputs")];
    assert_eq!(sizes, ["9", "8", "7"]);
    assert_eq!(metadata_of(&Error::RequestTooLarge { limit: 8 })("maxRequestBytes"), "8");
    assert_eq!(metadata_of(&Error::CacheMiss { misses: 2 })("misses"), "2");
    for (phase, name) in
        [(Phase::Request, "request"), (Phase::Queue, "queue"), (Phase::Upstream, "upstream")]
    {
        assert_eq!(metadata_of(&Error::DeadlineExceeded { phase })("phase"), name);
    }
    let bad = BadResponse { why: "the number of answers", expected: Some(2), got: Some(1) };
    let value = metadata_of(&upstream(Fault::BadResponse(bad), Some(200)));
    let parts = [value("why"), value("expected"), value("got")];
    assert_eq!(parts, ["the number of answers", "2", "1"]);
    let value = metadata_of(&upstream(Fault::Unauthenticated, Some(401)));
    assert_eq!([value("credential"), value("keyAlias")], ["gateway", "spare"]);
    let limited = Fault::RateLimited { retry_after: None, free_tier: true };
    assert_eq!(metadata_of(&upstream(limited, Some(429)))("tier"), "free");
    let large = Fault::PayloadTooLarge { request_bytes: 9 };
    assert_eq!(metadata_of(&upstream(large, Some(413)))("requestBytes"), "9");
    let lost = Fault::NotFound { host: Some("voyage.example".to_owned()) };
    assert_eq!(metadata_of(&upstream(lost, Some(404)))("baseUrl"), "voyage.example");
    let redirect = Fault::Redirect { location: Some("other.example".to_owned()) };
    assert_eq!(metadata_of(&upstream(redirect, Some(307)))("location"), "other.example");
}

fn details(error: &Error) -> ErrorDetails {
    status(error, "the-id").get_error_details()
}

#[test]
fn violations_keep_their_reasons() {
    let error = Error::violation("inputs[3]", "EMPTY_TEXT", "expected a text");
    let bad = details(&error).bad_request().unwrap().clone();
    let violation = &bad.field_violations[0];
    assert_eq!(violation.field, "inputs[3]");
    assert_eq!(violation.reason, "EMPTY_TEXT");
    assert_eq!(violation.description, "expected a text");

    let error = upstream(Fault::InputTooLong { index: 5, limit: None }, Some(400)).at_input(77);
    let bad = details(&error).bad_request().unwrap().clone();
    assert_eq!(bad.field_violations[0].field, "inputs[77]");
    assert_eq!(bad.field_violations[0].reason, "INPUT_TOO_LONG");
}

#[test]
fn a_rate_limit_names_its_quota() {
    let limited = Fault::RateLimited { retry_after: None, free_tier: false };
    let details = details(&upstream(limited, Some(429)));
    let quota = &details.quota_failure().unwrap().violations[0];
    assert_eq!((&*quota.subject, &*quota.api_service), ("voyage-key:spare", "api.voyageai.com"));
}

#[test]
fn the_callers_credential_is_never_blamed_for_the_gateways_key() {
    for fault in [Fault::Unauthenticated, Fault::Forbidden] {
        let status = status(&upstream(fault, Some(401)), "the-id");
        assert!(status.message().contains("the caller's credential is valid"), "{status}");
    }
}

#[test]
fn the_cause_of_a_defect_is_for_the_log_only() {
    let status = status(&Error::Internal { cause: "canary" }, "the-id");
    let details = String::from_utf8_lossy(status.details()).into_owned();
    assert!(!status.message().contains("canary") && !details.contains("canary"));
}

#[test]
fn a_partial_failure_is_placed_as_the_calls_would_be() {
    for row in rows() {
        let item = item_error(7, &row.error);
        assert_eq!((item.index, item.code), (7, row.code as i32), "{row:?}");
        assert_eq!((&*item.reason, item.message), (row.reason, row.error.to_string()));
        let delay = item.retry_delay.map(|delay| Duration::try_from(delay).unwrap());
        assert_eq!(delay, row.retry.delay(), "{}", row.reason);
    }
}

#[test]
fn a_pushback_fits_what_clients_read() {
    assert_eq!(RetryAdvice::After(Duration::MAX).pushback(), Some(i64::from(i32::MAX)));
    assert_eq!(RetryAdvice::After(Duration::from_millis(1500)).pushback(), Some(1500));
    assert_eq!(RetryAdvice::After(Duration::ZERO).pushback(), Some(1));
    assert_eq!(RetryAdvice::Elsewhere.pushback(), Some(1));
}
