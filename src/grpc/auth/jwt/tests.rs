//! Accepted tokens, and the causes of rejections.

mod key_sets;
mod refusals;
mod times;
mod vectors;

use std::sync::atomic::{AtomicU64, Ordering};

use jsonwebtoken::{Algorithm, EncodingKey, Header, jwk::Jwk};
use rcgen::{KeyPair, RsaKeySize};
use serde_json::{Value, json};

use super::*;

const ISSUER: &str = "https://kubernetes.default.svc.cluster.local";
const AUDIENCE: &str = "voyage-gateway";
const NAME: &str = "system:serviceaccount:shop:search";

/// The time it is, unless a test moves it.
const NOW: u64 = 1_800_000_000;

/// A key that signs tokens.
struct Signer {
    algorithm: Algorithm,
    key: EncodingKey,
    /// The public key of Ed25519, which the form of its private key does not contain.
    ed25519: Vec<u8>,
    id: Option<&'static str>,
}

impl Signer {
    fn new(algorithm: Algorithm, id: Option<&'static str>) -> Self {
        use Algorithm::{ES256, ES384, EdDSA};
        let generate = |kind| KeyPair::generate_for(kind).unwrap();
        let mut ed25519 = Vec::new();
        let key = match algorithm {
            ES256 => {
                EncodingKey::from_ec_der(&generate(&rcgen::PKCS_ECDSA_P256_SHA256).serialize_der())
            }
            ES384 => {
                EncodingKey::from_ec_der(&generate(&rcgen::PKCS_ECDSA_P384_SHA384).serialize_der())
            }
            EdDSA => {
                let pair = generate(&rcgen::PKCS_ED25519);
                ed25519 = pair.public_key_raw().to_vec();
                EncodingKey::from_ed_der(&pair.serialize_der())
            }
            _ => {
                let size = RsaKeySize::_2048;
                let pair = KeyPair::generate_rsa_for(&rcgen::PKCS_RSA_SHA256, size).unwrap();
                // Behind the 26 bytes that say it is RSA (PKCS #8) stands the key itself (PKCS #1).
                EncodingKey::from_rsa_der(&pair.serialize_der()[26..])
            }
        };
        Self { algorithm, key, ed25519, id }
    }

    /// The public key, as the issuer publishes it.
    fn jwk(&self) -> Value {
        if self.algorithm == Algorithm::EdDSA {
            let x = base64_simd::URL_SAFE_NO_PAD.encode_to_string(&self.ed25519);
            return json!({ "kty": "OKP", "crv": "Ed25519", "x": x, "kid": self.id });
        }
        let mut jwk = Jwk::from_encoding_key(&self.key, self.algorithm).unwrap();
        jwk.common.key_id = self.id.map(str::to_owned);
        serde_json::to_value(jwk).unwrap()
    }

    fn sign(&self, claims: &Value) -> String {
        let kid = self.id.map(str::to_owned);
        let header = Header { kid, ..Header::new(self.algorithm) };
        jsonwebtoken::encode(&header, claims, &self.key).unwrap()
    }
}

/// The claims of a projected token.
fn claims() -> Value {
    json!({
        "aud": [AUDIENCE, "another"],
        "exp": NOW + 3600,
        "iat": NOW,
        "iss": ISSUER,
        "kubernetes.io": { "namespace": "shop", "serviceaccount": { "name": "search", "uid": "1" } },
        "nbf": NOW,
        "sub": NAME,
    })
}

fn with(key: &str, value: Value) -> Value {
    let mut claims = claims();
    claims[key] = value;
    claims
}

fn without(key: &str) -> Value {
    let mut claims = claims();
    claims.as_object_mut().unwrap().remove(key);
    claims
}

fn key_set(keys: &[Value]) -> KeySet {
    KeySet::parse(json!({ "keys": keys }).to_string().as_bytes()).unwrap()
}

/// A verifier of tokens, and its clock.
fn judge(keys: &[Value]) -> (Jwt, Arc<AtomicU64>) {
    let clock = Arc::new(AtomicU64::new(NOW));
    let seen = Arc::clone(&clock);
    let keys = Live::fixed("auth.jwt.jwks_file", key_set(keys), Metrics::new().unwrap());
    let jwt = Jwt {
        validation: claims::validation(ISSUER, AUDIENCE),
        leeway: Duration::from_secs(30),
        clock: Clock::new(move || Duration::from_secs(seen.load(Ordering::Relaxed))),
        keys: KeySource::File(keys),
    };
    (jwt, clock)
}

/// Returns the caller of a token.
fn name(jwt: &Jwt, token: &str) -> Result<String, AuthFailure> {
    jwt.name_of(token).map(|name| name.to_string())
}

#[test]
fn a_good_token_names_its_subject_and_is_remembered_by_its_hash() {
    let signer = Signer::new(Algorithm::ES256, Some("one"));
    let (jwt, _) = judge(&[signer.jwk()]);
    let token = signer.sign(&claims());
    let remembered = || jwt.keys.get().unwrap().verified.get(&tokens::hash(&token));
    assert_eq!(remembered(), None);
    for _ in 0..2 {
        assert_eq!(name(&jwt, &token).as_deref(), Ok(NAME));
        assert_eq!(remembered().map(|good| good.name.to_string()).as_deref(), Some(NAME));
    }
    assert_eq!(name(&jwt, &signer.sign(&with("aud", json!(AUDIENCE)))).as_deref(), Ok(NAME));
}

#[test]
fn each_algorithm_is_verified_and_none_stands_in_for_another() {
    use Algorithm::{ES256, ES384, EdDSA, PS256, PS384, PS512, RS256, RS384, RS512};
    let mut signers: Vec<_> =
        [ES256, ES384, EdDSA, RS256].into_iter().map(|kind| Signer::new(kind, Some("k"))).collect();
    let rsa = signers[3].key.clone();
    signers.extend([RS384, RS512, PS256, PS384, PS512].into_iter().map(|algorithm| Signer {
        algorithm,
        key: rsa.clone(),
        ed25519: Vec::new(),
        id: Some("k"),
    }));
    for signer in &signers {
        let (jwt, _) = judge(&[signer.jwk()]);
        for other in &signers {
            let named = name(&jwt, &other.sign(&claims()));
            // The `use` of a key is binding, even if the key could do more.
            if other.algorithm == signer.algorithm {
                assert_eq!(named.as_deref(), Ok(NAME), "{:?}", signer.algorithm);
            } else {
                assert_eq!(
                    named,
                    Err(AuthFailure::ALGORITHM),
                    "{:?}",
                    (signer.algorithm, other.algorithm)
                );
            }
        }
    }
    let mut open = signers[3].jwk();
    open.as_object_mut().unwrap().remove("alg");
    let (jwt, _) = judge(&[open]);
    for signer in &signers[3..] {
        assert_eq!(name(&jwt, &signer.sign(&claims())).as_deref(), Ok(NAME));
    }
}
