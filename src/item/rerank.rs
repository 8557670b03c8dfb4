//! `POST /rerank`: the relevance of documents to a query. Each document is an input.

use std::sync::Arc;

use super::Encoder;

/// The parameters of `POST /rerank`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RerankParameters {
    /// The query, exactly as the caller sent it.
    pub query: Query,
    /// Whether over-long queries and documents are cut.
    pub truncation: bool,
}

impl RerankParameters {
    pub(super) fn encode(&self, encoder: &mut Encoder<impl FnMut(&[u8])>) {
        let Self { query, truncation } = self;
        encoder.bytes(query.text().as_bytes());
        encoder.tag((*truncation).into());
    }
}

/// A search query.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Query(Arc<str>);

impl Query {
    /// Takes a query.
    pub fn new(text: impl Into<Arc<str>>) -> Self {
        Self(text.into())
    }

    /// Returns the query's text.
    pub fn text(&self) -> &str {
        &self.0
    }
}

/// Shows the size only: no text reaches a log.
impl std::fmt::Debug for Query {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Query({} bytes)", self.0.len())
    }
}
