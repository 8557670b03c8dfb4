//! A JWK set (RFC 7517): the keys tokens are signed with, and the tokens they were seen to have signed.

use std::fmt;

use jsonwebtoken::{
    Algorithm, DecodingKey,
    jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyAlgorithm, KeyOperations, PublicKeyUse},
};
use serde::Deserialize;
use serde_json::Value;

use super::{claims::Parts, verified::Verified};

/// Keys a set may have; issuers have a few.
const MAX_KEYS: usize = 64;

/// Signatures that are tried for one token at most: one that names no key, or a key that several share.
const MAX_TRIES: usize = 4;

/// Keys, and what was verified by them. New keys come as a new set: what the old ones proved is forgotten with them.
pub(super) struct KeySet {
    keys: Vec<Key>,
    pub(super) verified: Verified,
}

struct Key {
    id: Option<String>,
    algorithms: Vec<Algorithm>,
    public: DecodingKey,
}

/// What a key set makes of a signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Signature {
    /// One of its keys made it.
    Good,
    /// None of the keys that could have made it did.
    Forged,
    /// There is a key of that name, for other algorithms.
    OtherAlgorithm,
    /// There is no key of that name.
    UnknownKey,
}

impl KeySet {
    /// Reads a JWK set. Keys of a kind or for a use that does not sign tokens are passed over, as RFC 7517 wants it; a
    /// set of none but those is of no use.
    pub(super) fn parse(content: &[u8]) -> Result<Self, String> {
        #[derive(Deserialize)]
        struct Set {
            keys: Vec<Value>,
        }
        let Set { keys } = serde_json::from_slice(content)
            // serde's own words would quote the content.
            .map_err(|error| format!("line {}: expected a JWK set", error.line()))?;
        if keys.len() > MAX_KEYS {
            return Err(format!("there are more than {MAX_KEYS} keys in it"));
        }
        let keys: Vec<Key> = keys.into_iter().filter_map(Key::read).collect();
        if keys.is_empty() {
            return Err(
                "there is no key in it that signs tokens (RSA, P-256, P-384, Ed25519)".to_owned()
            );
        }
        Ok(Self { keys, verified: Verified::default() })
    }

    /// Checks a token's signature with the keys that it may be made with.
    pub(super) fn check(&self, token: &Parts<'_>) -> Signature {
        // A token that names no key may be signed with any.
        let (id, algorithm) = (token.key_id.as_deref(), token.algorithm);
        let named: Vec<&Key> =
            self.keys.iter().filter(|key| id.is_none() || key.id.as_deref() == id).collect();
        if named.is_empty() {
            return Signature::UnknownKey;
        }
        // The key says what it is for, never the token: a token must not turn a public key into a secret.
        let mut fitting =
            named.into_iter().filter(|key| key.algorithms.contains(&algorithm)).peekable();
        if fitting.peek().is_none() {
            return Signature::OtherAlgorithm;
        }
        let good = fitting.take(MAX_TRIES).any(|key| {
            jsonwebtoken::crypto::verify(token.signature, token.message, &key.public, algorithm)
                .unwrap_or(false)
        });
        if good { Signature::Good } else { Signature::Forged }
    }
}

impl Key {
    fn read(value: Value) -> Option<Self> {
        let jwk: Jwk = serde_json::from_value(value).ok()?;
        let common = &jwk.common;
        let signs =
            common.public_key_use.as_ref().is_none_or(|usage| *usage == PublicKeyUse::Signature);
        let verifies = common
            .key_operations
            .as_ref()
            .is_none_or(|operations| operations.contains(&KeyOperations::Verify));
        if !signs || !verifies {
            return None;
        }
        let mut algorithms = algorithms(&jwk.algorithm).to_vec();
        if let Some(only) = common.key_algorithm {
            algorithms.retain(|algorithm| KeyAlgorithm::from(*algorithm) == only);
        }
        if algorithms.is_empty() {
            return None;
        }
        let public = DecodingKey::from_jwk(&jwk).ok()?;
        Some(Self { id: jwk.common.key_id, algorithms, public })
    }
}

/// Returns what a key of this kind can sign with: nothing that is symmetric, ever.
fn algorithms(parameters: &AlgorithmParameters) -> &'static [Algorithm] {
    use Algorithm::{ES256, ES384, EdDSA, PS256, PS384, PS512, RS256, RS384, RS512};
    match parameters {
        AlgorithmParameters::RSA(_) => &[RS256, RS384, RS512, PS256, PS384, PS512],
        AlgorithmParameters::EllipticCurve(key) => match key.curve {
            EllipticCurve::P256 => &[ES256],
            EllipticCurve::P384 => &[ES384],
            _ => &[],
        },
        AlgorithmParameters::OctetKeyPair(key) if key.curve == EllipticCurve::Ed25519 => &[EdDSA],
        _ => &[],
    }
}

/// Says how many keys there are.
impl fmt::Debug for KeySet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeySet").field("keys", &self.keys.len()).finish_non_exhaustive()
    }
}
