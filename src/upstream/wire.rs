//! Voyage's JSON (`POST /v1/embeddings`, docs.voyageai.com/reference).
//!
//! Requests ask for base64, and the decoded bytes are kept: a float is parsed only when a server answers with JSON
//! numbers all the same.

use std::{borrow::Cow, collections::HashMap};

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::{
    embedding::{Answer, Endpoint, Input, Parameters, Vector},
    error::BadResponse,
    model::Dtype,
};

/// The body of a request. Unset fields are left out: Voyage answers 400 to unknown fields.
#[derive(Serialize)]
struct EmbeddingsRequest<'a> {
    input: Vec<&'a str>,
    model: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    input_type: Option<&'static str>,
    /// Always sent: leaving out a `false` would mean `true`.
    truncation: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    output_dimension: Option<u32>,
    /// Left out for floats: older models do not know the field.
    #[serde(skip_serializing_if = "Option::is_none")]
    output_dtype: Option<&'static str>,
    encoding_format: &'static str,
}

/// Writes the body of a request.
pub(super) fn encode(parameters: &Parameters, inputs: &[&Input]) -> serde_json::Result<Vec<u8>> {
    match parameters.endpoint {
        Endpoint::Embeddings => serde_json::to_vec(&EmbeddingsRequest {
            input: inputs
                .iter()
                .map(|input| match input {
                    Input::Text(text) => text.as_str(),
                })
                .collect(),
            model: &parameters.model,
            input_type: parameters.input_type.map(crate::embedding::InputType::as_str),
            truncation: parameters.truncation,
            output_dimension: parameters.dimension,
            output_dtype: (parameters.dtype != Dtype::Float).then(|| parameters.dtype.as_str()),
            encoding_format: "base64",
        }),
    }
}

/// The fields of a reply that are used.
#[derive(Deserialize)]
struct EmbeddingsReply<'a> {
    #[serde(borrow)]
    data: Vec<Item<'a>>,
    /// Any JSON: an invalid number must not lose the vectors, which are paid for.
    #[serde(borrow, default)]
    usage: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Item<'a> {
    #[serde(borrow)]
    embedding: Elements<'a>,
    #[serde(default)]
    index: Option<u64>,
}

/// A vector as sent: base64 of the raw buffer, or a list of numbers.
#[derive(Deserialize)]
#[serde(untagged)]
enum Elements<'a> {
    // A string with JSON escapes (`\/`) cannot be borrowed.
    Base64(#[serde(borrow)] Cow<'a, str>),
    Numbers(Vec<f64>),
}

/// Parses a reply to `count` inputs: answers in the order of the inputs, and the tokens billed.
pub(super) fn decode(
    parameters: &Parameters,
    count: usize,
    body: &[u8],
) -> Result<(Vec<Answer>, Option<u64>), BadResponse> {
    match parameters.endpoint {
        Endpoint::Embeddings => decode_embeddings(parameters, count, body),
    }
}

/// Parses only the tokens that a reply reports.
pub(super) fn reported_tokens(body: &[u8]) -> Option<u64> {
    #[derive(Deserialize)]
    struct Report<'a> {
        #[serde(borrow)]
        usage: &'a RawValue,
    }
    let report: Report<'_> = serde_json::from_slice(body).ok()?;
    total_tokens(report.usage)
}

/// Parses the tokens of a usage; `None` when there are none, or no whole number of them.
fn total_tokens(usage: &RawValue) -> Option<u64> {
    // A struct could be written as a list as well.
    let usage: HashMap<String, &RawValue> = serde_json::from_str(usage.get()).ok()?;
    usage.get("total_tokens")?.get().parse().ok()
}

fn decode_embeddings(
    parameters: &Parameters,
    count: usize,
    body: &[u8],
) -> Result<(Vec<Answer>, Option<u64>), BadResponse> {
    // From bytes, serde_json would not look into the strings it skips: JSON is UTF-8 throughout.
    let reply: EmbeddingsReply<'_> = str::from_utf8(body)
        .ok()
        .and_then(|body| serde_json::from_str(body).ok())
        .ok_or_else(|| wrong("the body is not the documented JSON"))?;
    if reply.data.len() != count {
        return Err(miscounted("the number of vectors", count, reply.data.len()));
    }

    // An explicit or listed dimension is exact; for an unlisted model all vectors must be equally long.
    let mut length =
        parameters.expected_dimension().map(|dimension| parameters.dtype.vector_bytes(dimension));
    let mut answers: Vec<Option<Answer>> = vec![None; count];
    for item in reply.data {
        let index = item.index.ok_or_else(|| wrong("a vector has no index"))?;
        let slot = usize::try_from(index)
            .ok()
            .and_then(|index| answers.get_mut(index))
            .ok_or_else(|| miscounted("an index is out of range", count, index))?;
        if slot.is_some() {
            return Err(miscounted("an index came twice", count, index));
        }
        let bytes = item.embedding.into_bytes(parameters.dtype)?;
        let expected = *length.get_or_insert(bytes.len());
        let is_whole = parameters.dtype.dimension_of(bytes.len()).is_some_and(|length| length > 0);
        if bytes.len() != expected || !is_whole {
            return Err(miscounted("the length of a vector in bytes", expected, bytes.len()));
        }
        check_finite(parameters.dtype, &bytes)?;
        *slot = Some(Answer::Vector(Vector::new(Bytes::from(bytes))));
    }
    let tokens = reply.usage.and_then(total_tokens);
    // `count` distinct indices below `count` fill every slot, so `flatten` loses nothing.
    Ok((answers.into_iter().flatten().collect(), tokens))
}

fn check_finite(dtype: Dtype, bytes: &[u8]) -> Result<(), BadResponse> {
    const EXPONENT: u32 = 0x7f80_0000;
    if dtype != Dtype::Float {
        return Ok(());
    }
    let (floats, _) = bytes.as_chunks::<4>();
    let finite = floats.iter().all(|float| u32::from_le_bytes(*float) & EXPONENT != EXPONENT);
    if finite { Ok(()) } else { Err(wrong("a vector holds NaN or an infinity")) }
}

impl Elements<'_> {
    fn into_bytes(self, dtype: Dtype) -> Result<Vec<u8>, BadResponse> {
        match self {
            Self::Base64(text) => base64_simd::STANDARD
                .decode_to_vec(text.as_bytes())
                .map_err(|_| wrong("a vector is not base64")),
            Self::Numbers(numbers) => {
                let mut bytes =
                    Vec::with_capacity(numbers.len() * if dtype == Dtype::Float { 4 } else { 1 });
                for number in numbers {
                    push(dtype, number, &mut bytes)?;
                }
                Ok(bytes)
            }
        }
    }
}

/// Appends one JSON number as an element of `dtype`.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "f32 is what the vector is made of, and the integers are range-checked just above the cast"
)]
fn push(dtype: Dtype, number: f64, bytes: &mut Vec<u8>) -> Result<(), BadResponse> {
    let integer_in = |range: std::ops::RangeInclusive<f64>| {
        if number.fract() == 0.0 && range.contains(&number) {
            Ok(number)
        } else {
            Err(wrong("a number of a vector is out of its dtype's range"))
        }
    };
    match dtype {
        Dtype::Float => bytes.extend_from_slice(&(number as f32).to_le_bytes()),
        Dtype::Int8 | Dtype::Binary => {
            bytes.push((integer_in(-128.0..=127.0)? as i8).cast_unsigned());
        }
        Dtype::Uint8 | Dtype::Ubinary => bytes.push(integer_in(0.0..=255.0)? as u8),
    }
    Ok(())
}

fn wrong(why: &'static str) -> BadResponse {
    BadResponse { why, expected: None, got: None }
}

fn miscounted(
    why: &'static str,
    expected: impl TryInto<u64>,
    got: impl TryInto<u64>,
) -> BadResponse {
    BadResponse { why, expected: expected.try_into().ok(), got: got.try_into().ok() }
}

#[cfg(test)]
mod tests;
