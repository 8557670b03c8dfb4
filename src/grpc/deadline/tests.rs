//! `grpc-timeout`: every form, and the bounds around it. The clock stands still.

use http::HeaderValue;

use super::*;

const BOUNDS: Deadlines =
    Deadlines { default: Duration::from_mins(1), max: Duration::from_mins(5) };

fn timeout(value: &[u8]) -> HeaderMap {
    HeaderMap::from_iter([(
        http::HeaderName::from_static("grpc-timeout"),
        HeaderValue::from_bytes(value).unwrap(),
    )])
}

fn of(headers: &HeaderMap, bounds: Deadlines) -> Result<Deadline, Error> {
    parse(headers).map(|timeout| Deadline::new(timeout, bounds))
}

/// The time until the deadline, and the margin before it.
fn times(headers: &HeaderMap) -> (Duration, Duration) {
    let deadline = of(headers, BOUNDS).unwrap();
    (deadline.at - Instant::now(), deadline.at - deadline.answer_by)
}

#[test]
fn every_unit_and_length_is_read() {
    for (value, expected) in [
        ("1H", Duration::from_hours(1)),
        ("2M", Duration::from_mins(2)),
        ("3S", Duration::from_secs(3)),
        ("4m", Duration::from_millis(4)),
        ("5u", Duration::from_micros(5)),
        ("6n", Duration::from_nanos(6)),
        ("0S", Duration::ZERO),
        ("00000001S", Duration::from_secs(1)),
        ("12345678m", Duration::from_millis(12_345_678)),
        ("99999999H", Duration::from_hours(99_999_999)),
        ("99999999M", Duration::from_mins(99_999_999)),
        ("99999999n", Duration::from_nanos(99_999_999)),
    ] {
        assert_eq!(parse(&timeout(value.as_bytes())), Ok(Some(expected)), "{value}");
    }
    for digits in 1..=8 {
        let value = format!("{}S", "1".repeat(digits));
        let seconds = value[..digits].parse().unwrap();
        assert_eq!(parse(&timeout(value.as_bytes())), Ok(Some(Duration::from_secs(seconds))));
    }
    assert_eq!(parse(&HeaderMap::new()), Ok(None));
}

#[test]
fn everything_else_is_malformed() {
    let values: &[&[u8]] = &[
        b"",
        b"S",
        b"1",
        b"123456789S",
        b"000000001S",
        b"+1S",
        b"-1S",
        b" 1S",
        b"1S ",
        b"1 S",
        b"1.5S",
        b"1s",
        b"1h",
        b"1D",
        b"1ms",
        b"0x1S",
        b"1SS",
        b"\xd9\xa1S",
        b"1\xb5",
        b"\xff",
    ];
    for value in values {
        let shown = String::from_utf8_lossy(value);
        let Err(Error::InvalidRequest(violations)) = parse(&timeout(value)) else {
            panic!("{shown:?} was read");
        };
        let [violation] = &*violations else { panic!("one violation, not {violations:?}") };
        assert_eq!(violation.field, "grpc-timeout", "{shown:?}");
        assert_eq!(violation.reason, "MALFORMED_TIMEOUT", "{shown:?}");
        // The value is the caller's and may be anything: it is not repeated.
        assert!(shown.is_empty() || !violation.description.contains(&format!("{shown:?}")));
    }
}

#[tokio::test(start_paused = true)]
async fn a_caller_without_a_deadline_gets_the_default() {
    let deadline = of(&HeaderMap::new(), BOUNDS).unwrap();
    assert_eq!(deadline.at - Instant::now(), BOUNDS.default);
    assert!(!deadline.explicit);
    assert!(of(&timeout(b"1S"), BOUNDS).unwrap().explicit);
}

#[test]
fn half_of_the_default_is_ample() {
    for (value, ample) in [("29999m", false), ("30S", true), ("59999m", true), ("99999999H", true)]
    {
        assert_eq!(of(&timeout(value.as_bytes()), BOUNDS).unwrap().ample, ample, "{value}");
    }
    assert!(of(&HeaderMap::new(), BOUNDS).unwrap().ample);
    // A default beyond the maximum is held to it.
    let bounds = Deadlines { default: Duration::from_mins(20), ..BOUNDS };
    assert!(of(&HeaderMap::new(), bounds).unwrap().ample);
}

#[tokio::test(start_paused = true)]
async fn no_caller_gets_more_than_the_maximum() {
    for value in ["301S", "99999999H"] {
        assert_eq!(times(&timeout(value.as_bytes())).0, BOUNDS.max, "{value}");
    }
    assert_eq!(times(&timeout(b"299S")).0, Duration::from_secs(299));
    // A default beyond the maximum is held to it as well.
    let bounds = Deadlines { default: Duration::from_mins(10), ..BOUNDS };
    assert_eq!(of(&HeaderMap::new(), bounds).unwrap().at - Instant::now(), BOUNDS.max);
}

#[tokio::test(start_paused = true)]
async fn the_answer_is_due_a_fiftieth_earlier_and_at_least_five_milliseconds() {
    for (value, margin) in [
        ("100S", Duration::from_secs(2)),
        ("1S", Duration::from_millis(20)),
        ("250m", Duration::from_millis(5)),
        ("100m", Duration::from_millis(5)),
        // Never before the call came in.
        ("3m", Duration::from_millis(3)),
        ("0S", Duration::ZERO),
    ] {
        assert_eq!(times(&timeout(value.as_bytes())).1, margin, "{value}");
    }
    assert_eq!(times(&HeaderMap::new()).1, Duration::from_millis(1200));
}
