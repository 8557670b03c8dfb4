//! Behind the door: batches and repeats.

use opentelemetry::{
    KeyValue,
    metrics::{Counter, Histogram, Meter},
};

use super::{
    Metrics, build,
    catalogue::{self, label},
    model_label,
};

/// What batches are counted with.
pub(super) struct Instruments {
    size: Histogram<f64>,
    fill: Histogram<f64>,
    retries: Counter<u64>,
    rate_limited: Counter<u64>,
}

impl Instruments {
    pub(super) fn new(meter: &Meter) -> Self {
        Self {
            size: build::histogram(meter, &catalogue::BATCH_SIZE),
            fill: build::histogram(meter, &catalogue::BATCH_FILL),
            retries: build::counter(meter, &catalogue::RETRIES),
            rate_limited: build::counter(meter, &catalogue::RATE_LIMITED),
        }
    }
}

impl Metrics {
    /// [`catalogue::BATCH_SIZE`] and [`catalogue::BATCH_FILL`]: a batch is sent for the first time, with so many inputs
    /// and filled to this share of the fullest of its bounds.
    pub fn batch(&self, model: &str, inputs: u32, fill: f64) {
        let Some(shared) = &self.shared else { return };
        let labels = [KeyValue::new(label::MODEL, model_label(model))];
        shared.dispatch.size.record(inputs.into(), &labels);
        shared.dispatch.fill.record(fill, &labels);
    }

    /// [`catalogue::RETRIES`]: an upstream call is repeated after a failure.
    pub fn retry(&self) {
        if let Some(shared) = &self.shared {
            shared.dispatch.retries.add(1, &[]);
        }
    }

    /// [`catalogue::RATE_LIMITED`]: Voyage answered an upstream call with 429.
    pub fn rate_limited(&self) {
        if let Some(shared) = &self.shared {
            shared.dispatch.rate_limited.add(1, &[]);
        }
    }
}
