//! `ExplainEmbed`: what an `Embed` would do.

use std::time::Duration;

use super::{CallTerms, ReplyShape, embed_request, reply};
use crate::{
    error::Error,
    grpc::{
        RequestModels, status,
        v1::{CacheSummary, ExplainEmbedRequest, ExplainEmbedResponse, InputExplanation},
    },
    item::Parameters,
    pipeline::{ExplainedInput, Explanation, Request, Source},
};

/// Where answers are cached.
const MEMORY: &str = "memory";

/// Converts the request to explain, as `Embed` does.
pub(in crate::grpc) fn explain_request(
    request: ExplainEmbedRequest,
    models: &RequestModels,
    terms: CallTerms,
) -> Result<(Request, ReplyShape), Error> {
    let Some(request) = request.request else {
        let description = "must be the request to explain, as Embed takes it";
        return Err(Error::violation("request", "EMPTY_MESSAGE", description));
    };
    embed_request(request, models, terms)
}

/// Builds the reply for a request that the pipeline has explained.
pub(in crate::grpc) fn explain_response(
    explanation: Explanation,
    parameters: &Parameters,
    reply_bytes: usize,
) -> ExplainEmbedResponse {
    let Explanation { inputs, tokens, estimated, calls, wait, refusal } = explanation;
    let count = |sources: &[Source]| {
        reply::to_i32(inputs.iter().filter(|input| sources.contains(&input.source)).count())
    };
    ExplainEmbedResponse {
        cache: Some(CacheSummary {
            hits: count(&[Source::Hit]),
            misses: count(&[Source::Miss, Source::Bypassed]),
            coalesced: count(&[Source::Coalesced]),
        }),
        model: parameters.model.to_string(),
        total_tokens: reply::to_i32(tokens),
        estimated,
        cost_usd: parameters.model.listed().map(|model| model.cost(tokens, 0)),
        upstream_calls: reply::to_i32(calls),
        reply_bytes: reply::to_i64(reply_bytes as u64),
        wait: duration(wait),
        refusal: refusal.map(|error| status::item_error(index_of(&error), &error)),
        inputs: (0..).zip(inputs).map(|(index, input)| explained(index, input)).collect(),
    }
}

/// Builds the reply for a request whose reply would be too large.
pub(in crate::grpc) fn too_large_response(predicted: u64, error: &Error) -> ExplainEmbedResponse {
    ExplainEmbedResponse {
        reply_bytes: reply::to_i64(predicted),
        refusal: Some(status::item_error(0, error)),
        ..ExplainEmbedResponse::default()
    }
}

fn explained(index: i32, input: ExplainedInput) -> InputExplanation {
    let ExplainedInput { source, tokens, error, age, in_flight } = input;
    InputExplanation {
        index,
        cache_status: reply::cache_status(source) as i32,
        tokens: reply::to_i32(tokens),
        error: error.map(|error| status::item_error(index, &error)),
        tier: age.map(|_| MEMORY.to_owned()).unwrap_or_default(),
        age: age.and_then(|age| duration(age.age)),
        expires_in: age.and_then(|age| duration(age.expires_in)),
        in_flight,
    }
}

/// Returns the position of the input that an error is about.
fn index_of(error: &Error) -> i32 {
    match error {
        Error::InputTooLong { index, .. } => reply::to_i32(*index),
        _ => 0,
    }
}

/// Returns a wait as proto has it; all that the gateway knows are short enough.
fn duration(duration: Duration) -> Option<prost_types::Duration> {
    duration.try_into().ok()
}
