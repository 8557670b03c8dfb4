//! Voyage's endpoints and their own bounds.

use super::Size;
use crate::model::Kind;

/// A Voyage endpoint. The numbers are part of cache keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Endpoint {
    /// `POST /embeddings`: texts.
    Embeddings = 0,
    /// `POST /contextualizedembeddings`: documents of chunks.
    Contextualized = 1,
    /// `POST /multimodalembeddings`: texts, images and videos.
    Multimodal = 2,
    /// `POST /rerank`: documents to order by a query.
    Rerank = 3,
}

impl Endpoint {
    /// Every endpoint.
    pub const ALL: [Self; 4] =
        [Self::Embeddings, Self::Contextualized, Self::Multimodal, Self::Rerank];

    /// Returns the path below `upstream.base_url`.
    pub const fn path(self) -> &'static str {
        match self {
            Self::Embeddings => "/embeddings",
            Self::Contextualized => "/contextualizedembeddings",
            Self::Multimodal => "/multimodalembeddings",
            Self::Rerank => "/rerank",
        }
    }

    /// Returns the name of the operation in traces, as OpenTelemetry's `gen_ai.operation.name` has it.
    pub const fn operation(self) -> &'static str {
        match self {
            Self::Embeddings | Self::Contextualized | Self::Multimodal => "embeddings",
            Self::Rerank => "rerank",
        }
    }

    /// Returns the kind of its models.
    pub const fn kind(self) -> Kind {
        match self {
            Self::Embeddings => Kind::Text,
            Self::Contextualized => Kind::Contextualized,
            Self::Multimodal => Kind::Multimodal,
            Self::Rerank => Kind::Rerank,
        }
    }

    /// Returns the name of the gateway's field with the inputs.
    pub const fn input_field(self) -> &'static str {
        match self {
            Self::Embeddings | Self::Multimodal => "inputs",
            Self::Contextualized | Self::Rerank => "documents",
        }
    }

    /// Returns the gateway's field that is sent as an argument of this name; `None`: callers do not set the argument.
    pub fn field_of(self, argument: &str) -> Option<&'static str> {
        const SAME: [&str; 5] =
            ["model", "input_type", "truncation", "output_dimension", "output_dtype"];

        match (self, argument) {
            (Self::Embeddings, "input")
            | (Self::Contextualized | Self::Multimodal, "inputs")
            | (Self::Rerank, "documents") => Some(self.input_field()),
            (Self::Rerank, "query") => Some("query"),
            (Self::Contextualized, "enable_auto_chunking") => Some("auto_chunking"),
            (Self::Contextualized, "chunk_size") => Some("auto_chunking.chunk_size"),
            (Self::Contextualized, "chunk_overlap") => Some("auto_chunking.chunk_overlap"),
            _ => SAME.into_iter().find(|same| *same == argument),
        }
    }

    /// Returns what a caller can do about an input that is too long.
    pub const fn remedy(self) -> &'static str {
        match self {
            Self::Embeddings | Self::Rerank => "shorten it or set truncation",
            Self::Multimodal => "leave out parts, use smaller images, or set truncation",
            Self::Contextualized => "shorten it, or set auto_chunking with one text per document",
        }
    }

    /// Returns the endpoint's own bounds of one call; a model's bounds of inputs and tokens apply as well.
    pub const fn bounds(self) -> Size {
        const TEXTS: Size =
            Size { inputs: 1_000, chunks: u64::MAX, tokens: u64::MAX, bytes: 16 << 20 };
        match self {
            Self::Embeddings | Self::Rerank => TEXTS,
            // One file of the largest size, and a smaller one. Base64 makes a third more of it.
            Self::Multimodal => Size { bytes: 24 << 20, ..TEXTS },
            Self::Contextualized => Size { chunks: 16_000, ..TEXTS },
        }
    }

    /// Returns whether the provider's "example at index n" is certainly the input at n. Of contextualized embeddings it
    /// is not known whether documents or chunks are counted.
    pub const fn names_inputs(self) -> bool {
        match self {
            Self::Embeddings | Self::Multimodal | Self::Rerank => true,
            Self::Contextualized => false,
        }
    }

    /// Returns whether a failed input fails its whole request, so that looking for it among the inputs of one request
    /// is of no use.
    pub const fn fails_as_whole(self) -> bool {
        match self {
            Self::Embeddings | Self::Contextualized | Self::Multimodal => false,
            Self::Rerank => true,
        }
    }
}
