//! An issuer of tokens: keys, signed tokens, and a JWK set in a file or over HTTP.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicUsize, Ordering},
};

use jsonwebtoken::{Algorithm, EncodingKey, Header, jwk::Jwk};
use rcgen::{KeyPair, RsaKeySize};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};

pub(super) const ISSUER: &str = "https://kubernetes.default.svc.cluster.local";
pub(super) const AUDIENCE: &str = "voyage-gateway";
pub(super) const NAME: &str = "system:serviceaccount:shop:search";

/// The first second of 2100: long after, and no clock is asked.
pub(super) const FAR: u64 = 4_102_444_800;

/// A key that signs tokens.
pub(super) struct Signer {
    algorithm: Algorithm,
    key: EncodingKey,
    id: &'static str,
}

impl Signer {
    pub(super) fn ec(id: &'static str) -> Self {
        let pair = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).expect("a key");
        Self {
            algorithm: Algorithm::ES256,
            key: EncodingKey::from_ec_der(&pair.serialize_der()),
            id,
        }
    }

    /// RSA, as Kubernetes signs.
    pub(super) fn rsa(id: &'static str) -> Self {
        let pair = KeyPair::generate_rsa_for(&rcgen::PKCS_RSA_SHA256, RsaKeySize::_2048);
        let pair = pair.expect("a key").serialize_der();
        // Behind the 26 bytes that say it is RSA (PKCS #8) stands the key itself (PKCS #1).
        Self { algorithm: Algorithm::RS256, key: EncodingKey::from_rsa_der(&pair[26..]), id }
    }

    pub(super) fn jwk(&self) -> Value {
        let mut jwk = Jwk::from_encoding_key(&self.key, self.algorithm).expect("a public key");
        jwk.common.key_id = Some(self.id.to_owned());
        serde_json::to_value(jwk).expect("JSON")
    }

    pub(super) fn sign(&self, claims: &Value) -> String {
        let header = Header { kid: Some(self.id.to_owned()), ..Header::new(self.algorithm) };
        jsonwebtoken::encode(&header, claims, &self.key).expect("a token")
    }
}

/// The claims of a projected token.
pub(super) fn claims() -> Value {
    json!({ "aud": [AUDIENCE], "exp": FAR, "iat": 1, "iss": ISSUER, "nbf": 1, "sub": NAME })
}

pub(super) fn with(key: &str, value: Value) -> Value {
    let mut claims = claims();
    claims[key] = value;
    claims
}

pub(super) fn key_set(signers: &[&Signer]) -> String {
    let keys: Vec<Value> = signers.iter().map(|signer| signer.jwk()).collect();
    json!({ "keys": keys }).to_string()
}

/// An issuer's JWK set on loopback.
#[derive(Clone, Default)]
pub(super) struct Endpoint {
    content: Arc<Mutex<String>>,
    fetches: Arc<AtomicUsize>,
    /// The last request.
    request: Arc<Mutex<String>>,
}

impl Endpoint {
    /// Serves the JWK set, and returns its URL.
    pub(super) async fn serve(&self) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}/openid/v1/jwks", listener.local_addr().expect("an address"));
        let served = self.clone();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    let Ok(byte) = stream.read_u8().await else { break };
                    head.push(byte);
                }
                *served.request.lock().expect("a lock") = String::from_utf8_lossy(&head).into();
                let body = served.content.lock().expect("a lock").clone();
                let status = if body.is_empty() { "503 Service Unavailable" } else { "200 OK" };
                let length = body.len();
                let reply = format!(
                    "HTTP/1.1 {status}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}"
                );
                let _ = stream.write_all(reply.as_bytes()).await;
                served.fetches.fetch_add(1, Ordering::Relaxed);
            }
        });
        url
    }

    /// Publishes keys; without any, it answers 503.
    pub(super) fn publish(&self, key_set: String) {
        *self.content.lock().expect("a lock") = key_set;
    }

    pub(super) fn fetches(&self) -> usize {
        self.fetches.load(Ordering::Relaxed)
    }

    pub(super) fn request(&self) -> String {
        self.request.lock().expect("a lock").clone()
    }
}
