//! TLS: how handshakes end, and when the certificate does.

use opentelemetry::{
    KeyValue,
    metrics::{Counter, Meter, MeterProvider as _},
};

use super::Metrics;

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
        Self {
            handshakes: meter
                .u64_counter("voyage_gateway.tls.handshakes")
                .with_description("TLS handshakes by outcome.")
                .build(),
        }
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
        let outcome = KeyValue::new("outcome", self.outcome.as_str());
        self.metrics.instruments.tls.handshakes.add(1, &[outcome]);
    }
}

impl Metrics {
    /// `voyage_gateway_tls_handshakes_total{outcome}`: TLS handshakes of callers, by [`Handshake`].
    pub fn tls_handshake(&self) -> OpenHandshake {
        OpenHandshake { metrics: self.clone(), outcome: Handshake::Timeout }
    }

    /// `voyage_gateway_tls_certificate_not_after_seconds`: when the certificate that callers are shown expires, in
    /// seconds since 1970, as `not_after` tells it.
    pub fn watch_certificate(&self, not_after: impl Fn() -> Option<i64> + Send + Sync + 'static) {
        let meter = self.instruments.provider.meter("voyage-gateway");
        meter
            .i64_observable_gauge("voyage_gateway.tls.certificate_not_after")
            .with_unit("s")
            .with_description("When the served certificate expires, in seconds since 1970.")
            .with_callback(move |gauge| {
                if let Some(not_after) = not_after() {
                    gauge.observe(not_after, &[]);
                }
            })
            .build();
    }
}
