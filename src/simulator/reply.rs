//! The JSON of a successful reply, and its faults.

use bytes::Bytes;
use serde_json::{Value, json};

use super::{fault::Fault, provider::Accepted, vectors::vector};
use crate::model::Dtype;

/// The most vectors of a reply, with any fault.
const MAX_VECTORS: usize = 10_000;

/// Returns the body of a 200.
pub(super) fn body(accepted: &Accepted<'_>, fault: Option<&Fault>) -> Bytes {
    let Accepted { parameters, texts, tokens } = accepted;
    let dtype = parameters.shape.dtype;
    let mut vectors: Vec<_> = texts.iter().map(|text| vector(text, &parameters.shape)).collect();
    spoil_vectors(&mut vectors, dtype, fault);

    let base64 = parameters.base64 && fault != Some(&Fault::FloatLists);
    let mut data: Vec<_> = vectors
        .iter()
        .enumerate()
        .map(|(index, vector)| {
            let embedding = if base64 {
                base64_simd::STANDARD.encode_to_string(vector).into()
            } else {
                list(vector, dtype)
            };
            json!({ "object": "embedding", "embedding": embedding, "index": index })
        })
        .collect();
    spoil_data(&mut data, fault);

    let mut reply = json!({
        "object": "list", "data": data, "model": parameters.model.name, "usage": { "total_tokens": tokens },
    });
    match fault {
        Some(Fault::WrongType) => reply["data"] = json!(7),
        Some(Fault::NoUsage) => drop(reply.as_object_mut().map(|reply| reply.remove("usage"))),
        _ => {}
    }
    spoil_text(reply.to_string(), fault)
}

/// Returns a vector as the JSON list of its numbers.
fn list(vector: &[u8], dtype: Dtype) -> Value {
    match dtype {
        Dtype::Float => vector
            .as_chunks()
            .0
            .iter()
            .map(|bytes| Value::from(f32::from_le_bytes(*bytes)))
            .collect(),
        Dtype::Int8 | Dtype::Binary => {
            vector.iter().map(|byte| Value::from(byte.cast_signed())).collect()
        }
        Dtype::Uint8 | Dtype::Ubinary => vector.iter().map(|byte| Value::from(*byte)).collect(),
    }
}

fn spoil_vectors(vectors: &mut Vec<Vec<u8>>, dtype: Dtype, fault: Option<&Fault>) {
    let Some(last) = vectors.last_mut() else { return };
    match fault {
        Some(Fault::WrongCount(delta)) => {
            let spare = last.clone();
            let delta = isize::try_from(*delta).unwrap_or_default();
            let count = vectors.len().saturating_add_signed(delta).min(MAX_VECTORS);
            vectors.resize(count, spare);
        }
        Some(Fault::WrongLength) => {
            last.truncate(last.len() - if dtype == Dtype::Float { 4 } else { 1 });
        }
        Some(Fault::NotANumber) => overwrite(last, dtype, f32::NAN),
        Some(Fault::Infinite) => overwrite(last, dtype, f32::INFINITY),
        Some(Fault::EmptyEmbedding) => last.clear(),
        _ => {}
    }
}

/// Overwrites the first element of a float vector.
fn overwrite(vector: &mut [u8], dtype: Dtype, value: f32) {
    if dtype == Dtype::Float
        && let Some(first) = vector.first_chunk_mut()
    {
        *first = value.to_le_bytes();
    }
}

fn spoil_data(data: &mut [Value], fault: Option<&Fault>) {
    let count = data.len();
    if fault == Some(&Fault::ShuffledIndex) {
        data.reverse();
    }
    let Some(last) = data.last_mut().and_then(Value::as_object_mut) else { return };
    match fault {
        Some(Fault::DuplicateIndex) => last["index"] = json!(0),
        Some(Fault::IndexOutOfRange) => last["index"] = json!(count),
        Some(Fault::MissingIndex) => drop(last.remove("index")),
        Some(Fault::BadBase64) => last["embedding"] = json!("!not base64!"),
        _ => {}
    }
}

fn spoil_text(mut text: String, fault: Option<&Fault>) -> Bytes {
    match fault {
        Some(Fault::BadJson) => {
            text.truncate(text.len() / 2);
            text.into()
        }
        Some(Fault::HtmlBody) => {
            Bytes::from_static(b"<!DOCTYPE html><html><body><h1>Please stand by</h1></body></html>")
        }
        Some(Fault::InvalidUtf8) => {
            let inside_a_string = text.find("list").unwrap_or_default();
            let mut bytes = text.into_bytes();
            bytes[inside_a_string] = 0xFF;
            bytes.into()
        }
        _ => text.into(),
    }
}
