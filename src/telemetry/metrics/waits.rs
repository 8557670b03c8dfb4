//! What the gateway itself adds to an RPC, and how long inputs wait before they are sent.

use std::time::Duration;

use opentelemetry::{
    KeyValue,
    metrics::{Histogram, Meter},
};

use super::{
    Metrics, build,
    catalogue::{self, label},
    model_label,
};
use crate::telemetry::semconv;

/// What waits are measured with.
pub(super) struct Instruments {
    overhead: Histogram<f64>,
    queue_wait: Histogram<f64>,
}

impl Instruments {
    pub(super) fn new(meter: &Meter) -> Self {
        Self {
            overhead: build::histogram(meter, &catalogue::OVERHEAD),
            queue_wait: build::histogram(meter, &catalogue::QUEUE_WAIT),
        }
    }
}

impl Metrics {
    /// [`catalogue::OVERHEAD`]: an RPC was answered, and for so long of its time no upstream call for it was out.
    pub fn overhead(&self, method: &'static str, overhead: Duration) {
        let Some(shared) = &self.shared else { return };
        let labels = [KeyValue::new(semconv::RPC_METHOD, method)];
        shared.waits.overhead.record(overhead.as_secs_f64(), &labels);
    }

    /// [`catalogue::QUEUE_WAIT`]: an input is sent for the first time, and waited so long for company, its turn and a
    /// free call (`queue`), and for budget (`limiter`).
    pub fn queue_wait(&self, model: &str, queue: Duration, limiter: Duration) {
        let Some(shared) = &self.shared else { return };
        for (stage, wait) in [("queue", queue), ("limiter", limiter)] {
            let labels = [
                KeyValue::new(label::MODEL, model_label(model)),
                KeyValue::new(label::STAGE, stage),
            ];
            shared.waits.queue_wait.record(wait.as_secs_f64(), &labels);
        }
    }
}
