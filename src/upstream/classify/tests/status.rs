//! The status decides.

use super::*;

/// A status in no row of this table is [`Fault::UnexpectedStatus`].
fn expected(status: u16) -> Fault {
    let retry_after = None;
    match status {
        300..=399 => Fault::Redirect { location: None },
        400 | 422 => Fault::InvalidRequest { detail: None, field: None },
        401 => Fault::Unauthenticated,
        402 => Fault::PaymentRequired,
        403 => Fault::Forbidden,
        404 | 405 => Fault::NotFound { host: Some("voyage.example".to_owned()) },
        406 | 411 | 415 | 431 | 501 | 505 => Fault::Protocol,
        408 | 425 | 502 | 503 | 504 => Fault::Unavailable { retry_after },
        409 => Fault::Conflict,
        410 => Fault::ModelNotSupported,
        413 => Fault::PayloadTooLarge { request_bytes: 1234 },
        429 => Fault::RateLimited { retry_after, free_tier: false },
        // A CDN's own: it could not reach Voyage.
        520 | 521 | 522 | 523 | 524 | 525 | 526 | 527 | 529 | 530 => {
            Fault::Unavailable { retry_after }
        }
        500..=599 => Fault::ServerError { retry_after },
        _ => Fault::UnexpectedStatus,
    }
}

#[test]
fn every_status_has_its_row() {
    for status in (100..=599).filter(|status| *status != 200) {
        assert_eq!(fault(status, &[], b""), expected(status), "{status}");
    }
}

#[test]
fn no_body_can_change_the_row_of_a_status() {
    let page = b"<html><body>Bad Gateway</body></html>";
    let tokens = include_bytes!("../../../../tests/fixtures/voyage/error_too_many_tokens.json");
    for status in (100..=599).filter(|status| ![200, 400, 422].contains(status)) {
        for body in [&page[..], &tokens[..], b"\xff\xfe", b"{\"detail\":", b"null"] {
            assert_eq!(fault(status, &[], body), expected(status), "{status}");
        }
    }
}

#[test]
fn retry_after_travels_with_what_is_worth_a_retry() {
    let headers = [("retry-after", "7")];
    let retry_after = Some(Duration::from_secs(7));
    assert_eq!(fault(429, &headers, b""), Fault::RateLimited { retry_after, free_tier: false });
    assert_eq!(fault(500, &headers, b""), Fault::ServerError { retry_after });
    assert_eq!(fault(503, &headers, b""), Fault::Unavailable { retry_after });
    assert_eq!(fault(522, &headers, b""), Fault::Unavailable { retry_after });
}

#[test]
fn a_redirect_reports_only_its_host() {
    let to = |location: &str| match fault(307, &[("location", location)], b"") {
        Fault::Redirect { location } => location,
        other => panic!("{other:?}"),
    };
    assert_eq!(to("https://other.example/v1?token=x").as_deref(), Some("other.example"));
    assert_eq!(to("https://user:password@other.example:444/").as_deref(), Some("other.example"));
    let to_the_key = to(&format!("https://{KEY}.other.example/"));
    assert_eq!(to_the_key.as_deref(), Some("[redacted].other.example"));
    for nowhere in ["/v2/embeddings", "", "not a url", "h\u{e9}"] {
        assert_eq!(to(nowhere), None, "{nowhere}");
    }
}
