use proptest::prelude::*;
use serde::{Deserialize, Serialize, de::value};

use super::*;

fn span(text: &str) -> Result<u64, InvalidQuantity> {
    text.parse::<TimeSpan>().map(|span| u64::try_from(span.get().as_millis()).unwrap())
}

fn size(text: &str) -> Result<u64, InvalidQuantity> {
    text.parse::<Size>().map(Size::get)
}

#[test]
fn spans_are_read() {
    for (text, millis) in [
        ("0s", 0),
        ("0ms", 0),
        ("250ms", 250),
        ("30s", 30_000),
        ("5m", 300_000),
        ("12h", 43_200_000),
        ("30d", 2_592_000_000),
        ("1m30s", 90_000),
        ("1d2h3m4s5ms", 93_784_005),
        ("36500d", MAX_MILLIS),
    ] {
        assert_eq!(span(text), Ok(millis), "{text}");
    }
}

#[test]
fn other_spans_are_refused() {
    for text in [
        "",
        "30",
        "s",
        "-1s",
        "+1s",
        "1.5s",
        "1 s",
        " 1s",
        "1s ",
        "1S",
        "1w",
        "1min",
        "30s1m",
        "1m1m",
        "1m30",
        "36500d1ms",
        "99999999999999999999s",
        "18446744073709551615d",
        "1µs",
    ] {
        assert_eq!(span(text), Err(INVALID_SPAN), "{text}");
    }
}

#[test]
fn spans_are_written_in_the_largest_exact_unit() {
    for (millis, text) in [
        (0, "0s"),
        (1, "1ms"),
        (1_500, "1500ms"),
        (60_000, "1m"),
        (90_000, "90s"),
        (86_400_000, "1d"),
    ] {
        assert_eq!(TimeSpan::from_millis(millis).to_string(), text);
    }
}

#[test]
fn a_span_ends_at_a_hundred_years() {
    assert_eq!(TimeSpan::from_secs(u64::MAX), TimeSpan::MAX);
    assert_eq!(TimeSpan::MAX.to_string(), "36500d");
}

#[test]
fn sizes_are_read() {
    for (text, bytes) in [
        ("0B", 0),
        ("1000B", 1_000),
        ("1KB", 1_000),
        ("16KiB", 16_384),
        ("32MiB", 33_554_432),
        ("3MB", 3_000_000),
        ("1GiB", 1_073_741_824),
        ("2GB", 2_000_000_000),
        ("18446744073709551615B", u64::MAX),
    ] {
        assert_eq!(size(text), Ok(bytes), "{text}");
    }
}

#[test]
fn other_sizes_are_refused() {
    for text in [
        "",
        "1",
        "MiB",
        "-1B",
        "1.5GiB",
        "1 KiB",
        "1kib",
        "1K",
        "1MiB1KiB",
        "18446744073709551615KB",
    ] {
        assert_eq!(size(text), Err(INVALID_SIZE), "{text}");
    }
}

#[test]
fn sizes_are_written_in_the_largest_exact_unit() {
    for (bytes, text) in [
        (0, "0B"),
        (1, "1B"),
        (1_000, "1KB"),
        (1_024, "1KiB"),
        (1 << 28, "256MiB"),
        (1_500, "1500B"),
    ] {
        assert_eq!(Size::from_bytes(bytes).to_string(), text);
    }
}

#[test]
fn bare_numbers_are_refused_with_the_allowed_forms() {
    type Reader = value::I64Deserializer<value::Error>;
    let span = TimeSpan::deserialize(Reader::new(30)).unwrap_err().to_string();
    assert_eq!(span, format!("expected {SPAN_FORMS}"));
    let size = Size::deserialize(Reader::new(30)).unwrap_err().to_string();
    assert_eq!(size, format!("expected {SIZE_FORMS}"));
}

proptest! {
    #[test]
    fn what_is_written_reads_back(millis in 0..=MAX_MILLIS, bytes: u64) {
        #[derive(Debug, PartialEq, Serialize, Deserialize)]
        struct Both { span: TimeSpan, size: Size }

        let both = Both { span: TimeSpan::from_millis(millis), size: Size::from_bytes(bytes) };
        prop_assert_eq!(both.span.to_string().parse(), Ok(both.span));
        prop_assert_eq!(both.size.to_string().parse(), Ok(both.size));
        let text = toml::to_string(&both).unwrap();
        prop_assert_eq!(toml::from_str::<Both>(&text).unwrap(), both);
    }

    #[test]
    fn reading_never_panics(text: String) {
        let _ = (span(&text), size(&text));
    }
}
