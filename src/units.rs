//! Durations and sizes with their units: `250ms`, `30d`, `256MiB`. A number without a unit is invalid.

use std::{fmt, str::FromStr, time::Duration};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// The units of a [`TimeSpan`] in milliseconds, largest first.
const SPAN_UNITS: [(&str, u64); 5] =
    [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

/// [`TimeSpan::MAX`] in milliseconds.
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

/// The forms of a [`TimeSpan`].
const SPAN_FORMS: &str = "a span of time with its unit (ms, s, m, h, d) such as \"250ms\", \"1m30s\" or \"30d\", at most 36500d";

/// The forms of a [`Size`].
const SIZE_FORMS: &str =
    "a size with its unit (B, KiB, MiB, GiB, KB, MB, GB) such as \"16KiB\" or \"256MiB\"";

/// A duration in whole milliseconds, at most [`TimeSpan::MAX`].
///
/// Its text is a number with a unit (`250ms`, `30s`, `5m`, `12h`, `30d`, `0s`), or several of them, largest unit first
/// (`1m30s`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct TimeSpan(Duration);

impl TimeSpan {
    /// A hundred years, which every timer and cache accepts.
    pub const MAX: Self = Self(Duration::from_millis(MAX_MILLIS));

    /// Returns `millis` milliseconds, or [`TimeSpan::MAX`] if that is shorter.
    pub const fn from_millis(millis: u64) -> Self {
        Self(Duration::from_millis(if millis < MAX_MILLIS { millis } else { MAX_MILLIS }))
    }

    /// Returns `secs` seconds, or [`TimeSpan::MAX`] if that is shorter.
    pub const fn from_secs(secs: u64) -> Self {
        Self::from_millis(secs.saturating_mul(1_000))
    }

    /// Returns the duration.
    pub const fn get(self) -> Duration {
        self.0
    }

    /// Returns whether this is `0s`.
    pub const fn is_zero(self) -> bool {
        self.0.is_zero()
    }
}

impl FromStr for TimeSpan {
    type Err = InvalidQuantity;

    fn from_str(text: &str) -> Result<Self, InvalidQuantity> {
        let (mut rest, mut millis, mut units) = (text, 0_u64, &SPAN_UNITS[..]);
        loop {
            let (number, after) = leading_number(rest).ok_or(INVALID_SPAN)?;
            let letters = after.find(|c: char| c.is_ascii_digit()).unwrap_or(after.len());
            let (unit, after) = after.split_at(letters);
            let place = units.iter().position(|(name, _)| *name == unit).ok_or(INVALID_SPAN)?;
            let part = number.checked_mul(units[place].1).ok_or(INVALID_SPAN)?;
            millis = millis.checked_add(part).ok_or(INVALID_SPAN)?;
            // The next unit must be smaller.
            units = &units[place + 1..];
            rest = after;
            if rest.is_empty() {
                break;
            }
        }
        if millis > MAX_MILLIS { Err(INVALID_SPAN) } else { Ok(Self::from_millis(millis)) }
    }
}

/// Writes the duration in the largest unit that results in a whole number: `90s`, `2m`.
impl fmt::Display for TimeSpan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = self.0.as_secs() * 1_000 + u64::from(self.0.subsec_millis());
        if millis == 0 { f.write_str("0s") } else { write_in_units(f, millis, &SPAN_UNITS) }
    }
}

/// A number of bytes.
///
/// Its text is a number with a unit: `256MiB`, `16KiB`, `1GiB`, `1000B`, or decimal `KB`, `MB`, `GB`.
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
    type Err = InvalidQuantity;

    fn from_str(text: &str) -> Result<Self, InvalidQuantity> {
        let (number, unit) = leading_number(text).ok_or(INVALID_SIZE)?;
        let (_, bytes) = SIZE_UNITS.iter().find(|(name, _)| *name == unit).ok_or(INVALID_SIZE)?;
        number.checked_mul(*bytes).map(Self).ok_or(INVALID_SIZE)
    }
}

/// Writes the size in the largest unit that results in a whole number: `256MiB`, `1KB`, `0B`.
impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 == 0 { f.write_str("0B") } else { write_in_units(f, self.0, &SIZE_UNITS) }
    }
}

/// An invalid [`TimeSpan`] or [`Size`]. The message contains the valid forms and never the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected {0}")]
pub struct InvalidQuantity(&'static str);

const INVALID_SPAN: InvalidQuantity = InvalidQuantity(SPAN_FORMS);
const INVALID_SIZE: InvalidQuantity = InvalidQuantity(SIZE_FORMS);

/// Splits `text` after its leading digits; `None` if there are none or too many.
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

/// Reads a quantity from a string. Other types are as invalid as another text.
fn deserialize<'de, D: Deserializer<'de>, T: FromStr>(
    deserializer: D,
    invalid: InvalidQuantity,
) -> Result<T, D::Error> {
    let parsed = String::deserialize(deserializer).ok().and_then(|text| text.parse().ok());
    parsed.ok_or_else(|| de::Error::custom(invalid))
}

impl<'de> Deserialize<'de> for TimeSpan {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserialize(deserializer, INVALID_SPAN)
    }
}

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserialize(deserializer, INVALID_SIZE)
    }
}

impl Serialize for TimeSpan {
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
