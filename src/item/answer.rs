//! Answers, as the cache keeps them.

use std::sync::Arc;

use bytes::Bytes;

/// The answer to one input.
#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    /// One vector.
    Vector(Vector),
    /// A vector for each chunk of a document.
    Document(Arc<Document>),
    /// The relevance of a document to a query.
    Score(f64),
}

impl Answer {
    /// Returns the size of the answer's payload in bytes, as the cache weighs it.
    pub fn bytes(&self) -> usize {
        match self {
            Self::Vector(vector) => vector.bytes().len(),
            Self::Document(document) => size_of::<Document>() + document.bytes(),
            Self::Score(_) => size_of::<f64>(),
        }
    }

    /// Marks a vector as that of an input which Voyage truncated. Other answers have no mark.
    #[must_use]
    pub fn of_truncated_input(self) -> Self {
        match self {
            Self::Vector(vector) => Self::Vector(Vector { is_truncated: true, ..vector }),
            other => other,
        }
    }
}

/// A vector as little-endian bytes, as Voyage sent it.
///
/// The bytes are checked once (`upstream/wire`), and are then both the cached value and the bytes of the reply.
#[derive(Clone, PartialEq, Eq)]
pub struct Vector {
    bytes: Bytes,
    /// Whether Voyage is known to have truncated the input. Kept with the vector, so that a hit counts no tokens.
    is_truncated: bool,
}

impl Vector {
    /// Wraps checked bytes. The allocation should be exact, since the cache keeps it.
    pub fn new(bytes: Bytes) -> Self {
        Self { bytes, is_truncated: false }
    }

    /// Returns the bytes, which are shared and not copied.
    pub fn into_bytes(self) -> Bytes {
        self.bytes
    }

    /// Returns the bytes; cloning them copies nothing.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// Returns whether the input is known to have more tokens than the model's context.
    pub const fn is_truncated(&self) -> bool {
        self.is_truncated
    }
}

/// Shows the size only: vectors count as text.
impl std::fmt::Debug for Vector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Vector({} bytes)", self.bytes.len())
    }
}

/// Memory of a vector of a document besides its bytes: the vector itself, its allocation, and its count of owners.
const VECTOR_OVERHEAD: usize = size_of::<Vector>() + 64;

/// The vectors of a document's chunks, in the order of the chunks.
#[derive(Clone, PartialEq, Eq)]
pub struct Document {
    /// One vector for each chunk.
    pub vectors: Vec<Vector>,
    /// The texts of the chunks, if Voyage divided the document; as many as vectors.
    pub texts: Option<Vec<String>>,
    /// Voyage's version of the division, if Voyage divided the document.
    pub chunker_version: Option<Arc<str>>,
}

impl Document {
    /// Returns the size of the vectors and texts in bytes.
    pub fn bytes(&self) -> usize {
        let vectors: usize =
            self.vectors.iter().map(|vector| VECTOR_OVERHEAD + vector.bytes().len()).sum();
        let strings = self.texts.iter().flatten().count() * size_of::<String>();
        vectors + strings + self.text_bytes()
    }

    /// Returns the size of the texts in bytes.
    pub fn text_bytes(&self) -> usize {
        self.texts.iter().flatten().map(String::len).sum()
    }
}

/// Shows sizes only.
impl std::fmt::Debug for Document {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Document({} chunks, {} bytes)", self.vectors.len(), self.bytes())
    }
}
