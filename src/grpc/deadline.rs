//! `grpc-timeout` → an instant.

use std::time::Duration;

use http::HeaderMap;
use tokio::time::Instant;

use crate::error::Error;

/// `server.default_deadline` and `server.max_deadline`.
#[derive(Clone, Copy, Debug)]
pub struct Deadlines {
    /// Timeout of calls that set none.
    pub default: Duration,
    /// The longest timeout of a call.
    pub max: Duration,
}

impl Deadlines {
    /// Returns the timeout of calls that set none.
    pub(super) fn unset(self) -> Duration {
        self.default.min(self.max)
    }
}

/// When an RPC must be answered.
#[derive(Clone, Copy, Debug)]
pub(super) struct Deadline {
    /// The caller's own deadline, or the gateway's.
    pub(super) at: Instant,
    /// A little earlier, so that the answer arrives before the caller's own clock ends the call.
    pub(super) answer_by: Instant,
    /// Whether the caller set it.
    pub(super) explicit: bool,
    /// Whether the timeout is at least half of the default. The other half is for callers that measure differently, or
    /// retry.
    pub(super) ample: bool,
}

impl Deadline {
    /// Starts the caller's timeout, at most the maximum, or the default.
    pub(super) fn new(explicit: Option<Duration>, bounds: Deadlines) -> Self {
        let timeout = explicit.map_or(bounds.unset(), |timeout| timeout.min(bounds.max));
        let margin = (timeout / 50).max(Duration::from_millis(5)).min(timeout);
        let now = Instant::now();
        Self {
            at: now + timeout,
            answer_by: now + timeout.saturating_sub(margin),
            explicit: explicit.is_some(),
            ample: timeout >= bounds.unset() / 2,
        }
    }
}

/// Parses `grpc-timeout`: 1 to 8 digits and a unit (gRPC over HTTP/2, "Timeout"). `None` if the caller set none.
pub(super) fn parse(headers: &HeaderMap) -> Result<Option<Duration>, Error> {
    let Some(value) = headers.get("grpc-timeout") else { return Ok(None) };
    let malformed = || {
        Error::violation(
            "grpc-timeout",
            "MALFORMED_TIMEOUT",
            "must be 1 to 8 digits and one of the units H, M, S, m, u, n",
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
