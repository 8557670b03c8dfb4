//! A model's own tokenizer, if the cargo feature `tokenizers` is on.

use std::path::Path;

#[cfg(feature = "tokenizers")]
use crate::file;

/// The largest `tokenizer.json` in bytes: more than today's models need.
#[cfg(feature = "tokenizers")]
pub(super) const MAX_BYTES: u64 = 64 * 1024 * 1024;

/// Counts whole texts.
#[cfg(feature = "tokenizers")]
pub(super) struct Tokenizer(tokenizers::Tokenizer);

/// Cannot be loaded.
#[cfg(not(feature = "tokenizers"))]
pub(super) enum Tokenizer {}

#[cfg(feature = "tokenizers")]
impl Tokenizer {
    /// Loads a `tokenizer.json`. The error does not have the parser's message: it quotes the file, which may be another
    /// one by mistake.
    pub(super) fn load(path: &Path) -> Result<Self, String> {
        const MALFORMED: &str =
            "is not a Hugging Face tokenizer.json (an unresolved Git LFS pointer, perhaps)";
        let read = |content: Vec<u8>| -> tokenizers::Result<Self> {
            let mut tokenizer = tokenizers::Tokenizer::from_bytes(content)?;
            tokenizer.with_truncation(None)?.with_padding(None);
            Ok(Self(tokenizer))
        };
        let content =
            file::read_within(path, MAX_BYTES).map_err(|why| format!("cannot be read: {why}"))?;
        read(content).map_err(|_| MALFORMED.to_owned())
    }

    /// Returns the number of tokens, with special tokens as in the official SDK's `count_tokens`; the current models
    /// have none.
    pub(super) fn count(&self, text: &str) -> Option<usize> {
        Some(self.0.encode_fast(text, true).ok()?.len())
    }
}

#[cfg(not(feature = "tokenizers"))]
impl Tokenizer {
    pub(super) fn load(_: &Path) -> Result<Self, String> {
        Err(super::config::NEEDS_FEATURE.to_owned())
    }

    pub(super) fn count(&self, _: &str) -> Option<usize> {
        match *self {}
    }
}
