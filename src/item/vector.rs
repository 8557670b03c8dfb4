//! The parameters of vectors, and those of `POST /embeddings`.

use super::Encoder;
use crate::model::Dtype;

/// The purpose of an input (Voyage's `input_type`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum InputType {
    /// A search query.
    Query,
    /// A document to search.
    Document,
}

impl InputType {
    /// Returns Voyage's name of the type.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Query => "query",
            Self::Document => "document",
        }
    }
}

/// The parameters of vectors, for every endpoint that returns vectors.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct VectorParameters {
    /// `None`: no retrieval prompt.
    pub input_type: Option<InputType>,
    /// The requested dimension; `None`: the model's default. `grpc/convert` replaces an explicit default by `None`, so
    /// that both share cache entries and calls.
    pub dimension: Option<u32>,
    /// The number type of the answer.
    pub dtype: Dtype,
}

impl VectorParameters {
    pub(super) fn encode(&self, encoder: &mut Encoder<impl FnMut(&[u8])>) {
        // Every field by name: a new parameter must become part of the key before this compiles.
        let Self { input_type, dimension, dtype } = self;
        encoder.tag(match input_type {
            None => 0,
            Some(InputType::Query) => 1,
            Some(InputType::Document) => 2,
        });
        // No model has dimension 0, so it can stand for "the default".
        encoder.number(dimension.unwrap_or(0).into());
        encoder.tag(match dtype {
            Dtype::Float => 0,
            Dtype::Int8 => 1,
            Dtype::Uint8 => 2,
            Dtype::Binary => 3,
            Dtype::Ubinary => 4,
        });
    }
}

/// The parameters of `POST /embeddings`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TextParameters {
    /// The parameters of the vectors.
    pub vector: VectorParameters,
    /// Whether over-long texts are cut.
    pub truncation: bool,
}

/// The provider's defaults.
impl Default for TextParameters {
    fn default() -> Self {
        Self { vector: VectorParameters::default(), truncation: true }
    }
}

impl TextParameters {
    pub(super) fn encode(&self, encoder: &mut Encoder<impl FnMut(&[u8])>) {
        let Self { vector, truncation } = self;
        vector.encode(encoder);
        encoder.tag((*truncation).into());
    }
}
