//! The columns of Voyage's failures that callers do not see, and the beginning of every message.

use std::collections::BTreeSet;

use super::*;

fn rows() -> Vec<(Fault, Blame, Retry, bool)> {
    let bad = BadResponse { why: "not JSON", expected: None, got: None };
    vec![
        (Fault::InvalidRequest { detail: None, field: None }, Caller, Never, false),
        (Fault::TooManyTokens { limit: None, actual: None }, Caller, Never, false),
        (Fault::InputTooLong { index: 0, limit: None }, Caller, Never, false),
        (Fault::ModelNotSupported, Caller, Never, false),
        (Fault::Unauthenticated, Gateway, Never, false),
        (Fault::Forbidden, Gateway, Never, false),
        (Fault::PaymentRequired, Gateway, Never, false),
        (Fault::NotFound { host: None }, Gateway, Never, false),
        (Fault::PayloadTooLarge { request_bytes: 1 }, Caller, Never, false),
        (Fault::RateLimited { retry_after: None, free_tier: false }, Upstream, Gate, false),
        (Fault::ServerError { retry_after: None }, Upstream, Backoff, true),
        (Fault::Unavailable { retry_after: None }, Upstream, Backoff, true),
        (Fault::Timeout, Upstream, Backoff, true),
        (Fault::ConnectFailed, Upstream, Backoff, true),
        (Fault::ConnectionLost, Upstream, Backoff, true),
        (Fault::TlsRejected, Upstream, Never, true),
        (Fault::TlsCut, Upstream, Once, true),
        (Fault::BadResponse(bad), Upstream, Once, true),
        (Fault::BadResponse(BadResponse::TOO_LONG), Upstream, Never, true),
        (Fault::Protocol, Gateway, Never, false),
        (Fault::Conflict, Upstream, Never, false),
        (Fault::Redirect { location: None }, Gateway, Never, false),
        (Fault::UnexpectedStatus, Upstream, Never, false),
    ]
}

#[test]
fn every_fault_has_its_row() {
    for (fault, blame, retry, trips_breaker) in rows() {
        let row = fault.row();
        let columns = (row.blame, row.retry, row.trips_breaker);
        assert_eq!(columns, (blame, retry, trips_breaker), "{fault:?}");
    }
}

#[test]
fn kinds_differ() {
    let kinds: BTreeSet<_> = rows().iter().map(|(fault, ..)| fault.row().kind).collect();
    // A body that is too long is a `bad_response` like others.
    assert_eq!(kinds.len(), rows().len() - 1);
}
