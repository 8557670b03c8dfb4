//! What became of spans.

use std::sync::Arc;

use opentelemetry::{KeyValue, metrics::MeterProvider as _};

use super::Metrics;
use crate::telemetry::export::Tally;

impl Metrics {
    /// `voyage_gateway_telemetry_spans_total{result}`: spans that were `recorded`, and of these `exported`, `failed` to
    /// be taken by the collector, or `dropped` before it was asked.
    pub(in crate::telemetry) fn watch_spans(&self, tally: Arc<Tally>) {
        let meter = self.instruments.provider.meter("voyage-gateway");
        meter
            .u64_observable_counter("voyage_gateway.telemetry.spans")
            .with_description("Spans by what became of them; those recorded include the others.")
            .with_callback(move |counter| {
                for (result, spans) in tally.counts() {
                    counter.observe(spans, &[KeyValue::new("result", result)]);
                }
            })
            .build();
    }

    /// Pushes what there is where metrics leave by themselves. Blocks until it is out or cannot be.
    pub(in crate::telemetry) fn flush(&self) {
        // Whatever failed is in the log already.
        let _ = self.instruments.provider.force_flush();
    }
}
