//! A JWK set (RFC 7517): the issuer's keys, and the tokens that were verified with them.

use std::fmt;

use jsonwebtoken::{
    Algorithm, DecodingKey, Validation,
    jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyAlgorithm, KeyOperations, PublicKeyUse},
};
use serde::Deserialize;
use serde_json::Value;

use super::{
    super::AuthFailure,
    claims::{self, Claims, TokenHeader},
    verified::VerifiedTokens,
};

/// Limit of keys in a set; issuers have a few.
const MAX_KEYS: usize = 64;

/// Limit of signatures that are tried for a token without a key id, or with one that several keys share.
const MAX_TRIES: usize = 4;

/// Keys, and the tokens verified with them. A changed JWK set is a new value, so that the tokens of removed keys go too.
pub(super) struct KeySet {
    keys: Vec<VerifyingKey>,
    pub(super) verified: VerifiedTokens,
}

struct VerifyingKey {
    id: Option<String>,
    algorithms: Vec<Algorithm>,
    public: DecodingKey,
}

impl KeySet {
    /// Reads a JWK set. Keys that cannot verify tokens are ignored, as RFC 7517 requires; a set of only those is an error.
    pub(super) fn parse(content: &[u8]) -> Result<Self, String> {
        #[derive(Deserialize)]
        struct Set {
            keys: Vec<Value>,
        }
        let Set { keys } = serde_json::from_slice(content)
            // serde's message would quote the content.
            .map_err(|error| format!("line {}: expected a JWK set", error.line()))?;
        if keys.len() > MAX_KEYS {
            return Err(format!("the set has more than {MAX_KEYS} keys"));
        }
        let keys: Vec<_> = keys.into_iter().filter_map(VerifyingKey::read).collect();
        if keys.is_empty() {
            return Err(
                "the set has no key that verifies tokens (RSA, P-256, P-384, Ed25519)".to_owned()
            );
        }
        Ok(Self { keys, verified: VerifiedTokens::default() })
    }

    /// Verifies a token's signature, then its claims.
    pub(super) fn decode(
        &self,
        token: &str,
        validation: &Validation,
    ) -> Result<Claims, AuthFailure> {
        let TokenHeader { algorithm, key_id: id } = TokenHeader::of(token)?;
        // A token without a key id may be signed with any key.
        let mut named = self.keys.iter().filter(|key| id.is_none() || key.id == id).peekable();
        if named.peek().is_none() {
            return Err(AuthFailure::UNKNOWN_KEY);
        }
        let validation = Validation { algorithms: vec![algorithm], ..validation.clone() };
        let mut result = Err(AuthFailure::ALGORITHM);
        // The key decides on the algorithm, never the token: a token must not turn a public key into a shared secret.
        for key in named.filter(|key| key.algorithms.contains(&algorithm)).take(MAX_TRIES) {
            result = jsonwebtoken::decode(token, &key.public, &validation)
                .map(|token| token.claims)
                .map_err(|error| claims::refusal(&error));
            if !matches!(result, Err(AuthFailure::FORGED)) {
                break;
            }
        }
        result
    }
}

impl VerifyingKey {
    fn read(value: Value) -> Option<Self> {
        let jwk: Jwk = serde_json::from_value(value).ok()?;
        let common = &jwk.common;
        let is_for_signatures =
            common.public_key_use.as_ref().is_none_or(|usage| *usage == PublicKeyUse::Signature);
        let verifies = common
            .key_operations
            .as_ref()
            .is_none_or(|operations| operations.contains(&KeyOperations::Verify));
        let mut algorithms = algorithms(&jwk.algorithm).to_vec();
        if let Some(only) = common.key_algorithm {
            algorithms.retain(|algorithm| KeyAlgorithm::from(*algorithm) == only);
        }
        if !is_for_signatures || !verifies || algorithms.is_empty() {
            return None;
        }
        let public = DecodingKey::from_jwk(&jwk).ok()?;
        Some(Self { id: jwk.common.key_id, algorithms, public })
    }
}

/// Returns the algorithms of a kind of key; never a symmetric one.
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

/// Shows the number of keys only.
impl fmt::Debug for KeySet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeySet").field("keys", &self.keys.len()).finish_non_exhaustive()
    }
}
