//! Which traces are recorded; decided once for each, before there is a span.

use opentelemetry::trace::TraceId;

/// Two to the 63rd: how many values the part of a trace's id has that decides.
const VALUES: f64 = 9_223_372_036_854_775_808.0;

/// Which traces are recorded.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sampling {
    /// Whether a caller's decision, where it made one, stands.
    pub parent_based: bool,
    /// The share of the other traces, 0 to 1, by the trace's id: every service that sees the id decides the same.
    pub ratio: f64,
}

impl Sampling {
    /// Records this share of the traces that begin here, and of others those that their callers record.
    pub const fn parent_based(ratio: f64) -> Self {
        Self { parent_based: true, ratio }
    }

    /// Tells whether a trace is recorded; `parent`: whether the caller records it, if it said.
    pub fn samples(self, trace_id: TraceId, parent: Option<bool>) -> bool {
        match parent {
            Some(sampled) if self.parent_based => sampled,
            _ if self.ratio >= 1.0 => true,
            _ => (low_half(trace_id) >> 1) < share(self.ratio),
        }
    }
}

/// Returns the last eight bytes of an id: the part that is random in every system.
fn low_half(trace_id: TraceId) -> u64 {
    let bytes = trace_id.to_bytes();
    bytes[8..].iter().fold(0, |number, byte| (number << 8) | u64::from(*byte))
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "below two to the 63rd and not negative"
)]
fn share(ratio: f64) -> u64 {
    (ratio.max(0.0) * VALUES) as u64
}
