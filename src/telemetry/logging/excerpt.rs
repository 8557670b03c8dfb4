//! Excerpts of peers' bytes for the log.

use std::fmt;

/// The length of an excerpt in bytes.
const SHOWN: usize = 100;

/// Displays the beginning of a peer's bytes: visible ASCII as it is, all else escaped, and `...` where it continues.
#[derive(Clone, Copy, Debug)]
pub struct Excerpt<'a>(pub &'a [u8]);

impl fmt::Display for Excerpt<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = &self.0[..self.0.len().min(SHOWN)];
        let more = if shown.len() < self.0.len() { "..." } else { "" };
        write!(f, "{}{more}", shown.escape_ascii())
    }
}

#[cfg(test)]
mod tests;
