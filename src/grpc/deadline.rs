//! `grpc-timeout` → an instant.

use std::time::Duration;

use http::HeaderMap;
use tokio::time::Instant;

use crate::error::Error;

/// Bounds of deadlines.
#[derive(Clone, Copy, Debug)]
pub struct Deadlines {
    /// Time for callers that set none.
    pub default: Duration,
    /// The longest time any caller gets.
    pub max: Duration,
}

impl Deadlines {
    /// Returns the time that callers get who set none.
    pub(super) fn unasked(self) -> Duration {
        self.default.min(self.max)
    }
}

/// When an RPC must be answered.
#[derive(Clone, Copy, Debug)]
pub(super) struct Deadline {
    /// The caller's own deadline, or the gateway's.
    pub(super) at: Instant,
    /// A little earlier, so that the answer arrives before the caller's own clock gives up.
    pub(super) answer_by: Instant,
    /// Whether the caller set it.
    pub(super) explicit: bool,
    /// Whether it leaves time enough: half of what callers get who set none. The other half is for those who count
    /// their own way, or try again.
    pub(super) ample: bool,
}

/// Reads the caller's deadline, capped, with a default.
pub(super) fn of(headers: &HeaderMap, bounds: Deadlines) -> Result<Deadline, Error> {
    let explicit = parse(headers)?;
    let timeout = explicit.map_or(bounds.unasked(), |asked| asked.min(bounds.max));
    let margin = (timeout / 50).max(Duration::from_millis(5)).min(timeout);
    let now = Instant::now();
    Ok(Deadline {
        at: now + timeout,
        answer_by: now + timeout.saturating_sub(margin),
        explicit: explicit.is_some(),
        ample: timeout >= bounds.unasked() / 2,
    })
}

/// Parses `grpc-timeout`: 1 to 8 digits and a unit (gRPC over HTTP/2, "Timeout").
fn parse(headers: &HeaderMap) -> Result<Option<Duration>, Error> {
    let Some(value) = headers.get("grpc-timeout") else { return Ok(None) };
    let malformed = || {
        Error::violation(
            "grpc-timeout",
            "MALFORMED_TIMEOUT",
            "expected 1 to 8 digits and one of the units H, M, S, m, u, n",
        )
    };
    let bytes = value.as_bytes();
    let Some((unit, digits)) = bytes.split_last() else { return Err(malformed()) };
    if !(1..=8).contains(&digits.len()) || !digits.iter().all(u8::is_ascii_digit) {
        return Err(malformed());
    }
    let number = digits.iter().fold(0_u64, |number, digit| number * 10 + u64::from(digit - b'0'));
    let timeout = match unit {
        b'H' => Duration::from_secs(number * 3600),
        b'M' => Duration::from_secs(number * 60),
        b'S' => Duration::from_secs(number),
        b'm' => Duration::from_millis(number),
        b'u' => Duration::from_micros(number),
        b'n' => Duration::from_nanos(number),
        _ => return Err(malformed()),
    };
    Ok(Some(timeout))
}

#[cfg(test)]
mod tests;
