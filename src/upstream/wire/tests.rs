//! Voyage's JSON as this room writes and reads it, beside the bodies in `tests/fixtures/voyage`.

mod chunks;
mod contents;
mod reply;
mod request;
mod rerank;
mod vectors;

use futures_util::FutureExt as _;
use http_body_util::BodyExt as _;
use serde_json::{Value, json};

use super::{
    reply::{Reply, wrong},
    vectors::Elements,
    *,
};
use crate::{
    item::{InputType, TextParameters, VectorParameters},
    model::Dtype,
};

const REPLY: &[u8] = include_bytes!("../../../tests/fixtures/voyage/embeddings_reply.json");

/// Parameters of an unlisted model, for which small vectors are valid.
fn parameters(dtype: Dtype, dimension: Option<u32>) -> Parameters {
    Parameters::texts(
        "model-of-tomorrow",
        TextParameters {
            vector: VectorParameters { dimension, dtype, ..VectorParameters::default() },
            truncation: true,
        },
    )
}

/// A reply with these vectors, in this order.
fn reply(vectors: &[(Value, Value)]) -> Value {
    let data: Vec<_> = vectors
        .iter()
        .map(|(index, embedding)| json!({"object": "embedding", "embedding": embedding, "index": index}))
        .collect();
    json!({"object": "list", "data": data, "model": "model-of-tomorrow", "usage": {"total_tokens": 8}})
}

/// Returns the body of a request as it is sent.
fn sent(parameters: &Parameters, inputs: &[&Input]) -> Value {
    sent_with(EncodingArgument::default(), parameters, inputs)
}

fn sent_with(argument: EncodingArgument, parameters: &Parameters, inputs: &[&Input]) -> Value {
    let body = encode(parameters, inputs, argument).unwrap();
    let bytes = body.collect().now_or_never().expect("no piece waits").unwrap().to_bytes();
    serde_json::from_slice(&bytes).unwrap()
}

fn base64(bytes: &[u8]) -> Value {
    base64_simd::STANDARD.encode_to_string(bytes).into()
}

fn little_endian(floats: &[f32]) -> Vec<u8> {
    floats.iter().flat_map(|float| float.to_le_bytes()).collect()
}

/// Decodes one vector of any length.
fn decode_one(dtype: Dtype, embedding: Value) -> Result<Vec<u8>, BadResponse> {
    let body = reply(&[(0.into(), embedding)]).to_string();
    let (answers, _) = decode_texts(&parameters(dtype, None), 1, body.as_bytes())?;
    Ok(bytes(answers).remove(0))
}

/// Decodes a reply to `count` texts: the answers and the tokens.
fn decode_texts(
    parameters: &Parameters,
    count: usize,
    body: &[u8],
) -> Result<(Vec<Answer>, Option<u64>), BadResponse> {
    let inputs = vec![Input::Text("a".to_owned()); count];
    let inputs: Vec<_> = inputs.iter().collect();
    let Decoded { answers, usage } = decode(parameters, &inputs, body)?;
    Ok((answers, usage.map(|usage| usage.tokens)))
}

fn bytes(answers: Vec<Answer>) -> Vec<Vec<u8>> {
    let vector = |answer: Answer| {
        let Answer::Vector(vector) = answer else { panic!("no vector: {answer:?}") };
        vector.into_bytes().to_vec()
    };
    answers.into_iter().map(vector).collect()
}
