//! `POST /rerank`: the relevance of documents to a query. Each document is an input.

use std::{
    hash::{BuildHasher as _, Hash, Hasher, RandomState},
    sync::{Arc, LazyLock},
};

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

/// The keys of the hashes of queries, random at every start.
static HASHES: LazyLock<RandomState> = LazyLock::new(RandomState::new);

/// A search query, with its hash: lanes are looked up often, and a query may be long.
#[derive(Clone, PartialEq, Eq)]
pub struct Query {
    hash: u64,
    text: Arc<str>,
}

impl Query {
    /// Takes a query.
    pub fn new(text: impl Into<Arc<str>>) -> Self {
        let text = text.into();
        Self { hash: HASHES.hash_one(&text), text }
    }

    /// Returns the query's text.
    pub fn text(&self) -> &str {
        &self.text
    }
}

impl Hash for Query {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.hash);
    }
}

/// Shows the size only: no text reaches a log.
impl std::fmt::Debug for Query {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Query({} bytes)", self.text.len())
    }
}
