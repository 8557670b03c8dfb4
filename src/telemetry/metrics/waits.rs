//! What the gateway itself adds to an RPC, and how long inputs wait before they are sent.

use std::time::Duration;

use opentelemetry::{
    KeyValue,
    metrics::{Histogram, Meter},
};

use super::Metrics;
use crate::model;

/// Upper bounds of the overhead's buckets, in seconds.
const OVERHEAD: [f64; 16] = [
    0.000_01, 0.000_025, 0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025,
    0.05, 0.1, 0.25, 0.5, 1.0,
];

/// Upper bounds of the wait's buckets, in seconds.
const WAIT: [f64; 14] =
    [0.000_1, 0.000_5, 0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0, 30.0, 60.0];

pub(super) struct Instruments {
    overhead: Histogram<f64>,
    queue_wait: Histogram<f64>,
}

impl Instruments {
    pub(super) fn new(meter: &Meter) -> Self {
        Self {
            overhead: meter
                .f64_histogram("voyage_gateway.overhead")
                .with_unit("s")
                .with_boundaries(OVERHEAD.to_vec())
                .with_description(
                    "Time of answered RPCs during which no upstream call for them was out.",
                )
                .build(),
            queue_wait: meter
                .f64_histogram("voyage_gateway.queue.wait")
                .with_unit("s")
                .with_boundaries(WAIT.to_vec())
                .with_description("Time inputs waited before they were first sent.")
                .build(),
        }
    }
}

impl Metrics {
    /// `voyage_gateway_overhead_seconds{rpc_method}`: of an RPC that was answered, the time from its first byte to its
    /// last during which no upstream call for it was out.
    pub fn overhead(&self, method: &'static str, overhead: Duration) {
        let labels = [KeyValue::new("rpc_method", method)];
        self.instruments.waits.overhead.record(overhead.as_secs_f64(), &labels);
    }

    /// `voyage_gateway_queue_wait_seconds{model, stage}`: of an input that is sent for the first time, how long it waited
    /// for company, its turn and a free call (`queue`), and for budget (`limiter`); the model is `_other` when it is not
    /// in the catalogue.
    pub fn queue_wait(&self, model: &str, queue: Duration, limiter: Duration) {
        let model = model::find(model).map_or("_other", |model| model.name);
        for (stage, wait) in [("queue", queue), ("limiter", limiter)] {
            let labels = [KeyValue::new("model", model), KeyValue::new("stage", stage)];
            self.instruments.waits.queue_wait.record(wait.as_secs_f64(), &labels);
        }
    }
}
