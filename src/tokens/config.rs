//! `[tokens]`: the models whose tokens are counted exactly.

use std::{collections::BTreeMap, path::PathBuf};

use serde::{Deserialize, Serialize};

use crate::check::Validation;

/// The requirement of a tokenizer on the binary.
pub(super) const NEEDS_FEATURE: &str = "needs a binary that is built with `--features tokenizers`";

/// `[tokens]`: token counts before Voyage reports them.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Config {
    /// The models whose tokens are counted exactly, by a binary that is built with `--features tokenizers`, as in the
    /// image. For other models they are estimated, and the estimate learns from the usage that Voyage reports.
    #[cfg_attr(test, schemars(example = super::tests::example()))]
    pub models: BTreeMap<String, ModelConfig>,
}

/// `[tokens.models."NAME"]`: the tokenizer of a model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct ModelConfig {
    /// The model's own `tokenizer.json`, which Voyage publishes on Hugging Face. It takes about eight times the file's
    /// size in memory.
    pub tokenizer: PathBuf,
}

impl Config {
    /// Validates the section's values; the files are read at the start of `serve`.
    pub fn validate(&self) -> Validation {
        self.models.iter().fold(Validation::new(), |validation, (model, config)| {
            let key = format!("models.{model:?}.tokenizer");
            validation
                .require(&key, !config.tokenizer.as_os_str().is_empty(), "must not be empty")
                .require(&key, cfg!(feature = "tokenizers"), NEEDS_FEATURE)
        })
    }
}
