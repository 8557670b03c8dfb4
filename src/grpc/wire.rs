//! The server's own type of `voyage.gateway.v1.Embedding`.
//!
//! Packed `repeated float` and little-endian bytes are the same bytes on the wire, so the cached vector is sent as it is: no
//! float is encoded. A test compares this message with the one in `proto/`.

use std::fmt;

use bytes::Bytes;

use super::v1::{
    ChunkedDocument, ContentPart, CountTokensRequest, DocumentEmbeddings, EmbedChunksRequest,
    EmbedChunksResponse, EmbedMultimodalRequest, EmbedMultimodalResponse, EmbedRequest,
    EmbedResponse, Media, MultimodalInput, RerankRequest, RerankResponse, RerankResult,
    content_part,
};

/// One vector, with the field numbers of `proto/voyage/gateway/v1/common.proto`.
#[derive(Clone, PartialEq, ::prost::Message)]
#[prost(skip_debug)]
pub struct Embedding {
    /// Position of the input in the request, from 0.
    #[prost(int32, tag = "1")]
    pub index: i32,
    /// FLOAT with VALUES: packed little-endian floats.
    #[prost(bytes = "bytes", tag = "2")]
    pub values: Bytes,
    /// The other dtypes with VALUES.
    #[prost(sint32, repeated, tag = "3")]
    pub int_values: Vec<i32>,
    /// BYTES.
    #[prost(bytes = "bytes", tag = "4")]
    pub data: Bytes,
    /// Where the vector came from.
    #[prost(enumeration = "super::v1::CacheStatus", tag = "5")]
    pub cache_status: i32,
    /// Voyage tokens of this input, when the count is exact.
    #[prost(int32, optional, tag = "6")]
    pub token_count: Option<i32>,
    /// Whether Voyage truncated the input, as the gateway's tokenizer knows.
    #[prost(bool, tag = "7")]
    pub truncated: bool,
}

/// Vectors are as confidential as texts: only the index is shown.
impl fmt::Debug for Embedding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Embedding").field("index", &self.index).finish_non_exhaustive()
    }
}

/// Shows how many items a message with texts or vectors has, and nothing of them.
macro_rules! debug_by_count {
    ($($message:ident { $field:ident }),* $(,)?) => {$(
        impl fmt::Debug for $message {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct(stringify!($message))
                    .field(stringify!($field), &self.$field.len())
                    .finish_non_exhaustive()
            }
        }
    )*};
}

debug_by_count! {
    CountTokensRequest { inputs },
    EmbedRequest { inputs },
    EmbedChunksRequest { documents },
    EmbedChunksResponse { documents },
    ChunkedDocument { chunks },
    DocumentEmbeddings { embeddings },
    EmbedMultimodalRequest { inputs },
    EmbedMultimodalResponse { embeddings },
    MultimodalInput { content },
    RerankRequest { documents },
    RerankResponse { results },
    RerankResult { document },
}

/// Shows the size only.
impl fmt::Debug for Media {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Media({} bytes)", self.data.len())
    }
}

/// Shows nothing.
impl fmt::Debug for ContentPart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ContentPart(…)")
    }
}

/// Shows nothing.
impl fmt::Debug for content_part::Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Part(…)")
    }
}

/// Shows the number of vectors, and the errors, which hold no text.
impl fmt::Debug for EmbedResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EmbedResponse")
            .field("embeddings", &self.embeddings.len())
            .field("errors", &self.errors)
            .finish_non_exhaustive()
    }
}

impl Embedding {
    /// Returns the floats of a FLOAT vector with VALUES.
    pub fn floats(&self) -> Vec<f32> {
        let (floats, _) = self.values.as_chunks::<4>();
        floats.iter().map(|float| f32::from_le_bytes(*float)).collect()
    }
}

#[cfg(test)]
mod tests;
