//! Calls to Voyage, one by one and a batch at a time.

use std::time::Duration;

use http::StatusCode;
use opentelemetry::{
    KeyValue,
    metrics::{Counter, Histogram, Meter},
};

use super::{
    Metrics, OTHER, build,
    catalogue::{self, label},
    model_label,
};
use crate::{embedding::Parameters, telemetry::semconv};

/// What calls are counted with.
pub(super) struct Instruments {
    calls: Counter<u64>,
    duration: Histogram<f64>,
    batch_duration: Histogram<f64>,
    batch_tokens: Histogram<f64>,
}

impl Instruments {
    pub(super) fn new(meter: &Meter) -> Self {
        Self {
            calls: build::counter(meter, &catalogue::UPSTREAM_CALLS),
            duration: build::histogram(meter, &catalogue::UPSTREAM_DURATION),
            batch_duration: build::histogram(meter, &catalogue::EMBEDDINGS_DURATION),
            batch_tokens: build::histogram(meter, &catalogue::EMBEDDINGS_INPUT_TOKENS),
        }
    }
}

impl Metrics {
    /// [`catalogue::UPSTREAM_CALLS`] and [`catalogue::UPSTREAM_DURATION`]: an HTTP request to Voyage has ended; `None`:
    /// there was no answer.
    pub fn upstream_call(
        &self,
        parameters: &Parameters,
        status: Option<StatusCode>,
        duration: Duration,
    ) {
        let Some(shared) = &self.shared else { return };
        let labels = [
            KeyValue::new(label::ENDPOINT, parameters.endpoint.path()),
            KeyValue::new(label::MODEL, model_label(&parameters.model)),
            KeyValue::new(label::STATUS, status.map_or("none", status_label)),
        ];
        shared.upstream.calls.add(1, &labels);
        shared.upstream.duration.record(duration.as_secs_f64(), &labels);
    }

    /// [`catalogue::EMBEDDINGS_DURATION`] and [`catalogue::EMBEDDINGS_INPUT_TOKENS`]: a batch has ended, so long after it
    /// was sent first; with the tokens that Voyage reported, or the kind of its failure.
    pub fn embeddings(
        &self,
        model: &str,
        took: Duration,
        result: Result<Option<u64>, &'static str>,
    ) {
        let Some(shared) = &self.shared else { return };
        let mut labels = vec![
            KeyValue::new(semconv::GEN_AI_OPERATION_NAME, "embeddings"),
            KeyValue::new(semconv::GEN_AI_PROVIDER_NAME, "voyageai"),
            KeyValue::new(semconv::GEN_AI_REQUEST_MODEL, model_label(model)),
        ];
        labels.extend(result.err().map(|kind| KeyValue::new(semconv::ERROR_TYPE, kind)));
        shared.upstream.batch_duration.record(took.as_secs_f64(), &labels);
        if let Ok(Some(tokens)) = result {
            // More than 2³² tokens are no batch's.
            let tokens = u32::try_from(tokens).unwrap_or(u32::MAX);
            shared.upstream.batch_tokens.record(tokens.into(), &labels);
        }
    }
}

/// Returns a status of the list, or one name for all others: whoever answers cannot make series.
fn status_label(status: StatusCode) -> &'static str {
    let listed = catalogue::STATUSES.iter().find(|listed| **listed == status.as_str());
    listed.copied().unwrap_or(OTHER)
}
