//! The process's environment, and the settings of it that are not in the tree.

use std::{collections::BTreeMap, ffi::OsString, fmt};

use super::Config;
use crate::{
    secret::Secret,
    telemetry::OtelEnvironment,
    upstream::{IS_NO_PATH, KeySources, looks_like_a_key},
};

const KEY: &str = "VOYAGE_API_KEY";
const KEY_FILE: &str = "VOYAGE_API_KEY_FILE";

/// The environment variables of the process. A variable that is not UTF-8 has no value; its name may contain U+FFFD.
#[derive(Clone, Default)]
pub struct Environment(pub(super) BTreeMap<String, Option<String>>);

impl Environment {
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name)?.as_deref()
    }
}

impl<N: Into<OsString>, V: Into<OsString>> FromIterator<(N, V)> for Environment {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(variables: I) -> Self {
        let variable = |(name, value): (N, V)| match name.into().into_string() {
            Ok(name) => (name, value.into().into_string().ok()),
            Err(name) => (name.to_string_lossy().into_owned(), None),
        };
        Self(variables.into_iter().map(variable).collect())
    }
}

/// Shows nothing: variables may be secrets.
impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Environment").finish_non_exhaustive()
    }
}

/// Returns the sources of the API keys: `upstream.keys`, `VOYAGE_API_KEY`, or the file of `VOYAGE_API_KEY_FILE`.
/// Reads no file.
///
/// # Errors
///
/// Not exactly one of them is set, or a variable is invalid.
pub fn api_keys(config: &Config, environment: &Environment) -> Result<KeySources, String> {
    for name in [KEY, KEY_FILE] {
        match environment.0.get(name) {
            Some(None) => return Err(format!("{name} is not UTF-8")),
            Some(Some(_)) if !config.upstream.keys.is_empty() => {
                return Err(format!(
                    "{name} is set and so are upstream.keys, which would leave it unused: unset {name}, or put its key \
                     into a file of [[upstream.keys]]"
                ));
            }
            _ => {}
        }
    }
    match (environment.get(KEY), environment.get(KEY_FILE)) {
        (Some(_), Some(_)) => Err(format!("{KEY} and {KEY_FILE} are both set; unset one of them")),
        (Some(key), None) => Ok(KeySources::given(KEY, Secret::new(key))),
        (None, Some(path)) if looks_like_a_key(path) => Err(format!("{KEY_FILE} {IS_NO_PATH}")),
        (None, Some(path)) => Ok(KeySources::file(KEY_FILE, path)),
        (None, None) if config.upstream.keys.is_empty() => Err(format!(
            "there is no API key: set {KEY}, or {KEY_FILE} to the path of a file that holds it, or name files in \
             [[upstream.keys]]"
        )),
        (None, None) => Ok(KeySources::configured(&config.upstream.keys)),
    }
}

/// Returns the settings of the `OTEL_` variables. One that is not UTF-8 is invalid.
pub fn otel(environment: &Environment) -> OtelEnvironment {
    // U+FFFD is not a valid value of any variable.
    let value = |text: &Option<String>| text.clone().unwrap_or_else(|| "\u{fffd}".to_owned());
    OtelEnvironment::read(|variable| environment.0.get(variable).map(value))
}
