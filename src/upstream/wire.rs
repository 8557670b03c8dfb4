//! Voyage's JSON, exactly as on the wire (`POST /v1/embeddings`, docs.voyageai.com/reference).
//!
//! Vectors are asked for in base64 and kept as the bytes they decode to: no float is parsed unless a server
//! answers with JSON numbers although it was asked for base64.

use std::{borrow::Cow, collections::HashMap};

use bytes::Bytes;
use serde::{
    Deserialize, Deserializer, Serialize,
    de::{SeqAccess, Visitor},
};
use serde_json::value::RawValue;

use crate::{
    embedding::{Answer, Endpoint, Input, Parameters, Vector},
    error::BadResponse,
    model::Dtype,
};

/// The body of a request. Unset fields are left out: Voyage answers 400 to fields it does not know.
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
    /// Left out for floats, which older models take for granted.
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

/// The part of a reply that matters; other fields may come and go.
#[derive(Deserialize)]
struct EmbeddingsReply<'a> {
    #[serde(borrow)]
    data: Vec<Item<'a>>,
    /// Any JSON, as it stands: no strange number may cost the vectors, which are paid for.
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

/// A vector as it came: base64 of the raw buffer, or a list of numbers.
enum Elements<'a> {
    Base64(Cow<'a, str>),
    Numbers(Vec<f64>),
}

/// Reads a reply to `count` inputs: answers in the order of the inputs, and the tokens billed.
pub(super) fn decode(
    parameters: &Parameters,
    count: usize,
    body: &[u8],
) -> Result<(Vec<Answer>, Option<u64>), BadResponse> {
    match parameters.endpoint {
        Endpoint::Embeddings => decode_embeddings(parameters, count, body),
    }
}

/// Reads no more of a reply than the tokens it reports.
pub(super) fn reported_tokens(body: &[u8]) -> Option<u64> {
    #[derive(Deserialize)]
    struct Report<'a> {
        #[serde(borrow)]
        usage: &'a RawValue,
    }
    let report: Report<'_> = serde_json::from_slice(body).ok()?;
    total_tokens(report.usage)
}

/// Reads the tokens out of a report; `None` when it does not say, or not in whole numbers.
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

impl<'de: 'a, 'a> Deserialize<'de> for Elements<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;

        impl<'de> Visitor<'de> for Either {
            type Value = Elements<'de>;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("base64 or a list of numbers")
            }

            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
                Ok(Elements::Base64(Cow::Borrowed(text)))
            }

            // A string with JSON escapes (`\/`) cannot be borrowed.
            fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
                Ok(Elements::Base64(Cow::Owned(text.to_owned())))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
                // No room ahead: a reply of a million empty lists must not take a million times that room.
                let mut numbers = Vec::new();
                while let Some(number) = list.next_element()? {
                    numbers.push(number);
                }
                Ok(Elements::Numbers(numbers))
            }
        }

        deserializer.deserialize_any(Either)
    }
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
