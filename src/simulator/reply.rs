//! The JSON of a successful reply, and its faults.

use bytes::Bytes;
use serde_json::{Value, json};

use super::{
    entries::{Accepted, Chunk, Entries, Pixels, Scored},
    fault::Fault,
};
use crate::model::Dtype;

/// The version of the division into chunks.
const CHUNKER_VERSION: &str = "1.0.0";

/// The most vectors of a reply, with any fault.
const MAX_VECTORS: usize = 10_000;

/// Returns the body of a 200.
pub(super) fn body(accepted: Accepted, fault: Option<&Fault>) -> Bytes {
    let Accepted { model, tokens, pixels, dtype, base64, entries } = accepted;
    let writer = Writer { dtype, base64: base64 && fault != Some(&Fault::FloatLists) };
    let mut reply = json!({
        "object": "list", "model": model.name, "usage": { "total_tokens": tokens },
    });
    if let Some(Pixels { text_tokens, images, videos }) = pixels {
        reply["usage"] = json!({
            "text_tokens": text_tokens, "image_pixels": images, "video_pixels": videos,
            "total_tokens": tokens,
        });
    }
    let mut data = match entries {
        Entries::Vectors(mut vectors) => {
            spoil_vectors(&mut vectors, dtype, fault);
            vectors
                .iter()
                .enumerate()
                .map(|(index, vector)| writer.embedding(index, vector))
                .collect()
        }
        Entries::Documents(documents) => {
            if documents.iter().flatten().any(|chunk| chunk.text.is_some()) {
                reply["chunker_version"] = json!(CHUNKER_VERSION);
            }
            documents_data(documents, writer, fault)
        }
        Entries::Scores(scored) => scores_data(scored, fault),
    };
    spoil_data(&mut data, fault);
    reply["data"] = data.into();
    match fault {
        Some(Fault::WrongType) => reply["data"] = json!(7),
        Some(Fault::NoUsage) => drop(reply.as_object_mut().map(|reply| reply.remove("usage"))),
        _ => {}
    }
    spoil_text(reply.to_string(), fault)
}

/// How vectors are written.
#[derive(Clone, Copy)]
struct Writer {
    dtype: Dtype,
    base64: bool,
}

impl Writer {
    fn embedding(self, index: usize, vector: &[u8]) -> Value {
        let embedding = if self.base64 {
            base64_simd::STANDARD.encode_to_string(vector).into()
        } else {
            list(vector, self.dtype)
        };
        json!({ "object": "embedding", "embedding": embedding, "index": index })
    }
}

/// Returns the documents of a reply. A fault of a vector concerns the last document.
fn documents_data(
    mut documents: Vec<Vec<Chunk>>,
    writer: Writer,
    fault: Option<&Fault>,
) -> Vec<Value> {
    if let Some(last) = documents.last_mut() {
        let texts: Vec<_> = last.iter_mut().map(|chunk| chunk.text.take()).collect();
        let mut vectors: Vec<_> = last.drain(..).map(|chunk| chunk.vector).collect();
        spoil_vectors(&mut vectors, writer.dtype, fault);
        let texts = texts.into_iter().chain(std::iter::repeat(None));
        last.extend(vectors.into_iter().zip(texts).map(|(vector, text)| Chunk { vector, text }));
    }
    let document = |(index, chunks): (usize, Vec<Chunk>)| {
        let chunk = |(index, Chunk { vector, text }): (usize, Chunk)| {
            let mut chunk = writer.embedding(index, &vector);
            if let Some(text) = text {
                chunk["text"] = text.into();
            }
            chunk
        };
        let mut data: Vec<_> = chunks.into_iter().enumerate().map(chunk).collect();
        spoil_data(&mut data, fault);
        json!({ "object": "list", "data": data, "index": index })
    };
    documents.into_iter().enumerate().map(document).collect()
}

/// Returns the scores of a reply, with the faults that vectors have.
fn scores_data(scored: Vec<Scored>, fault: Option<&Fault>) -> Vec<Value> {
    let score = |Scored { index, score, document }: Scored| {
        let mut entry = json!({ "relevance_score": score, "index": index });
        if let Some(document) = document {
            entry["document"] = document.into();
        }
        entry
    };
    let mut data: Vec<_> = scored.into_iter().map(score).collect();
    let count = data.len();
    let Some(last) = data.last_mut() else { return data };
    match fault {
        Some(Fault::WrongCount(delta)) => {
            let spare = last.clone();
            let delta = isize::try_from(*delta).unwrap_or_default();
            data.resize(count.saturating_add_signed(delta).min(MAX_VECTORS), spare);
        }
        Some(Fault::NotANumber | Fault::Infinite) => last["relevance_score"] = Value::Null,
        Some(Fault::WrongLength) => last["relevance_score"] = json!([0.5, 0.5]),
        Some(Fault::EmptyEmbedding) => last["relevance_score"] = json!(""),
        _ => {}
    }
    data
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
    let first = data.first().map(|first| first["index"].clone()).unwrap_or_default();
    let Some(last) = data.last_mut().and_then(Value::as_object_mut) else { return };
    match fault {
        Some(Fault::DuplicateIndex) => last["index"] = first,
        Some(Fault::IndexOutOfRange) => last["index"] = json!(count),
        Some(Fault::MissingIndex) => drop(last.remove("index")),
        Some(Fault::BadBase64) => {
            for field in ["embedding", "relevance_score"] {
                if let Some(value) = last.get_mut(field) {
                    *value = json!("!not base64!");
                }
            }
        }
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
