//! `Retry-After` (RFC 9110 §10.2.3).

use super::*;

const SENT: &str = "Wed, 21 Oct 2026 07:28:00 GMT";

/// Reads it beside a `Date`.
fn read(value: &str) -> Option<Duration> {
    retry_after(&map(&[("retry-after", value), ("date", SENT)]))
}

#[test]
fn seconds_count_up_to_a_minute() {
    for (value, wait) in [
        ("0", 0),
        ("1", 1),
        ("007", 7),
        (" 5 ", 5),
        ("60", 60),
        ("61", 60),
        ("18446744073709551615", 60),
        ("99999999999999999999999999", 60),
    ] {
        assert_eq!(read(value), Some(Duration::from_secs(wait)), "{value:?}");
    }
}

#[test]
fn a_date_counts_from_the_replys_own() {
    for (value, wait) in [
        ("Wed, 21 Oct 2026 07:28:09 GMT", 9),
        ("Wed, 21 Oct 2026 07:28:00 GMT", 0),
        ("Wed, 21 Oct 2026 07:27:59 GMT", 0),
        ("Thu, 01 Jan 1970 00:00:00 GMT", 0),
        ("Wed, 21 Oct 2026 07:28:59 GMT", 59),
        ("Wed, 21 Oct 2099 07:28:00 GMT", 60),
        // The two obsolete forms that a recipient must still read.
        ("Wednesday, 21-Oct-26 07:28:09 GMT", 9),
        ("Wed Oct 21 07:28:09 2026", 9),
    ] {
        assert_eq!(read(value), Some(Duration::from_secs(wait)), "{value:?}");
    }
}

#[test]
fn a_date_without_a_date_to_count_from_is_ignored() {
    let date = "Wed, 21 Oct 2026 07:28:09 GMT";
    assert_eq!(retry_after(&map(&[("retry-after", date)])), None);
    assert_eq!(retry_after(&map(&[("retry-after", date), ("date", "yesterday")])), None);
    // Seconds need none.
    assert_eq!(retry_after(&map(&[("retry-after", "9")])), Some(Duration::from_secs(9)));
}

#[test]
fn anything_else_is_ignored() {
    for value in [
        "",
        " ",
        "-1",
        "+1",
        "1.5",
        "1e3",
        "0x10",
        "soon",
        "5s",
        "1, 2",
        "\u{663}",
        "\u{e9}",
        "Wed, 32 Oct 2026 07:28:00 GMT",
    ] {
        assert_eq!(read(value), None, "{value:?}");
    }
    assert_eq!(retry_after(&HeaderMap::new()), None);
}

proptest! {
    /// Any value is at most a minute, and only numbers and dates have an effect.
    #[test]
    fn no_bytes_of_a_date_wait_longer_than_a_minute(value: Vec<u8>, date: Vec<u8>) {
        let mut headers = HeaderMap::new();
        for (name, bytes) in [("retry-after", &value), ("date", &date)] {
            if let Ok(bytes) = HeaderValue::from_bytes(bytes) {
                headers.insert(name, bytes);
            }
        }
        let wait = retry_after(&headers);
        prop_assert!(wait.is_none_or(|wait| wait <= Duration::from_mins(1)), "{wait:?}");
        let says_something = value.iter().any(u8::is_ascii_digit);
        prop_assert!(wait.is_none() || says_something, "{wait:?}");
    }

    /// Digits are seconds; signs, fractions and dates that are none do no harm.
    #[test]
    fn digits_are_seconds_and_nothing_else_is(
        sign in "[-+]{0,1}",
        seconds: u64,
        rest in "|[.,e][0-9]{1,3}|[smh]",
        date in "(Mon|Wed), [0-9]{2} (Feb|Oct) [0-9]{4} [0-9]{2}:[0-9]{2}:[0-9]{2} GMT",
    ) {
        let is_digits = sign.is_empty() && rest.is_empty();
        let expected = is_digits.then(|| Duration::from_secs(seconds.min(60)));
        prop_assert_eq!(read(&format!("{sign}{seconds}{rest}")), expected);
        let wait = read(&date);
        prop_assert!(wait.is_none_or(|wait| wait <= Duration::from_mins(1)), "{wait:?}");
    }
}
