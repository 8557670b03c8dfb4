//! Spans of time and sizes as people write them: `250ms`, `30d`, `256MiB`.
//!
//! Both are written with their unit, always: a bare number says nothing about seconds or milliseconds.

use std::{fmt, marker::PhantomData, str::FromStr, time::Duration};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// The units of a [`Span`] in milliseconds, largest first.
const SPAN_UNITS: [(&str, u64); 5] =
    [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

/// [`Span::MAX`] in milliseconds.
const MAX_MILLIS: u64 = 36_500 * 86_400_000;

/// The units of a [`Size`] in bytes, largest first.
const SIZE_UNITS: [(&str, u64); 7] = [
    ("GiB", 1 << 30),
    ("GB", 1_000_000_000),
    ("MiB", 1 << 20),
    ("MB", 1_000_000),
    ("KiB", 1 << 10),
    ("KB", 1_000),
    ("B", 1),
];

/// How a [`Span`] may be written.
const SPAN_FORMS: &str = "a span of time with its unit (ms, s, m, h, d) such as \"250ms\", \"1m30s\" or \"30d\", at most 36500d";

/// How a [`Size`] may be written.
const SIZE_FORMS: &str =
    "a size with its unit (B, KiB, MiB, GiB, KB, MB, GB) such as \"16KiB\" or \"256MiB\"";

/// A span of time in whole milliseconds, at most [`Span::MAX`].
///
/// Written as a number and a unit (`250ms`, `30s`, `5m`, `12h`, `30d`, `0s`) or as several of them,
/// largest unit first (`1m30s`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Span(Duration);

impl Span {
    /// A hundred years: longer is a mistake, and timers and caches refuse it in their own ways.
    pub const MAX: Self = Self(Duration::from_millis(MAX_MILLIS));

    /// Returns the span of `millis` milliseconds, or [`Span::MAX`] if that is shorter.
    pub const fn from_millis(millis: u64) -> Self {
        Self(Duration::from_millis(if millis < MAX_MILLIS { millis } else { MAX_MILLIS }))
    }

    /// Returns the span of `secs` seconds, or [`Span::MAX`] if that is shorter.
    pub const fn from_secs(secs: u64) -> Self {
        Self::from_millis(secs.saturating_mul(1_000))
    }

    /// Returns the span as the standard library's type.
    pub const fn get(self) -> Duration {
        self.0
    }

    /// Tells whether the span is `0s`.
    pub const fn is_zero(self) -> bool {
        self.0.is_zero()
    }
}

impl FromStr for Span {
    type Err = InvalidSpan;

    fn from_str(text: &str) -> Result<Self, InvalidSpan> {
        let (mut rest, mut millis, mut units) = (text, 0_u64, &SPAN_UNITS[..]);
        loop {
            let (number, after) = leading_number(rest).ok_or(InvalidSpan)?;
            let letters = after.find(|c: char| c.is_ascii_digit()).unwrap_or(after.len());
            let (unit, after) = after.split_at(letters);
            let place = units.iter().position(|(name, _)| *name == unit).ok_or(InvalidSpan)?;
            let part = number.checked_mul(units[place].1).ok_or(InvalidSpan)?;
            millis = millis.checked_add(part).ok_or(InvalidSpan)?;
            // What follows must have a smaller unit.
            units = &units[place + 1..];
            rest = after;
            if rest.is_empty() {
                break;
            }
        }
        if millis > MAX_MILLIS { Err(InvalidSpan) } else { Ok(Self::from_millis(millis)) }
    }
}

/// Writes the span in the largest unit that gives a whole number: `90s`, `2m`.
impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = self.0.as_secs() * 1_000 + u64::from(self.0.subsec_millis());
        if millis == 0 { f.write_str("0s") } else { write_in_units(f, millis, &SPAN_UNITS) }
    }
}

/// A number of bytes.
///
/// Written as a number and a unit: `256MiB`, `16KiB`, `1GiB`, `1000B`, or decimal `KB`, `MB`, `GB`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Size(u64);

impl Size {
    /// Returns the size of `bytes` bytes.
    pub const fn from_bytes(bytes: u64) -> Self {
        Self(bytes)
    }

    /// Returns the size of `kib` times 1024 bytes.
    pub const fn from_kib(kib: u64) -> Self {
        Self(kib.saturating_mul(1 << 10))
    }

    /// Returns the size of `mib` times 1024² bytes.
    pub const fn from_mib(mib: u64) -> Self {
        Self(mib.saturating_mul(1 << 20))
    }

    /// Returns the number of bytes.
    pub const fn get(self) -> u64 {
        self.0
    }
}

impl FromStr for Size {
    type Err = InvalidSize;

    fn from_str(text: &str) -> Result<Self, InvalidSize> {
        let (number, unit) = leading_number(text).ok_or(InvalidSize)?;
        let (_, bytes) = SIZE_UNITS.iter().find(|(name, _)| *name == unit).ok_or(InvalidSize)?;
        number.checked_mul(*bytes).map(Self).ok_or(InvalidSize)
    }
}

/// Writes the size in the largest unit that gives a whole number: `256MiB`, `1KB`, `0B`.
impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 == 0 { f.write_str("0B") } else { write_in_units(f, self.0, &SIZE_UNITS) }
    }
}

/// Not a [`Span`]. The message names the allowed forms and never the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected {SPAN_FORMS}")]
pub struct InvalidSpan;

/// Not a [`Size`]. The message names the allowed forms and never the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected {SIZE_FORMS}")]
pub struct InvalidSize;

/// Splits `text` after its leading digits; `None` when there are none or too many.
fn leading_number(text: &str) -> Option<(u64, &str)> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, rest) = text.split_at(digits);
    Some((number.parse().ok()?, rest))
}

/// Writes an amount that is not zero; the last of `units` is 1.
fn write_in_units(f: &mut fmt::Formatter<'_>, amount: u64, units: &[(&str, u64)]) -> fmt::Result {
    match units.iter().find(|(_, unit)| amount.is_multiple_of(*unit)) {
        Some((name, unit)) => write!(f, "{}{name}", amount / unit),
        None => Ok(()),
    }
}

/// Reads a quantity from a string; bare numbers are refused, for they have no unit.
struct Quantity<T> {
    forms: &'static str,
    kind: PhantomData<T>,
}

impl<T> Quantity<T> {
    fn new(forms: &'static str) -> Self {
        Self { forms, kind: PhantomData }
    }
}

impl<T: FromStr> de::Visitor<'_> for Quantity<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.forms)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<T, E> {
        text.parse().map_err(|_| E::invalid_value(de::Unexpected::Other("another string"), &self))
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(Quantity::new(SPAN_FORMS))
    }
}

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(Quantity::new(SIZE_FORMS))
    }
}

impl Serialize for Span {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl Serialize for Size {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests;
