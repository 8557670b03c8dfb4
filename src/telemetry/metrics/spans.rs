//! What became of spans.

use opentelemetry::{KeyValue, metrics::MeterProvider as _};

use super::{
    Metrics, SCOPE,
    catalogue::{self, label},
};

impl Metrics {
    /// [`catalogue::SPANS`]: the number of spans by result, as `counts` returns it.
    pub(in crate::telemetry) fn watch_spans(
        &self,
        counts: impl Fn() -> [(&'static str, u64); 4] + Send + Sync + 'static,
    ) {
        let Some(shared) = &self.shared else { return };
        let metric = &catalogue::SPANS;
        shared
            .provider
            .meter(SCOPE)
            .u64_observable_counter(metric.name)
            .with_unit(metric.unit)
            .with_description(metric.description)
            .with_callback(move |counter| {
                for (result, spans) in counts() {
                    counter.observe(spans, &[KeyValue::new(label::RESULT, result)]);
                }
            })
            .build();
    }

    /// Pushes what there is where metrics leave by themselves. Blocks until it is out or cannot be.
    pub(in crate::telemetry) fn flush(&self) {
        if let Some(shared) = &self.shared {
            // Whatever failed is in the log already.
            let _ = shared.provider.force_flush();
        }
    }
}
