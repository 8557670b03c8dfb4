//! The upstream side: waits, batches, and calls to Voyage.

use std::time::Duration;

use http::StatusCode;
use opentelemetry::KeyValue;

use super::{
    Metrics, OTHER,
    catalogue::{self, label},
    model_label,
};
use crate::{
    item::{Endpoint, Parameters},
    model::ModelName,
    telemetry::semconv,
};

/// Statuses whose series start at 0 for the configured models: those that Voyage documents, and `none`.
pub(super) const USUAL_STATUSES: [&str; 10] =
    ["200", "400", "401", "403", "429", "500", "502", "503", "504", "none"];

impl Metrics {
    /// [`catalogue::QUEUE_WAIT`]: an input is sent for the first time, after it waited for a batch and a free call
    /// (`queue`), and for the rate limit (`limiter`).
    pub fn queue_wait(&self, model: &ModelName, queue: Duration, limiter: Duration) {
        let Some(shared) = &self.shared else { return };
        for (stage, wait) in [("queue", queue), ("limiter", limiter)] {
            let labels = [
                KeyValue::new(label::MODEL, model_label(model)),
                KeyValue::new(label::STAGE, stage),
            ];
            shared.instruments.queue_wait.record(wait.as_secs_f64(), &labels);
        }
    }

    /// [`catalogue::BATCH_SIZE`] and [`catalogue::BATCH_FILL`]: a batch is sent for the first time. `fill` is its largest
    /// ratio to a limit.
    pub fn batch(&self, model: &ModelName, inputs: u32, fill: f64) {
        let Some(shared) = &self.shared else { return };
        let labels = [KeyValue::new(label::MODEL, model_label(model))];
        shared.instruments.batch_size.record(inputs.into(), &labels);
        shared.instruments.batch_fill.record(fill, &labels);
    }

    /// [`catalogue::RETRIES`]: an upstream call is repeated after a failure.
    pub fn retry(&self) {
        self.add(|instruments| &instruments.retries, 1, &[]);
    }

    /// [`catalogue::RATE_LIMITED`]: Voyage answered an upstream call with 429.
    pub fn rate_limited(&self) {
        self.add(|instruments| &instruments.rate_limited, 1, &[]);
    }

    /// [`catalogue::UPSTREAM_CALLS`] and [`catalogue::UPSTREAM_DURATION`]: an HTTP request to Voyage ended; `None`: without
    /// an answer.
    pub fn upstream_call(
        &self,
        parameters: &Parameters,
        status: Option<StatusCode>,
        duration: Duration,
    ) {
        let Some(shared) = &self.shared else { return };
        let status = status.map_or("none", status_label);
        let labels = call_labels(parameters.endpoint(), &parameters.model, status);
        shared.instruments.upstream_calls.add(1, &labels);
        shared.instruments.upstream_duration.record(duration.as_secs_f64(), &labels);
    }

    /// [`catalogue::EMBEDDINGS_DURATION`] and [`catalogue::EMBEDDINGS_INPUT_TOKENS`]: a batch ended, with the tokens that
    /// Voyage reported or with the kind of failure. `took` starts at the first attempt.
    pub fn operation(
        &self,
        parameters: &Parameters,
        took: Duration,
        result: Result<Option<u64>, &'static str>,
    ) {
        let Some(shared) = &self.shared else { return };
        let mut labels = vec![
            KeyValue::new(semconv::GEN_AI_OPERATION_NAME, parameters.endpoint().operation()),
            KeyValue::new(semconv::GEN_AI_PROVIDER_NAME, semconv::VOYAGEAI),
            KeyValue::new(semconv::GEN_AI_REQUEST_MODEL, model_label(&parameters.model)),
        ];
        labels.extend(result.err().map(|kind| KeyValue::new(semconv::ERROR_TYPE, kind)));
        shared.instruments.embeddings_duration.record(took.as_secs_f64(), &labels);
        if let Ok(Some(tokens)) = result {
            // No batch has more than 2³² tokens.
            let tokens = u32::try_from(tokens).unwrap_or(u32::MAX);
            shared.instruments.embeddings_input_tokens.record(tokens.into(), &labels);
        }
    }
}

pub(super) fn call_labels(
    endpoint: Endpoint,
    model: &ModelName,
    status: &'static str,
) -> [KeyValue; 3] {
    [
        KeyValue::new(label::ENDPOINT, endpoint.path()),
        KeyValue::new(label::MODEL, model_label(model)),
        KeyValue::new(label::STATUS, status),
    ]
}

/// Returns the label of a status: `_other` unless it is in the catalogue, so that answers cannot create series.
fn status_label(status: StatusCode) -> &'static str {
    let listed = catalogue::STATUSES.iter().find(|listed| **listed == status.as_str());
    listed.copied().unwrap_or(OTHER)
}
