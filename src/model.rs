//! The models: their limits, prices and lifecycle.
//!
//! [`CATALOGUE`] has what Voyage documents, and `[models]` of the configuration overrides it, adds models and names
//! [aliases](Catalogue). Known models save a round trip for requests that cannot succeed; a name that is not listed is
//! sent on, since Voyage decides which models exist.

mod built_in;
mod catalogue;
mod config;

use serde::{Deserialize, Serialize};

pub use built_in::{CATALOGUE, find, find_kind};
pub use catalogue::{Catalogue, ModelName};
pub use config::{Config, ModelConfig};

/// The kind of a model's input.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(test, derive(schemars::JsonSchema))]
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

impl Kind {
    /// Returns the inputs of such models, as messages name them.
    pub const fn inputs(self) -> &'static str {
        match self {
            Self::Text => "texts",
            Self::Contextualized => "documents of chunks",
            Self::Multimodal => "texts, images and videos",
            Self::Rerank => "a query and documents",
        }
    }
}

/// The number type of a vector's elements (Voyage's `output_dtype`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(test, derive(schemars::JsonSchema))]
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

/// How long Voyage will serve a model.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub enum Lifecycle {
    /// A current model.
    #[default]
    Active,
    /// Served, but a newer model exists.
    Legacy,
    /// Served until its retirement date.
    Deprecated,
}

/// One model and its limits.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Model {
    /// Voyage's name of it.
    pub name: &'static str,
    /// The kind of its input.
    pub kind: Kind,
    /// Output dimensions, the default first; empty for rerankers.
    pub dimensions: &'static [u32],
    /// Output types; empty for rerankers.
    pub dtypes: &'static [Dtype],
    /// Maximum of tokens in an input; of a reranker: in a query and a document together.
    pub context_tokens: u32,
    /// Maximum of tokens in the query of a reranking; 0 for other models.
    pub query_tokens: u32,
    /// Maximum of inputs in a request.
    pub max_inputs: u32,
    /// Maximum of tokens in a request, after truncation.
    pub max_request_tokens: u32,
    /// Requests a minute of an account in tier 1; tier 3, the highest, has three times as many.
    pub rpm: u32,
    /// Tokens a minute of an account in tier 1; tier 3 has three times as many.
    pub tpm: u64,
    /// US dollars for a million tokens. Free first tokens and discounts of batch jobs are not in it.
    pub price: f64,
    /// US dollars for a billion pixels.
    pub pixel_price: f64,
    /// Whether Voyage advises to use it.
    pub lifecycle: Lifecycle,
    /// The date from which Voyage does not serve it, as `2027-01-31`; empty if none is announced.
    pub retirement_date: &'static str,
    /// An active model for the same purpose; empty if there is none, or if it is active itself.
    pub replacement: &'static str,
}

impl Model {
    /// Returns the dimension of vectors without a requested one; `None` for rerankers.
    pub fn default_dimension(&self) -> Option<u32> {
        self.dimensions.first().copied()
    }

    /// Returns whether its inputs may have videos: those of the first multimodal model may not.
    pub fn takes_videos(&self) -> bool {
        self.kind == Kind::Multimodal && self.name != "voyage-multimodal-3"
    }

    /// Returns the price of tokens and pixels in US dollars.
    #[expect(clippy::cast_precision_loss, reason = "nothing depends on the last digits")]
    pub fn cost(&self, tokens: u64, pixels: u64) -> f64 {
        tokens as f64 * self.price / 1e6 + pixels as f64 * self.pixel_price / 1e9
    }
}

/// Maximum of inputs in an upstream request, for every model and endpoint.
pub const MAX_UPSTREAM_INPUTS: usize = 1_000;

/// The largest dimension of Voyage's models; assumed of unlisted models.
pub const MAX_DIMENSION: u32 = 2_048;

/// Requests a minute in tier 1, for every model; assumed of unlisted models.
pub const TIER_1_RPM: u32 = 2_000;

/// Tokens a minute in tier 1 of most models; assumed of unlisted models.
pub const TIER_1_TPM: u64 = 3_000_000;

/// Maximum of a name in bytes: no model has a longer one, and error details have no room for it.
const MAX_NAME_BYTES: usize = 128;

/// The requirement of [`is_name`].
pub const NAME_RULE: &str = "must be 1 to 128 visible ASCII characters";

/// Returns whether a model may have this name. It is sent in a header.
pub fn is_name(name: &str) -> bool {
    (1..=MAX_NAME_BYTES).contains(&name.len()) && name.bytes().all(|byte| byte.is_ascii_graphic())
}

#[cfg(test)]
mod tests;
