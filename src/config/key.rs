//! Where the API key comes from: the environment, or a file that the environment or the configuration names.

use super::{Config, Environment};
use crate::{
    secret::Secret,
    upstream::{IS_NO_PATH, KeySources, looks_like_a_key},
};

const KEY: &str = "VOYAGE_API_KEY";
const KEY_FILE: &str = "VOYAGE_API_KEY_FILE";

/// Why it is not known which API key to use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// Two keys, and no way to tell which is meant.
    #[error("{KEY} and {KEY_FILE} are both set; unset one of them")]
    Both,
    /// One key from the environment, and others from the configuration.
    #[error(
        "{0} is set and so are upstream.keys, which would leave it unused: unset {0}, or put its key into a file of \
         [[upstream.keys]]"
    )]
    BesideConfigured(&'static str),
    /// No key.
    #[error(
        "there is no API key: set {KEY}, or {KEY_FILE} to the path of a file that holds it, or name files in \
         [[upstream.keys]]"
    )]
    Missing,
    /// A key where its path belongs.
    #[error("{KEY_FILE} {IS_NO_PATH}")]
    NoPath,
    /// A variable that is no text.
    #[error("{0} is not UTF-8")]
    NonUtf8(&'static str),
}

/// Returns where the API keys come from: `upstream.keys`, or else what `VOYAGE_API_KEY` holds or the file that
/// `VOYAGE_API_KEY_FILE` names. Exactly one of the three must be there. No file is read yet.
pub fn api_keys(config: &Config, environment: &Environment) -> Result<KeySources, KeyError> {
    let is_non_utf8 = |name: &&str| environment.non_utf8().iter().any(|non_utf8| non_utf8 == name);
    if let Some(name) = [KEY, KEY_FILE].into_iter().find(is_non_utf8) {
        return Err(KeyError::NonUtf8(name));
    }
    let configured = !config.upstream.keys.is_empty();
    match (environment.get(KEY), environment.get(KEY_FILE)) {
        (Some(_), _) if configured => Err(KeyError::BesideConfigured(KEY)),
        (None, Some(_)) if configured => Err(KeyError::BesideConfigured(KEY_FILE)),
        (None, None) if configured => Ok(KeySources::configured(&config.upstream.keys)),
        (Some(_), Some(_)) => Err(KeyError::Both),
        (None, None) => Err(KeyError::Missing),
        (Some(key), None) => Ok(KeySources::given(KEY, Secret::new(key))),
        (None, Some(path)) if looks_like_a_key(path) => Err(KeyError::NoPath),
        (None, Some(path)) => Ok(KeySources::file(KEY_FILE, path)),
    }
}
