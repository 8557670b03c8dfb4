//! Inputs, the parameters of their answers, and the answers: the terms of every endpoint.
//!
//! A text is one input with one vector as its answer. Code between `grpc/convert` and `upstream/wire` reads neither.

use std::sync::Arc;

use bytes::Bytes;

use crate::model::{self, Dtype, Model};

/// The purpose of a text (Voyage's `input_type`).
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

/// The Voyage endpoint of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Endpoint {
    /// `POST /embeddings`.
    Embeddings,
}

impl Endpoint {
    /// Returns the path below `upstream.base_url`.
    pub const fn path(self) -> &'static str {
        match self {
            Self::Embeddings => "/embeddings",
        }
    }
}

/// The parameters of an answer, apart from the input. Inputs of an upstream call have equal parameters.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Parameters {
    /// The endpoint.
    pub endpoint: Endpoint,
    /// The model's name, never empty.
    pub model: Arc<str>,
    /// `None`: no retrieval prompt.
    pub input_type: Option<InputType>,
    /// The requested dimension; `None`: the model's default. `grpc/convert` replaces an explicit default by `None`, so
    /// that both share cache entries and calls.
    pub dimension: Option<u32>,
    /// The number type of the answer.
    pub dtype: Dtype,
    /// Whether over-long inputs are cut.
    pub truncation: bool,
}

impl Parameters {
    /// Returns the dimension of the answers: the requested one, or the model's default; `None`: unknown.
    pub fn expected_dimension(&self) -> Option<u32> {
        self.dimension.or_else(|| model::find(&self.model).and_then(Model::default_dimension))
    }
}

/// Memory of an input in flight besides its text, in bytes; measured with 800,000 inputs in flight.
const OVERHEAD: usize = 512;

/// One input.
#[derive(Clone, PartialEq, Eq)]
pub enum Input {
    /// A text, exactly as the caller sent it.
    Text(String),
}

impl Input {
    /// Returns the bytes that identify the input in the cache key, not normalised.
    pub fn identity(&self) -> &[u8] {
        match self {
            Self::Text(text) => text.as_bytes(),
        }
    }

    /// Returns the text whose tokens are counted.
    pub fn text(&self) -> &str {
        match self {
            Self::Text(text) => text,
        }
    }

    /// Returns the input's size in bytes.
    pub fn size(&self) -> usize {
        self.identity().len()
    }

    /// Returns the memory of the input in flight in bytes, overhead included.
    pub fn footprint(&self) -> usize {
        self.size() + OVERHEAD
    }
}

/// Shows the size only: no text reaches a log.
impl std::fmt::Debug for Input {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Input({} bytes)", self.size())
    }
}

/// A vector as little-endian bytes, as Voyage sent it.
///
/// The bytes are checked once (`upstream/wire`), and are then both the cached value and the bytes of the reply.
#[derive(Clone, PartialEq, Eq)]
pub struct Vector(Bytes);

impl Vector {
    /// Wraps checked bytes. The allocation should be exact, since the cache keeps it.
    pub fn new(bytes: Bytes) -> Self {
        Self(bytes)
    }

    /// Returns the bytes, which are shared and not copied.
    pub fn into_bytes(self) -> Bytes {
        self.0
    }

    /// Returns the bytes; cloning them copies nothing.
    pub fn bytes(&self) -> &Bytes {
        &self.0
    }
}

/// Shows the size only: vectors count as text.
impl std::fmt::Debug for Vector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Vector({} bytes)", self.0.len())
    }
}

/// The answer to one input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// One vector.
    Vector(Vector),
}

impl Answer {
    /// Returns the size of the answer's payload in bytes, as the cache weighs it.
    pub fn size(&self) -> usize {
        match self {
            Self::Vector(vector) => vector.bytes().len(),
        }
    }
}
