//! What travels down the corridor: inputs, the parameters that shape their answers, and the answers.
//!
//! Every endpoint is described in these terms. A text is one input with one vector as its answer;
//! nothing between `grpc/convert` and `upstream/wire` looks inside either.

use std::sync::Arc;

use bytes::Bytes;

use crate::model::{self, Dtype, Model};

/// What a text is for (Voyage's `input_type`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum InputType {
    /// A search query.
    Query,
    /// A text to be found.
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

/// The Voyage endpoint a request goes to.
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

/// Everything but the input that shapes an answer.
///
/// Two inputs may share an upstream call only when their parameters are equal.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Parameters {
    /// Where the call goes.
    pub endpoint: Endpoint,
    /// The model's name, never empty.
    pub model: Arc<str>,
    /// `None`: no retrieval prompt.
    pub input_type: Option<InputType>,
    /// The dimension that was asked for; `None`: the model's default. An explicit default becomes `None`
    /// in `grpc/convert`, so that both share cache entries and calls.
    pub dimension: Option<u32>,
    /// The number type of the answer.
    pub dtype: Dtype,
    /// Whether over-long inputs are cut.
    pub truncation: bool,
}

impl Parameters {
    /// Returns the dimension answers must have: the one asked for, else the listed default, else `None`.
    pub fn expected_dimension(&self) -> Option<u32> {
        self.dimension.or_else(|| model::find(&self.model).and_then(Model::default_dimension))
    }
}

/// What an input takes beside its text, in bytes: its flight, seat and places, measured at 800,000 in flight.
const OVERHEAD: usize = 512;

/// One thing to be embedded.
#[derive(Clone, PartialEq, Eq)]
pub enum Input {
    /// A text, exactly as the caller sent it.
    Text(String),
}

impl Input {
    /// Returns the bytes that identify the input; the cache key is made of them, never normalised.
    pub fn identity(&self) -> &[u8] {
        match self {
            Self::Text(text) => text.as_bytes(),
        }
    }

    /// Returns the text whose tokens are the input's.
    pub fn text(&self) -> &str {
        match self {
            Self::Text(text) => text,
        }
    }

    /// Returns the input's size in bytes.
    pub fn size(&self) -> usize {
        self.identity().len()
    }

    /// Returns the bytes the input takes while it is in flight, all that goes with it included.
    pub fn footprint(&self) -> usize {
        self.size() + OVERHEAD
    }
}

/// Says only how large the input is: no text ever reaches a log.
impl std::fmt::Debug for Input {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Input({} bytes)", self.size())
    }
}

/// A vector as little-endian bytes, just as Voyage sent it.
///
/// The bytes are checked once, where they enter (`upstream/wire`), and are then the cached value and the
/// bytes on the caller's wire.
#[derive(Clone, PartialEq, Eq)]
pub struct Vector(Bytes);

impl Vector {
    /// Wraps checked bytes. The allocation should be exact: it is what the cache keeps.
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

/// Says only how large the vector is: vectors count as text and never reach a log.
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
