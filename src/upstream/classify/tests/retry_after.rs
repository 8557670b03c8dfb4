//! `Retry-After` (RFC 9110 §10.2.3).

use super::*;

const SENT: &str = "Wed, 21 Oct 2026 07:28:00 GMT";

/// Reads it beside a `Date`.
fn read(value: &str) -> Option<Duration> {
    retry_after(&map(&[("retry-after", value), ("date", SENT)]))
}

#[test]
fn seconds_are_believed_up_to_a_minute() {
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
