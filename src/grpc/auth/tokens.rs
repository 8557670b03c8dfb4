//! Hashes of bearer tokens: `auth.tokens_file`, and the lines that `hash-token` prints for it.

use std::{
    collections::{HashMap, hash_map::Entry},
    fmt,
    sync::Arc,
};

use sha2::{Digest as _, Sha256};

use super::bearer::MAX_TOKEN_BYTES;
use crate::caller::Caller;

/// Minimum number of characters in a token.
const MIN_CHARACTERS: usize = 32;

/// Minimum entropy of a token by the frequencies of its characters: 32 random hexadecimal digits have about 117 bits.
const MIN_BITS: f64 = 96.0;

/// Prefix of the hash in an entry.
const SCHEME: &str = "sha256:";

/// SHA-256 of a token.
///
/// A slow password hash protects secrets that can be guessed. Tokens that `hash-token` accepts cannot, and every call would
/// pay for it.
pub(super) type TokenHash = [u8; 32];

/// The callers of a tokens file.
#[derive(Default)]
pub(super) struct Tokens {
    /// No comparison in constant time: timing could only reveal hashes, and a hash does not reveal its token.
    names: HashMap<TokenHash, Arc<str>>,
}

impl Tokens {
    /// Parses a file. Errors have the number of the line, and never its text.
    pub(super) fn parse(content: &[u8]) -> Result<Self, String> {
        let mut names = HashMap::new();
        let mut lines = HashMap::new();
        for (number, line) in (1..).zip(content.split(|byte| *byte == b'\n')) {
            let line = line.split(|byte| *byte == b'#').next().unwrap_or_default().trim_ascii();
            if line.is_empty() {
                continue;
            }
            let (name, hash) = entry_in(line).map_err(|what| format!("line {number}: {what}"))?;
            match names.entry(hash) {
                Entry::Vacant(free) => {
                    free.insert(Arc::<str>::from(name));
                    lines.insert(hash, number);
                }
                Entry::Occupied(other) if **other.get() == *name => {}
                Entry::Occupied(_) => {
                    let first: u32 = lines.get(&hash).copied().unwrap_or_default();
                    return Err(format!(
                        "line {number}: the token of line {first} belongs to another name"
                    ));
                }
            }
        }
        // An empty file is probably half written.
        if names.is_empty() { Err("the file has no entry".to_owned()) } else { Ok(Self { names }) }
    }

    /// Returns the name of a token's caller.
    pub(super) fn name_of(&self, token: &str) -> Option<&Arc<str>> {
        self.names.get(&hash(token))
    }
}

/// Hashes a token.
pub(super) fn hash(token: &str) -> TokenHash {
    Sha256::digest(token).into()
}

/// Parses `NAME sha256:HEX` without comment and surrounding white space.
fn entry_in(line: &[u8]) -> Result<(&str, TokenHash), &'static str> {
    const FORM: &str = "expected NAME sha256:HEX, with 64 hexadecimal digits";
    let line = str::from_utf8(line).map_err(|_| FORM)?;
    let (name, hash) = line.split_once([' ', '\t']).ok_or(FORM)?;
    let digits = hash.trim_ascii_start().strip_prefix(SCHEME).ok_or(FORM)?;
    if !is_entry_name(name) {
        return Err(NAME_FORM);
    }
    let mut hash = TokenHash::default();
    hex::decode_to_slice(digits, &mut hash).map_err(|_| FORM)?;
    Ok((name, hash))
}

/// The form of a name in the file.
pub(super) const NAME_FORM: &str = "the name must be 1 to 256 visible ASCII characters without #, and not anonymous, default or abandoned";

/// Returns whether a name may be in the file.
fn is_entry_name(name: &str) -> bool {
    Caller::is_name(name) && !name.contains('#')
}

/// Why a token is not accepted; never contains it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoEntry {
    /// The name may not be in the file.
    #[error("{NAME_FORM}")]
    Name,
    /// Not valid in an HTTP header, or longer than the gateway accepts.
    #[error(
        "the token must be at most {MAX_TOKEN_BYTES} visible ASCII characters, without white space"
    )]
    Form,
    /// Too short to be secure.
    #[error("the token is too short: it must have at least {MIN_CHARACTERS} characters")]
    Short,
    /// Too little entropy.
    #[error("the token is too easy to guess: use random characters")]
    Regular,
}

/// Returns the line of a caller and its token for `auth.tokens_file`.
pub fn entry(name: &str, token: &str) -> Result<String, NoEntry> {
    if !is_entry_name(name) {
        return Err(NoEntry::Name);
    }
    let bytes = token.as_bytes();
    if bytes.len() > MAX_TOKEN_BYTES || !bytes.iter().all(u8::is_ascii_graphic) {
        return Err(NoEntry::Form);
    }
    if bytes.len() < MIN_CHARACTERS {
        return Err(NoEntry::Short);
    }
    if bits(bytes) < MIN_BITS || is_steady(bytes) || is_repeated(bytes) {
        return Err(NoEntry::Regular);
    }
    Ok(format!("{name} {SCHEME}{}", hex::encode(hash(token))))
}

/// Returns the Shannon entropy of a text by the frequencies of its bytes. It does not detect words.
#[expect(clippy::cast_precision_loss, reason = "a token has at most thousands of bytes")]
fn bits(text: &[u8]) -> f64 {
    let mut counts = [0_usize; 256];
    for byte in text {
        counts[usize::from(*byte)] += 1;
    }
    let length = text.len() as f64;
    let counts = counts.iter().filter(|count| **count > 0).map(|count| *count as f64);
    counts.map(|count| count * (length / count).log2()).sum()
}

/// Returns whether most bytes follow from the two before them, as in `abcdefgh`.
fn is_steady(text: &[u8]) -> bool {
    let step = |from: u8, to: u8| i16::from(to) - i16::from(from);
    let steady = text.windows(3).filter(|next| step(next[0], next[1]) == step(next[1], next[2]));
    steady.count() * 2 > text.len()
}

/// Returns whether a text is a repetition of a shorter one.
fn is_repeated(text: &[u8]) -> bool {
    (1..=text.len() / 2).any(|period| text[period..] == text[..text.len() - period])
}

/// Shows the number of entries only.
impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tokens").field("entries", &self.names.len()).finish()
    }
}

#[cfg(test)]
mod tests;
