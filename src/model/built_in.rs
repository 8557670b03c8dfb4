//! The models that Voyage documents: docs.voyageai.com and mongodb.com/docs/voyageai, state of autumn 2026.

use super::{Dtype, Kind, Lifecycle, Model, TIER_1_RPM, TIER_1_TPM};

const MATRYOSHKA: &[u32] = &[1_024, 256, 512, 2_048];
const ALL: &[Dtype] = &[Dtype::Float, Dtype::Int8, Dtype::Uint8, Dtype::Binary, Dtype::Ubinary];
pub(super) const FLOAT: &[Dtype] = &[Dtype::Float];

/// The limits that most models have.
pub(super) const USUAL: Model = Model {
    name: "",
    kind: Kind::Text,
    dimensions: &[],
    dtypes: &[],
    context_tokens: 32_000,
    query_tokens: 0,
    max_inputs: 1_000,
    max_request_tokens: 120_000,
    rpm: TIER_1_RPM,
    tpm: TIER_1_TPM,
    price: 0.0,
    pixel_price: 0.0,
    lifecycle: Lifecycle::Active,
    retirement_date: "",
    replacement: "",
};

impl Model {
    const fn embedding(name: &'static str, dimensions: &'static [u32], price: f64) -> Self {
        // The Matryoshka models are also the ones trained for quantised output.
        let dtypes = if dimensions.len() > 1 { ALL } else { FLOAT };
        Self { name, dimensions, dtypes, price, ..USUAL }
    }

    const fn contextualized(name: &'static str, price: f64) -> Self {
        Self { kind: Kind::Contextualized, ..Self::embedding(name, MATRYOSHKA, price) }
    }

    const fn multimodal(name: &'static str, dimensions: &'static [u32]) -> Self {
        let model = Self::embedding(name, dimensions, 0.12);
        Self { kind: Kind::Multimodal, tpm: 2_000_000, pixel_price: 0.6, ..model }
            .request_tokens(320_000)
    }

    const fn reranker(name: &'static str, query_tokens: u32, pair_tokens: u32) -> Self {
        Self {
            name,
            kind: Kind::Rerank,
            context_tokens: pair_tokens,
            query_tokens,
            max_request_tokens: 600_000,
            tpm: 2_000_000,
            price: 0.05,
            ..USUAL
        }
    }

    /// A lighter reranker is cheaper, and has a higher rate limit.
    const fn light_reranker(name: &'static str, query_tokens: u32, pair_tokens: u32) -> Self {
        Self { price: 0.02, tpm: 4_000_000, ..Self::reranker(name, query_tokens, pair_tokens) }
    }

    const fn context(self, context_tokens: u32) -> Self {
        Self { context_tokens, ..self }
    }

    const fn request_tokens(self, max_request_tokens: u32) -> Self {
        Self { max_request_tokens, ..self }
    }

    const fn tpm(self, tpm: u64) -> Self {
        Self { tpm, ..self }
    }

    const fn legacy(self, replacement: &'static str) -> Self {
        Self { lifecycle: Lifecycle::Legacy, replacement, ..self }
    }
}

/// The models that Voyage documents, active ones first within their kind.
pub const CATALOGUE: &[Model] = &[
    Model::embedding("voyage-4-large", MATRYOSHKA, 0.12),
    Model::embedding("voyage-4", MATRYOSHKA, 0.06).request_tokens(320_000).tpm(8_000_000),
    Model::embedding("voyage-4-lite", MATRYOSHKA, 0.02).request_tokens(1_000_000).tpm(16_000_000),
    Model::embedding("voyage-code-4", MATRYOSHKA, 0.12).request_tokens(320_000).tpm(8_000_000),
    Model::embedding("voyage-3-large", MATRYOSHKA, 0.18).legacy("voyage-4-large"),
    Model::embedding("voyage-3.5", MATRYOSHKA, 0.06)
        .request_tokens(320_000)
        .tpm(8_000_000)
        .legacy("voyage-4"),
    Model::embedding("voyage-3.5-lite", MATRYOSHKA, 0.02)
        .request_tokens(1_000_000)
        .tpm(16_000_000)
        .legacy("voyage-4-lite"),
    Model::embedding("voyage-code-3", MATRYOSHKA, 0.18).legacy("voyage-code-4"),
    Model::embedding("voyage-finance-2", &[1_024], 0.12).legacy(""),
    Model::embedding("voyage-law-2", &[1_024], 0.12).context(16_000).legacy(""),
    Model::embedding("voyage-code-2", &[1_536], 0.12).context(16_000).legacy("voyage-code-4"),
    Model::embedding("voyage-3", &[1_024], 0.06).legacy(""),
    Model::embedding("voyage-3-lite", &[512], 0.02).legacy(""),
    Model::embedding("voyage-multilingual-2", &[1_024], 0.12).legacy(""),
    Model::embedding("voyage-large-2-instruct", &[1_024], 0.12).context(16_000).legacy(""),
    Model::embedding("voyage-large-2", &[1_536], 0.12).context(16_000).legacy(""),
    Model::embedding("voyage-2", &[1_024], 0.10).context(4_000).request_tokens(320_000).legacy(""),
    Model::embedding("voyage-02", &[1_024], 0.10).context(4_000).request_tokens(320_000).legacy(""),
    Model::embedding("voyage-lite-02-instruct", &[1_024], 0.10).context(4_000).legacy(""),
    Model::embedding("voyage-01", &[1_024], 0.10).context(4_000).legacy(""),
    Model::embedding("voyage-lite-01", &[1_024], 0.10).context(4_000).legacy(""),
    Model::embedding("voyage-lite-01-instruct", &[1_024], 0.10).context(4_000).legacy(""),
    Model::contextualized("voyage-context-4", 0.12),
    Model::contextualized("voyage-context-3", 0.18).legacy("voyage-context-4"),
    Model::multimodal("voyage-multimodal-3.5", MATRYOSHKA),
    Model::multimodal("voyage-multimodal-3", &[1_024]).legacy("voyage-multimodal-3.5"),
    Model::reranker("rerank-3", 8_000, 32_000),
    Model::light_reranker("rerank-3-lite", 8_000, 32_000),
    Model::reranker("rerank-2.5", 8_000, 32_000).legacy("rerank-3"),
    Model::light_reranker("rerank-2.5-lite", 8_000, 32_000).legacy("rerank-3-lite"),
    Model::reranker("rerank-2", 4_000, 16_000).legacy("rerank-3"),
    Model::light_reranker("rerank-2-lite", 2_000, 8_000).legacy("rerank-3-lite"),
    Model::reranker("rerank-1", 2_000, 8_000).request_tokens(300_000).legacy("rerank-3"),
    Model::light_reranker("rerank-lite-1", 1_000, 4_000)
        .request_tokens(300_000)
        .legacy("rerank-3-lite"),
];

/// Finds one of Voyage's models by its exact name, without the configuration.
pub fn find(name: &str) -> Option<&'static Model> {
    CATALOGUE.iter().find(|model| model.name == name)
}

/// Finds one of Voyage's models of a kind by its exact name, without the configuration.
pub fn find_kind(name: &str, kind: Kind) -> Option<&'static Model> {
    find(name).filter(|model| model.kind == kind)
}
