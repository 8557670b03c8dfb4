//! `[upstream]`: the API that computes the embeddings.

use serde::{Deserialize, Serialize};

use super::{
    key::{ApiKey, KeyConfig},
    url,
    wire::EncodingArgument,
};
use crate::{
    check::Validation,
    model::{NAME_RULE, is_name},
    units::TimeSpan,
};

/// Voyage's own API.
const VOYAGE: &str = "https://api.voyageai.com/v1";

/// The same API at `MongoDB` Atlas, for keys that begin with `al-`.
const ATLAS: &str = "https://ai.mongodb.com/v1";

/// `[upstream]`: the API that computes the embeddings.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Config {
    /// The API's URL, without the endpoint's own path. Unset: `https://api.voyageai.com/v1`, or
    /// `https://ai.mongodb.com/v1` for an API key that begins with `al-`. Set it for a proxy or the simulator.
    /// Plaintext `http` to a host other than loopback is allowed and logged: the network can read the key.
    pub base_url: Option<String>,

    /// The longest time of one HTTP call, from connecting to the last byte.
    /// A call that was sent goes on for this time even if its callers left: its answer is paid for and cached.
    pub attempt_timeout: TimeSpan,

    /// The longest time of connecting, TLS included. Part of `attempt_timeout`.
    pub connect_timeout: TimeSpan,

    /// The model of texts (`Embed`) in requests that name none; 1 to 128 visible ASCII characters.
    pub default_model: String,

    /// The model of documents of chunks (`EmbedChunks`) in requests that name none.
    pub default_chunks_model: String,

    /// The model of texts, images and videos (`EmbedMultimodal`) in requests that name none.
    pub default_multimodal_model: String,

    /// The model of `Rerank` requests that name none.
    pub default_rerank_model: String,

    /// The argument that requests base64 of multimodal models: `encoding_format` (the official SDKs) or `output_encoding`
    /// (the API reference). If Voyage refuses it as unknown, the other one is used until the gateway ends.
    pub multimodal_encoding_argument: EncodingArgument,

    /// Several API keys, whose limits add up: one `[[upstream.keys]]` table each, at most 64. A call uses the key that has
    /// the most of its budget left. Unset: the one key of `VOYAGE_API_KEY` or `VOYAGE_API_KEY_FILE`, which must
    /// not be set together with these.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(test, schemars(example = super::key::tests::example()))]
    pub keys: Vec<KeyConfig>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            base_url: None,
            attempt_timeout: TimeSpan::from_secs(30),
            connect_timeout: TimeSpan::from_secs(2),
            default_model: "voyage-4".to_owned(),
            default_chunks_model: "voyage-context-4".to_owned(),
            default_multimodal_model: "voyage-multimodal-3.5".to_owned(),
            default_rerank_model: "rerank-3".to_owned(),
            multimodal_encoding_argument: EncodingArgument::default(),
            keys: Vec::new(),
        }
    }
}

impl Config {
    /// Returns the models of requests that name none.
    pub fn default_models(&self) -> [&str; 4] {
        [
            &self.default_model,
            &self.default_chunks_model,
            &self.default_multimodal_model,
            &self.default_rerank_model,
        ]
    }

    /// Returns the base URL for `key`, without a slash at the end.
    pub fn base_url_for(&self, key: &ApiKey) -> &str {
        let default = if key.is_atlas() { ATLAS } else { VOYAGE };
        self.base_url.as_deref().map_or(default, |url| url.trim_end_matches('/'))
    }

    /// Returns whether the API key would cross a network in plaintext.
    pub fn is_plaintext_abroad(&self) -> bool {
        self.base_url.as_deref().is_some_and(|url| {
            url.get(..7).is_some_and(|scheme| scheme.eq_ignore_ascii_case("http://"))
                && !url::is_loopback(url)
        })
    }

    /// Validates the section's values.
    pub fn validate(&self) -> Validation {
        let validation = Validation::new()
            .require(
                "base_url",
                self.base_url.as_deref().is_none_or(is_base_url),
                "must be an http or https URL with a host and without user info, query or fragment",
            )
            .require("attempt_timeout", !self.attempt_timeout.is_zero(), "must be longer than 0s")
            .require("connect_timeout", !self.connect_timeout.is_zero(), "must be longer than 0s")
            .require("default_model", is_name(&self.default_model), NAME_RULE)
            .require("default_chunks_model", is_name(&self.default_chunks_model), NAME_RULE)
            .require("default_multimodal_model", is_name(&self.default_multimodal_model), NAME_RULE)
            .require("default_rerank_model", is_name(&self.default_rerank_model), NAME_RULE);
        KeyConfig::validate(&self.keys, validation)
    }
}

/// Returns whether an endpoint's path can be appended to `text`.
fn is_base_url(text: &str) -> bool {
    url::parse(text).is_some_and(|url| url.query().is_none())
}
