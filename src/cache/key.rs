//! Cache keys: a secret-prefixed SHA-256 over a canonical encoding of everything that shapes an answer.
//!
//! The encoding ([`Encoder`]) is injective, and the input is hashed unchanged. The secret prevents offline guesses of texts from their keys, and collisions made by callers.
//! SHA-256 is faster than BLAKE3 on short texts where the CPU has SHA instructions.

use std::hash::{Hash, Hasher};

use sha2::{Digest, Sha256};

use crate::item::{Encoder, Input, Parameters};

/// Raised whenever the encoding or the meaning of a cached answer changes.
const SCHEMA: u8 = 2;

/// The key of one input under one set of parameters.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key([u8; 32]);

impl Key {
    /// Returns a number from the key's bytes, uniform over all keys, to choose a shard.
    pub fn shard(&self) -> usize {
        usize::from(self.0[0])
    }
}

/// A quarter of a key is as good a hash as the whole, and cheaper.
impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write(&self.0[24..]);
    }
}

/// Shows nothing: logs must not hold keys.
impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Key(…)")
    }
}

/// Derives cache keys with one secret.
#[derive(Clone)]
pub struct KeyDeriver {
    secret: Sha256,
}

impl KeyDeriver {
    /// Uses a secret of 32 bytes or more.
    pub fn new(secret: &[u8]) -> Self {
        let mut state = Sha256::new();
        encoder(&mut state).bytes(secret);
        Self { secret: state }
    }

    /// Uses a random secret: keys are valid in this process only.
    pub fn random() -> Self {
        Self::new(&rand::random::<[u8; 32]>())
    }

    /// Hashes the part that all inputs of a request share. Different namespaces share no answers.
    pub fn prefix(&self, namespace: &str, parameters: &Parameters) -> KeyPrefix {
        let mut state = self.secret.clone();
        {
            let mut encoder = encoder(&mut state);
            encoder.tag(SCHEMA);
            encoder.bytes(namespace.as_bytes());
            parameters.encode(&mut encoder);
        }
        KeyPrefix(state)
    }
}

/// The hash state of everything but the input.
#[derive(Clone)]
pub struct KeyPrefix(Sha256);

impl KeyPrefix {
    /// Returns the key of one input.
    pub fn key(&self, input: &Input) -> Key {
        let mut state = self.0.clone();
        input.encode(&mut encoder(&mut state));
        Key(state.finalize().into())
    }
}

fn encoder(state: &mut Sha256) -> Encoder<impl FnMut(&[u8])> {
    Encoder::new(|piece| state.update(piece))
}

impl std::fmt::Debug for KeyDeriver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("KeyDeriver(…)")
    }
}

impl std::fmt::Debug for KeyPrefix {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("KeyPrefix(…)")
    }
}
