//! Voyage's JSON (docs.voyageai.com/reference), a file for each endpoint.
//!
//! Requests ask for base64, and the decoded bytes are kept: a float is parsed only when a server answers with JSON
//! numbers all the same. Unset fields of a request are left out: Voyage answers 400 to unknown fields.

mod chunks;
mod contents;
mod reply;
mod rerank;
mod texts;
mod vectors;

pub use contents::EncodingArgument;
pub(super) use reply::reported_usage;

use super::body::RequestBody;

use crate::{
    error::BadResponse,
    item::{Answer, EndpointParameters, Input, Parameters, Usage},
    model::MAX_DIMENSION,
};

/// A reply that was checked.
#[derive(Debug)]
pub(super) struct Decoded {
    /// One answer for each input, in the order of the inputs.
    pub(super) answers: Vec<Answer>,
    /// What Voyage bills; `None` when the reply has no usage.
    pub(super) usage: Option<Usage>,
}

/// Writes the body of a request; `None`: an input is not of the parameters' endpoint.
pub(super) fn encode(
    parameters: &Parameters,
    inputs: &[&Input],
    argument: EncodingArgument,
) -> Option<RequestBody> {
    let model = &*parameters.model;
    let json = match &parameters.of {
        EndpointParameters::Texts(of) => texts::encode(model, of, inputs),
        EndpointParameters::Chunks(of) => chunks::encode(model, of, inputs),
        EndpointParameters::Contents(of) => return contents::encode(model, of, argument, inputs),
        EndpointParameters::Pairs(of) => rerank::encode(model, of, inputs),
    };
    json.map(RequestBody::from)
}

/// Parses a reply to `inputs`.
pub(super) fn decode(
    parameters: &Parameters,
    inputs: &[&Input],
    body: &[u8],
) -> Result<Decoded, BadResponse> {
    match &parameters.of {
        EndpointParameters::Texts(_) | EndpointParameters::Contents(_) => {
            texts::decode(parameters, inputs.len(), body)
        }
        EndpointParameters::Chunks(_) => chunks::decode(parameters, inputs, body),
        EndpointParameters::Pairs(_) => rerank::decode(inputs.len(), body),
    }
}

/// Returns the largest size of a valid reply in bytes: JSON numbers with 17 digits, and some space.
pub(super) fn max_reply_bytes(parameters: &Parameters, inputs: &[&Input]) -> usize {
    const BYTES_A_NUMBER: usize = 26;
    let dimension = parameters.expected_dimension().unwrap_or(MAX_DIMENSION) as usize;
    let vector = dimension * BYTES_A_NUMBER + 256;
    let answers = inputs.iter().map(|input| match (&parameters.of, input) {
        (EndpointParameters::Chunks(of), Input::Chunks(chunks)) => {
            let texts = if of.auto_chunking.is_some() { chunks::MOST_TEXT } else { 0 };
            of.most_chunks(chunks).saturating_mul(vector).saturating_add(texts * chunks.bytes())
        }
        _ => vector,
    });
    answers.fold(1024 * 1024, usize::saturating_add)
}

#[cfg(test)]
mod tests;
