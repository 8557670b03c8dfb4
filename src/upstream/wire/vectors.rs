//! Vectors in replies, checked and turned into bytes.

use std::borrow::Cow;

use bytes::Bytes;
use serde::Deserialize;

use super::reply::{miscounted, wrong};
use crate::{
    error::BadResponse,
    item::{Parameters, Vector, VectorParameters},
    model::Dtype,
};

/// The parameters of vectors as a request states them.
#[derive(serde::Serialize)]
pub(super) struct VectorFields {
    #[serde(skip_serializing_if = "Option::is_none")]
    input_type: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    output_dimension: Option<u32>,
    /// Left out for floats: older models do not know the field.
    #[serde(skip_serializing_if = "Option::is_none")]
    output_dtype: Option<&'static str>,
}

impl VectorFields {
    pub(super) fn of(parameters: &VectorParameters) -> Self {
        let &VectorParameters { input_type, dimension, dtype } = parameters;
        Self {
            input_type: input_type.map(crate::item::InputType::as_str),
            output_dimension: dimension,
            output_dtype: (dtype != Dtype::Float).then(|| dtype.as_str()),
        }
    }
}

/// A vector as sent: base64 of the raw buffer, or a list of numbers.
#[derive(Deserialize)]
#[serde(untagged)]
pub(super) enum Elements<'a> {
    // A string with JSON escapes (`\/`) cannot be borrowed.
    Base64(#[serde(borrow)] Cow<'a, str>),
    Numbers(Vec<f64>),
}

/// Reads the vectors of one reply.
pub(super) struct VectorReader {
    dtype: Dtype,
    /// The length of every vector in bytes; `None`: the first one decides.
    length: Option<usize>,
}

impl VectorReader {
    /// An explicit or listed dimension is exact; for an unlisted model all vectors must be equally long.
    pub(super) fn new(parameters: &Parameters) -> Self {
        let dtype = parameters.vector().map(|vector| vector.dtype).unwrap_or_default();
        let dimension = parameters.expected_dimension();
        Self { dtype, length: dimension.map(|dimension| dtype.vector_bytes(dimension)) }
    }

    /// Returns a vector's bytes; an error: it is not finite, or has another length.
    pub(super) fn read(&mut self, elements: Elements<'_>) -> Result<Vector, BadResponse> {
        let bytes = elements.into_bytes(self.dtype)?;
        let expected = *self.length.get_or_insert(bytes.len());
        let is_whole = self.dtype.dimension_of(bytes.len()).is_some_and(|length| length > 0);
        if bytes.len() != expected || !is_whole {
            return Err(miscounted("the length of a vector in bytes", expected, bytes.len()));
        }
        check_finite(self.dtype, &bytes)?;
        Ok(Vector::new(Bytes::from(bytes)))
    }
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
