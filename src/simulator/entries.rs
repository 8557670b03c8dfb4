//! What a reply holds, before it is written.

use crate::model::{Dtype, Model};

/// A request that has been accepted and counted.
pub(super) struct Accepted {
    pub(super) model: &'static Model,
    pub(super) tokens: u64,
    /// Of multimodal models.
    pub(super) pixels: Option<Pixels>,
    pub(super) dtype: Dtype,
    /// Answer base64 instead of lists of numbers.
    pub(super) base64: bool,
    pub(super) entries: Entries,
}

/// The parts of a multimodal usage.
#[derive(Clone, Copy, Default)]
pub(super) struct Pixels {
    pub(super) text_tokens: u64,
    pub(super) images: u64,
    pub(super) videos: u64,
}

/// The entries of a reply.
pub(super) enum Entries {
    /// One vector for each input.
    Vectors(Vec<Vec<u8>>),
    /// The chunks of each document.
    Documents(Vec<Vec<Chunk>>),
    /// The pairs, the best first.
    Scores(Vec<Scored>),
}

/// A chunk of a document.
pub(super) struct Chunk {
    pub(super) vector: Vec<u8>,
    /// The chunk's text, if the provider divided the document.
    pub(super) text: Option<String>,
}

/// A document with its relevance.
pub(super) struct Scored {
    pub(super) index: usize,
    pub(super) score: f64,
    /// The document, if it was requested.
    pub(super) document: Option<String>,
}
