//! The model catalogue, as Voyage documents it.
//!
//! Source: docs.voyageai.com and mongodb.com/docs/voyageai, state of autumn 2026. The catalogue only
//! saves a round trip for requests that cannot succeed; a name that is not listed is passed on, since
//! Voyage decides which models exist.

/// The kind of a model's input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Texts, each by itself (`/embeddings`).
    Text,
    /// Chunks, each in the context of its document (`/contextualizedembeddings`).
    Contextualized,
    /// Text, images and video, interleaved (`/multimodalembeddings`).
    Multimodal,
    /// A query and documents to order by it (`/rerank`).
    Rerank,
}

/// The number type of a vector's elements (Voyage's `output_dtype`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Dtype {
    /// 32-bit floats, unit length.
    #[default]
    Float,
    /// Signed bytes.
    Int8,
    /// Unsigned bytes.
    Uint8,
    /// Eight bits to a signed byte, most significant first, offset binary.
    Binary,
    /// Eight bits to an unsigned byte, most significant first.
    Ubinary,
}

impl Dtype {
    /// Returns Voyage's name of the type.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Float => "float",
            Self::Int8 => "int8",
            Self::Uint8 => "uint8",
            Self::Binary => "binary",
            Self::Ubinary => "ubinary",
        }
    }

    /// Returns the size of a vector of `dimension` elements in bytes.
    pub const fn vector_bytes(self, dimension: u32) -> usize {
        let dimension = dimension as usize;
        match self {
            Self::Float => dimension * 4,
            Self::Int8 | Self::Uint8 => dimension,
            Self::Binary | Self::Ubinary => dimension / 8,
        }
    }

    /// Returns the dimension of a vector of `bytes` bytes; `None` if no dimension has this size.
    pub fn dimension_of(self, bytes: usize) -> Option<u32> {
        let dimension = match self {
            Self::Float => bytes.is_multiple_of(4).then_some(bytes / 4)?,
            Self::Int8 | Self::Uint8 => bytes,
            Self::Binary | Self::Ubinary => bytes.checked_mul(8)?,
        };
        u32::try_from(dimension).ok()
    }
}

/// One model and its limits.
#[derive(Clone, Copy, Debug)]
pub struct Model {
    /// Voyage's name of it.
    pub name: &'static str,
    /// The kind of its input.
    pub kind: Kind,
    /// Output dimensions, the default first; empty for rerankers.
    pub dimensions: &'static [u32],
    /// Output types.
    pub dtypes: &'static [Dtype],
    /// Maximum of tokens in an input.
    pub context_tokens: u32,
    /// Maximum of inputs in a request.
    pub max_inputs: u32,
    /// Maximum of tokens in a request, after truncation.
    pub max_request_tokens: u32,
    /// Requests a minute of an account in tier 1; tier 3, the highest, has three times as many.
    pub rpm: u32,
    /// Tokens a minute of an account in tier 1; tier 3 has three times as many.
    pub tpm: u64,
    /// US dollars for a million tokens, as docs.voyageai.com/docs/pricing lists them (state of autumn 2026). Free first
    /// tokens and discounts of batch jobs are not in it.
    pub price: f64,
    /// US dollars for a billion pixels.
    pub pixel_price: f64,
}

/// Maximum of inputs in an upstream request, for every model and endpoint.
pub const MAX_UPSTREAM_INPUTS: usize = 1_000;

/// The largest dimension of any model; assumed of unlisted models.
pub const MAX_DIMENSION: u32 = 2_048;

/// Requests a minute in tier 1, for every model; assumed of unlisted models.
pub const TIER_1_RPM: u32 = 2_000;

/// Tokens a minute in tier 1 of most models; assumed of unlisted models.
pub const TIER_1_TPM: u64 = 3_000_000;

const MATRYOSHKA: &[u32] = &[1_024, 256, 512, 2_048];
const ALL: &[Dtype] = &[Dtype::Float, Dtype::Int8, Dtype::Uint8, Dtype::Binary, Dtype::Ubinary];
const FLOAT: &[Dtype] = &[Dtype::Float];

impl Model {
    /// Returns the dimension of vectors without a requested one; `None` for rerankers.
    pub fn default_dimension(&self) -> Option<u32> {
        self.dimensions.first().copied()
    }

    /// Returns the price of tokens and pixels in US dollars.
    #[expect(clippy::cast_precision_loss, reason = "nothing depends on the last digits")]
    pub fn cost(&self, tokens: u64, pixels: u64) -> f64 {
        tokens as f64 * self.price / 1e6 + pixels as f64 * self.pixel_price / 1e9
    }

    const fn text(
        name: &'static str,
        dimensions: &'static [u32],
        context: u32,
        request: u32,
        price: f64,
    ) -> Self {
        // The Matryoshka models are also the ones trained for quantised output.
        let dtypes = if dimensions.len() > 1 { ALL } else { FLOAT };
        Self {
            name,
            kind: Kind::Text,
            dimensions,
            dtypes,
            context_tokens: context,
            max_inputs: 1_000,
            max_request_tokens: request,
            rpm: TIER_1_RPM,
            tpm: TIER_1_TPM,
            price,
            pixel_price: 0.0,
        }
    }

    const fn with_tpm(mut self, tpm: u64) -> Self {
        self.tpm = tpm;
        self
    }

    const fn multimodal(mut self) -> Self {
        self.pixel_price = 0.6;
        self.of_kind(Kind::Multimodal)
    }

    const fn of_kind(mut self, kind: Kind) -> Self {
        self.kind = kind;
        self
    }

    const fn reranker(name: &'static str, pair_tokens: u32, request: u32, price: f64) -> Self {
        Self {
            name,
            kind: Kind::Rerank,
            dimensions: &[],
            dtypes: &[],
            context_tokens: pair_tokens,
            max_inputs: 1_000,
            max_request_tokens: request,
            rpm: TIER_1_RPM,
            tpm: 2_000_000,
            price,
            pixel_price: 0.0,
        }
    }
}

/// Every model the gateway knows, active ones first within their kind.
pub const CATALOGUE: &[Model] = &[
    Model::text("voyage-4-large", MATRYOSHKA, 32_000, 120_000, 0.12),
    Model::text("voyage-4", MATRYOSHKA, 32_000, 320_000, 0.06).with_tpm(8_000_000),
    Model::text("voyage-4-lite", MATRYOSHKA, 32_000, 1_000_000, 0.02).with_tpm(16_000_000),
    Model::text("voyage-code-4", MATRYOSHKA, 32_000, 320_000, 0.12).with_tpm(8_000_000),
    Model::text("voyage-3-large", MATRYOSHKA, 32_000, 120_000, 0.18),
    Model::text("voyage-3.5", MATRYOSHKA, 32_000, 320_000, 0.06).with_tpm(8_000_000),
    Model::text("voyage-3.5-lite", MATRYOSHKA, 32_000, 1_000_000, 0.02).with_tpm(16_000_000),
    Model::text("voyage-code-3", MATRYOSHKA, 32_000, 120_000, 0.18),
    Model::text("voyage-finance-2", &[1_024], 32_000, 120_000, 0.12),
    Model::text("voyage-law-2", &[1_024], 16_000, 120_000, 0.12),
    Model::text("voyage-code-2", &[1_536], 16_000, 120_000, 0.12),
    Model::text("voyage-3", &[1_024], 32_000, 120_000, 0.06),
    Model::text("voyage-3-lite", &[512], 32_000, 120_000, 0.02),
    Model::text("voyage-multilingual-2", &[1_024], 32_000, 120_000, 0.12),
    Model::text("voyage-large-2-instruct", &[1_024], 16_000, 120_000, 0.12),
    Model::text("voyage-large-2", &[1_536], 16_000, 120_000, 0.12),
    Model::text("voyage-2", &[1_024], 4_000, 320_000, 0.10),
    Model::text("voyage-context-4", MATRYOSHKA, 32_000, 120_000, 0.12)
        .of_kind(Kind::Contextualized),
    Model::text("voyage-context-3", MATRYOSHKA, 32_000, 120_000, 0.18)
        .of_kind(Kind::Contextualized),
    Model::text("voyage-multimodal-3.5", MATRYOSHKA, 32_000, 320_000, 0.12)
        .multimodal()
        .with_tpm(2_000_000),
    Model::text("voyage-multimodal-3", &[1_024], 32_000, 320_000, 0.12)
        .multimodal()
        .with_tpm(2_000_000),
    Model::reranker("rerank-3", 32_000, 600_000, 0.05),
    Model::reranker("rerank-3-lite", 32_000, 600_000, 0.02).with_tpm(4_000_000),
    Model::reranker("rerank-2.5", 32_000, 600_000, 0.05),
    Model::reranker("rerank-2.5-lite", 32_000, 600_000, 0.02).with_tpm(4_000_000),
    Model::reranker("rerank-2", 16_000, 600_000, 0.05),
    Model::reranker("rerank-2-lite", 8_000, 600_000, 0.02).with_tpm(4_000_000),
];

/// Finds a model by its exact name.
pub fn find(name: &str) -> Option<&'static Model> {
    CATALOGUE.iter().find(|model| model.name == name)
}

/// Finds a model of one kind by its exact name.
pub fn find_kind(name: &str, kind: Kind) -> Option<&'static Model> {
    find(name).filter(|model| model.kind == kind)
}
