//! TLS: how handshakes end.

use opentelemetry::{
    KeyValue,
    metrics::{Counter, Meter},
};

use super::{
    Metrics, build,
    catalogue::{self, label},
};

/// How a TLS handshake ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Handshake {
    /// Both sides are content.
    Ok,
    /// The peer speaks no TLS, or none of ours, or its certificate is not accepted; or it was only a TCP probe.
    Failed,
    /// It took too long, or the drain cut it off.
    Timeout,
}

impl Handshake {
    /// Returns the outcome's label.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Failed => "failed",
            Self::Timeout => "timeout",
        }
    }
}

/// What handshakes are counted with.
pub(super) struct Instruments {
    handshakes: Counter<u64>,
}

impl Instruments {
    pub(super) fn new(meter: &Meter) -> Self {
        Self { handshakes: build::counter(meter, &catalogue::TLS_HANDSHAKES) }
    }
}

/// A handshake under way; counted when it is dropped, as a timeout unless it has ended otherwise.
#[derive(Debug)]
pub struct OpenHandshake {
    metrics: Metrics,
    outcome: Handshake,
}

impl OpenHandshake {
    /// Says how it ended.
    pub fn ended(&mut self, outcome: Handshake) {
        self.outcome = outcome;
    }
}

impl Drop for OpenHandshake {
    fn drop(&mut self) {
        let Some(shared) = &self.metrics.shared else { return };
        shared.tls.handshakes.add(1, &[KeyValue::new(label::OUTCOME, self.outcome.as_str())]);
    }
}

impl Metrics {
    /// [`catalogue::TLS_HANDSHAKES`]: a TLS handshake of a caller's begins.
    pub fn tls_handshake(&self) -> OpenHandshake {
        OpenHandshake { metrics: self.clone(), outcome: Handshake::Timeout }
    }
}
