//! Inputs, the parameters of their answers, and the answers: the terms of every endpoint.
//!
//! A text, a document of chunks, a multimodal content and a document to rerank are *inputs*: each has a cache key, a size
//! and one answer. Each endpoint has a file below; code between `grpc/convert` and `upstream/wire` does not know which
//! endpoint it serves.

mod answer;
mod chunks;
mod content;
mod encoding;
mod endpoint;
mod header;
mod rerank;
mod size;
mod vector;

use std::sync::Arc;

pub use answer::{Answer, Document, Vector};
pub use chunks::{AutoChunking, ChunkParameters, Chunks, DEFAULT_CHUNK_SIZE};
pub use content::{Content, ContentParameters, LinkedRequest, MediaFile, Part};
pub use encoding::Encoder;
pub use endpoint::Endpoint;
use header::MAX_INPUT_TOKENS;
pub use header::{HeaderError, MAX_IMAGE_PIXELS, MAX_MEDIA_BYTES, MediaHeader, MediaType};
pub use rerank::{Query, RerankParameters};
pub use size::{Media, Size, Usage};
pub use vector::{InputType, TextParameters, VectorParameters};

use crate::model::{Model, ModelName};

/// The parameters of an answer, apart from the input. Inputs of an upstream call have equal parameters.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Parameters {
    /// The model, with a name that is never empty.
    pub model: ModelName,
    /// Which inputs of these parameters may share a call; no part of the cache key.
    pub call_group: CallGroup,
    /// The parameters of the endpoint.
    pub of: EndpointParameters,
}

/// The parameters of one endpoint.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum EndpointParameters {
    /// `POST /embeddings`.
    Texts(TextParameters),
    /// `POST /contextualizedembeddings`.
    Chunks(ChunkParameters),
    /// `POST /multimodalembeddings`.
    Contents(ContentParameters),
    /// `POST /rerank`.
    Pairs(RerankParameters),
}

/// Which inputs of equal parameters may share an upstream call: those of the same group.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum CallGroup {
    /// All.
    #[default]
    Any,
    /// Inputs with media as bytes: one call may not mix them with URLs.
    InlineMedia,
    /// Inputs with media by URL, of one request only, since their pixels are unknown. The number identifies the request.
    LinkedMedia(u64),
}

impl Parameters {
    /// Returns parameters whose inputs may all share calls.
    pub fn new(model: impl Into<ModelName>, of: EndpointParameters) -> Self {
        Self { model: model.into(), call_group: CallGroup::Any, of }
    }

    /// Returns the parameters of texts.
    pub fn texts(model: impl Into<ModelName>, of: TextParameters) -> Self {
        Self::new(model, EndpointParameters::Texts(of))
    }

    /// Returns these parameters of texts after a change.
    #[cfg(test)]
    #[must_use]
    pub fn changed(&self, change: impl FnOnce(&mut TextParameters)) -> Self {
        let EndpointParameters::Texts(mut of) = self.of else { panic!("no texts: {self:?}") };
        change(&mut of);
        Self { of: EndpointParameters::Texts(of), ..self.clone() }
    }

    /// Returns the endpoint.
    pub const fn endpoint(&self) -> Endpoint {
        match self.of {
            EndpointParameters::Texts(_) => Endpoint::Embeddings,
            EndpointParameters::Chunks(_) => Endpoint::Contextualized,
            EndpointParameters::Contents(_) => Endpoint::Multimodal,
            EndpointParameters::Pairs(_) => Endpoint::Rerank,
        }
    }

    /// Returns the parameters of the vectors; `None` for rerankers.
    pub const fn vector(&self) -> Option<&VectorParameters> {
        match &self.of {
            EndpointParameters::Texts(TextParameters { vector, .. })
            | EndpointParameters::Chunks(ChunkParameters { vector, .. })
            | EndpointParameters::Contents(ContentParameters { vector, .. }) => Some(vector),
            EndpointParameters::Pairs(_) => None,
        }
    }

    /// Returns the dimension of the answers: the requested one, or the model's default; `None`: unknown, or no vectors.
    pub fn expected_dimension(&self) -> Option<u32> {
        let requested = self.vector()?.dimension;
        requested.or_else(|| self.model.listed().and_then(Model::default_dimension))
    }

    /// Returns the most tokens that one input can cost: the model's context if the provider cuts longer inputs.
    pub fn max_input_tokens(&self) -> Option<u64> {
        let truncates = match &self.of {
            EndpointParameters::Texts(TextParameters { truncation, .. })
            | EndpointParameters::Contents(ContentParameters { truncation, .. })
            | EndpointParameters::Pairs(RerankParameters { truncation, .. }) => *truncation,
            EndpointParameters::Chunks(_) => false,
        };
        let model = self.model.listed().filter(|_| truncates)?;
        Some(model.context_tokens.into())
    }

    /// Returns the most tokens of an input that the provider accepts; `None`: it cuts longer inputs, divides them, or its
    /// limit is unknown.
    pub fn refuses_beyond(&self) -> Option<u64> {
        let refuses = match &self.of {
            EndpointParameters::Texts(TextParameters { truncation, .. })
            | EndpointParameters::Contents(ContentParameters { truncation, .. })
            | EndpointParameters::Pairs(RerankParameters { truncation, .. }) => !truncation,
            EndpointParameters::Chunks(of) => of.auto_chunking.is_none(),
        };
        let model = self.model.listed().filter(|_| refuses)?;
        Some(model.context_tokens.into())
    }

    /// Returns the most tokens of a reranking's query that the provider accepts; `None`: it cuts longer queries, or its
    /// limit is unknown.
    pub fn refuses_query_beyond(&self) -> Option<u64> {
        let EndpointParameters::Pairs(RerankParameters { truncation: false, .. }) = self.of else {
            return None;
        };
        let model = self.model.listed().filter(|model| model.query_tokens > 0)?;
        Some(model.query_tokens.into())
    }

    /// Returns the text that counts for each input in addition to its own: the query of a reranking.
    pub fn shared_text(&self) -> Option<&str> {
        match &self.of {
            EndpointParameters::Pairs(of) => Some(of.query.text()),
            _ => None,
        }
    }

    /// Returns these parameters for the inputs of a group.
    pub fn in_group(self: &Arc<Self>, call_group: CallGroup) -> Arc<Self> {
        if self.call_group == call_group {
            return Arc::clone(self);
        }
        Arc::new(Self { call_group, ..Self::clone(self) })
    }

    /// Writes everything that shapes the answers, apart from the inputs, in an injective encoding.
    pub fn encode(&self, encoder: &mut Encoder<impl FnMut(&[u8])>) {
        let Self { model, call_group: _, of } = self;
        encoder.bytes(model.as_bytes());
        encoder.tag(self.endpoint() as u8);
        match of {
            EndpointParameters::Texts(parameters) => parameters.encode(encoder),
            EndpointParameters::Chunks(parameters) => parameters.encode(encoder),
            EndpointParameters::Contents(parameters) => parameters.encode(encoder),
            EndpointParameters::Pairs(parameters) => parameters.encode(encoder),
        }
    }
}

/// Memory of an input in flight besides its payload, in bytes; measured with 800,000 texts in flight.
const OVERHEAD: usize = 512;

/// Memory of a chunk besides its text, in bytes: a string and its allocation.
const CHUNK_OVERHEAD: usize = 64;

/// One input.
#[derive(Clone, PartialEq, Eq)]
pub enum Input {
    /// A text, exactly as the caller sent it.
    Text(String),
    /// A document of chunks.
    Chunks(Chunks),
    /// Texts, images and videos with one vector.
    Content(Arc<Content>),
    /// A document to rerank. Shared, since it may be part of the reply.
    Candidate(Arc<str>),
}

impl Input {
    /// Writes the input in an injective encoding, not normalised.
    pub fn encode(&self, encoder: &mut Encoder<impl FnMut(&[u8])>) {
        match self {
            Self::Text(text) => encoder.bytes(text.as_bytes()),
            Self::Chunks(chunks) => chunks.encode(encoder),
            Self::Content(content) => content.encode(encoder),
            Self::Candidate(document) => encoder.bytes(document.as_bytes()),
        }
    }

    /// Returns the texts whose tokens are counted.
    pub fn texts(&self) -> impl Iterator<Item = &str> {
        let (one, chunks, content) = match self {
            Self::Text(text) => (Some(text.as_str()), None, None),
            Self::Candidate(document) => (Some(&**document), None, None),
            Self::Chunks(chunks) => (None, Some(chunks), None),
            Self::Content(content) => (None, None, Some(content)),
        };
        let chunks = chunks.into_iter().flat_map(Chunks::texts).map(String::as_str);
        one.into_iter().chain(chunks).chain(content.into_iter().flat_map(|of| of.texts()))
    }

    /// Returns the pixels of the input, and their tokens.
    pub fn media(&self) -> Media {
        match self {
            Self::Content(content) => content.media(),
            Self::Text(_) | Self::Chunks(_) | Self::Candidate(_) => Media::NONE,
        }
    }

    /// Returns which inputs of the same parameters may share a call with this one.
    pub fn call_group(&self) -> CallGroup {
        match self {
            Self::Content(content) => content.group(),
            Self::Text(_) | Self::Chunks(_) | Self::Candidate(_) => CallGroup::Any,
        }
    }

    /// Returns the number of chunks: those of a document, otherwise one.
    pub const fn chunks(&self) -> usize {
        match self {
            Self::Text(_) | Self::Content(_) | Self::Candidate(_) => 1,
            Self::Chunks(chunks) => chunks.len(),
        }
    }

    /// Returns the input's size in bytes.
    pub fn bytes(&self) -> usize {
        match self {
            Self::Text(text) => text.len(),
            Self::Chunks(chunks) => chunks.bytes(),
            Self::Content(content) => content.bytes(),
            Self::Candidate(document) => document.len(),
        }
    }

    /// Returns the memory of the input in flight in bytes, overhead included.
    pub fn footprint(&self) -> usize {
        OVERHEAD
            + match self {
                Self::Text(_) | Self::Candidate(_) => self.bytes(),
                // The first chunk is in the overhead of the input.
                Self::Chunks(chunks) => chunks.bytes() + (chunks.len().max(1) - 1) * CHUNK_OVERHEAD,
                Self::Content(content) => content.footprint(),
            }
    }
}

/// Shows the size only: no text reaches a log.
impl std::fmt::Debug for Input {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Input({} bytes)", self.bytes())
    }
}

#[cfg(test)]
mod tests;
