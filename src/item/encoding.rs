//! An injective encoding of parameters and inputs, written in pieces, so that no copy of an input is made.

/// Writes fields one after another: fixed-width numbers, and bytes after their length.
#[derive(Debug)]
pub struct Encoder<W>(W);

impl<W: FnMut(&[u8])> Encoder<W> {
    /// Writes the pieces to `write`.
    pub const fn new(write: W) -> Self {
        Self(write)
    }

    /// Writes a string of bytes after its length.
    pub fn bytes(&mut self, bytes: &[u8]) {
        self.number(bytes.len() as u64);
        (self.0)(bytes);
    }

    /// Writes a number of fixed width.
    pub fn number(&mut self, number: u64) {
        (self.0)(&number.to_le_bytes());
    }

    /// Writes the number of a variant, or a flag.
    pub fn tag(&mut self, tag: u8) {
        (self.0)(&[tag]);
    }
}
