//! `POST /contextualizedembeddings`: documents of chunks, each chunk embedded in the context of its document.

use super::{Encoder, VectorParameters};

/// The parameters of `POST /contextualizedembeddings`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ChunkParameters {
    /// The parameters of the vectors.
    pub vector: VectorParameters,
    /// Voyage divides each document, which is one text; `None`: the caller has divided it.
    pub auto_chunking: Option<AutoChunking>,
}

/// How Voyage divides a document (`enable_auto_chunking`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct AutoChunking {
    /// The most tokens of a chunk; `None`: Voyage's default, 512.
    pub chunk_size: Option<u32>,
    /// The tokens that two neighbouring chunks share.
    pub chunk_overlap: u32,
}

impl ChunkParameters {
    /// Returns the most chunks that the answer to a document can have: Voyage makes at least one token of each.
    pub fn most_chunks(&self, document: &Chunks) -> usize {
        match self.auto_chunking {
            None => document.len(),
            // Each chunk has a new token, and each token a byte.
            Some(AutoChunking { chunk_size, chunk_overlap }) => {
                let size = chunk_size.unwrap_or(DEFAULT_CHUNK_SIZE);
                let new = size.saturating_sub(chunk_overlap).max(1) as usize;
                document.bytes().div_ceil(new) + 1
            }
        }
    }

    pub(super) fn encode(&self, encoder: &mut Encoder<impl FnMut(&[u8])>) {
        let Self { vector, auto_chunking } = self;
        vector.encode(encoder);
        encoder.tag(auto_chunking.is_some().into());
        if let Some(AutoChunking { chunk_size, chunk_overlap }) = auto_chunking {
            // No chunk has size 0, so it can stand for "the default".
            encoder.number(chunk_size.unwrap_or(0).into());
            encoder.number((*chunk_overlap).into());
        }
    }
}

/// Voyage's default of `chunk_size`, in tokens.
pub const DEFAULT_CHUNK_SIZE: u32 = 512;

/// The chunks of one document in their order, exactly as the caller sent them. A query, or a document that Voyage
/// divides, is one chunk.
#[derive(Clone, PartialEq, Eq)]
pub struct Chunks(Vec<String>);

/// Shows the size only.
impl std::fmt::Debug for Chunks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Chunks({} of {} bytes)", self.len(), self.bytes())
    }
}

impl Chunks {
    /// Takes the chunks of a document.
    pub const fn new(chunks: Vec<String>) -> Self {
        Self(chunks)
    }

    /// Returns the chunks.
    pub fn texts(&self) -> &[String] {
        &self.0
    }

    /// Returns the number of chunks.
    pub const fn len(&self) -> usize {
        self.0.len()
    }

    /// Returns whether there are no chunks.
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the size of the chunks in bytes.
    pub fn bytes(&self) -> usize {
        self.0.iter().map(String::len).sum()
    }

    pub(super) fn encode(&self, encoder: &mut Encoder<impl FnMut(&[u8])>) {
        encoder.number(self.0.len() as u64);
        for chunk in &self.0 {
            encoder.bytes(chunk.as_bytes());
        }
    }
}
