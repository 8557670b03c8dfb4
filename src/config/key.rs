//! The API key: from the environment or a file it names, and from nowhere else.

use std::path::Path;

use super::Environment;
use crate::{reload, secret::Secret};

/// Why there is no API key. Names the variable or the file, never the key.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// Two keys, and no way to tell which is meant.
    #[error("VOYAGE_API_KEY and VOYAGE_API_KEY_FILE are both set; unset one of them")]
    Both,
    /// No key.
    #[error(
        "there is no API key: set VOYAGE_API_KEY, or VOYAGE_API_KEY_FILE to the path of a file that holds it"
    )]
    Missing,
    /// Nothing but white space.
    #[error("the API key in {0} is empty")]
    Empty(String),
    /// Something that is no key.
    #[error("the API key in {0} holds characters other than visible ASCII ones")]
    Malformed(String),
    /// The file is not there, not for us, or no small file.
    #[error("{0} cannot be read: {1}")]
    Unreadable(String, String),
    /// A variable that is no text.
    #[error("{0} is not UTF-8")]
    Garbled(&'static str),
}

/// Returns the API key that `VOYAGE_API_KEY` holds or `VOYAGE_API_KEY_FILE` points to, without the white
/// space around it: files and mounted secrets end in a newline.
pub fn api_key(environment: &Environment) -> Result<Secret, KeyError> {
    const KEY: &str = "VOYAGE_API_KEY";
    const FILE: &str = "VOYAGE_API_KEY_FILE";

    let garbled =
        [KEY, FILE].into_iter().find(|name| environment.garbled().iter().any(|g| g == name));
    if let Some(name) = garbled {
        return Err(KeyError::Garbled(name));
    }
    match (environment.get(KEY), environment.get(FILE)) {
        (Some(_), Some(_)) => Err(KeyError::Both),
        (None, None) => Err(KeyError::Missing),
        (Some(key), None) => check(key.as_bytes(), KEY.to_owned()),
        (None, Some(path)) => {
            let source = named(path);
            match reload::content(Path::new(path)) {
                Ok(content) => check(&content, source),
                Err(problem) => Err(KeyError::Unreadable(source, problem)),
            }
        }
    }
}

/// Names the file, unless somebody put the key itself where its path belongs.
fn named(path: &str) -> String {
    if path.starts_with("pa-") || path.starts_with("al-") {
        "the file that VOYAGE_API_KEY_FILE names".to_owned()
    } else {
        format!("{path} (VOYAGE_API_KEY_FILE)")
    }
}

/// Returns the key in `bytes`, which `source` gave.
fn check(bytes: &[u8], source: String) -> Result<Secret, KeyError> {
    let key = bytes.trim_ascii();
    if key.is_empty() {
        return Err(KeyError::Empty(source));
    }
    match str::from_utf8(key) {
        Ok(text) if key.iter().all(u8::is_ascii_graphic) => Ok(Secret::new(text)),
        _ => Err(KeyError::Malformed(source)),
    }
}
