//! `auth.mode = "jwt"`: tokens as Kubernetes projects them, checked offline.

use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};
use voyage_gateway::{
    config::Config,
    grpc::auth::{AuthMode, JwtConfig},
};

use super::{
    issuer::{AUDIENCE, Endpoint, FAR, ISSUER, NAME, Signer, claims, key_set, with},
    *,
};
use crate::support::{assert_vectors, eventually};

/// Believes tokens of the issuer; where the keys are is said by `keys`.
fn believe(config: &mut Config, keys: JwtConfig) {
    look_often(config);
    config.auth.mode = Some(AuthMode::Jwt);
    config.auth.jwt =
        JwtConfig { issuer: Some(ISSUER.to_owned()), audience: Some(AUDIENCE.to_owned()), ..keys };
}

async fn gateway(folder: &Folder, signers: &[&Signer]) -> Gateway {
    let jwks_file = Some(folder.swap("jwks", &key_set(signers)));
    Gateway::with(|config, _| believe(config, JwtConfig { jwks_file, ..JwtConfig::default() }))
        .await
}

async fn gateway_of(url: String, jwks_token_file: Option<PathBuf>) -> Gateway {
    let keys = JwtConfig { jwks_url: Some(url), jwks_token_file, ..JwtConfig::default() };
    Gateway::with(|config, _| believe(config, keys)).await
}

fn base64(text: &str) -> String {
    base64_simd::URL_SAFE_NO_PAD.encode_to_string(text)
}

#[tokio::test]
async fn a_service_account_is_known_by_its_name_in_the_cluster() {
    let folder = Folder::new();
    let signer = Signer::rsa("one");
    let gateway = gateway(&folder, &[&signer]).await;
    let mut client = gateway.client().await;
    let token = signer.sign(&claims());
    for text in ["one", "two"] {
        let reply = embed_as(&mut client, &token, text).await.unwrap();
        assert_vectors(reply.get_ref(), &[text]);
    }
    assert!(billed(&gateway, NAME).await > 0);

    let other = "system:serviceaccount:shop:index";
    let token = signer.sign(&with("sub", json!(other)));
    embed_as(&mut client, &token, "three").await.unwrap();
    assert!(billed(&gateway, other).await > 0);
}

#[tokio::test]
async fn tokens_that_are_not_good_spend_nothing() {
    let folder = Folder::new();
    let signer = Signer::rsa("one");
    let gateway = gateway(&folder, &[&signer]).await;
    assert_refused(&gateway, &[], "jwt", "missing").await;
    let refused = async |token: &str, why: &str| {
        assert_refused(&gateway, &[&format!("Bearer {token}")], "jwt", why).await;
    };
    let good = signer.sign(&claims());
    let (message, _) = good.rsplit_once('.').unwrap();
    refused("not.a.token", "malformed").await;
    refused(message, "malformed").await;
    refused(&signer.sign(&with("exp", json!(1_000_000_000))), "expired").await;
    refused(&signer.sign(&with("nbf", json!(FAR - 1))), "not_yet_valid").await;
    refused(&signer.sign(&with("aud", json!("https://kubernetes.default.svc"))), "wrong_audience")
        .await;
    refused(&signer.sign(&with("iss", json!("https://other.example"))), "wrong_issuer").await;
    refused(&signer.sign(&with("sub", json!("anonymous"))), "wrong_name").await;
    refused(&Signer::rsa("one").sign(&claims()), "forged").await;
    refused(&Signer::rsa("two").sign(&claims()), "unknown_key").await;

    // Other claims under a good token's signature.
    let [header, _, signature] = good.split('.').collect::<Vec<_>>()[..] else { unreachable!() };
    let altered = base64(&with("sub", json!("system:serviceaccount:shop:admin")).to_string());
    refused(&format!("{header}.{altered}.{signature}"), "forged").await;
    // No signature at all, and one made with the public key as a secret.
    let none = base64(r#"{"alg":"none","kid":"one"}"#);
    refused(&format!("{none}.{}.", base64(&claims().to_string())), "wrong_algorithm").await;
    refused(&signed_with_the_public_key(&signer.jwk()), "wrong_algorithm").await;

    refused(&format!("{good}{}", "A".repeat(8 * 1024)), "malformed").await;
    let good = format!("Bearer {good}");
    assert_refused(&gateway, &[&good, &good], "jwt", "malformed").await;
    assert_costs_nothing(&gateway).await;
    gateway.client().await.embed(call(texts(&["a text"]), &[&good])).await.unwrap();
}

/// Tokens that a gateway would accept if it trusted the token's own algorithm.
fn signed_with_the_public_key(jwk: &Value) -> String {
    let modulus = jwk["n"].as_str().unwrap();
    let secret = base64_simd::URL_SAFE_NO_PAD.decode_to_vec(modulus).unwrap();
    let header = Header { kid: Some("one".to_owned()), ..Header::new(Algorithm::HS256) };
    jsonwebtoken::encode(&header, &claims(), &EncodingKey::from_secret(&secret)).unwrap()
}

#[tokio::test]
async fn added_keys_are_accepted_and_removed_keys_rejected_after_a_reload() {
    let folder = Folder::new();
    let (old, new) = (Signer::ec("old"), Signer::ec("new"));
    let gateway = gateway(&folder, &[&old]).await;
    let mut client = gateway.client().await;
    let (by_old, by_new) = (old.sign(&claims()), new.sign(&claims()));
    assert!(embed_as(&mut client, &by_old, "a").await.is_ok());
    assert_refused(&gateway, &[&format!("Bearer {by_new}")], "jwt", "unknown_key").await;

    folder.swap("jwks", &key_set(&[&old, &new]));
    eventually(async || embed_as(&mut client, &by_new, "a").await.is_ok()).await;
    assert!(embed_as(&mut client, &by_old, "a").await.is_ok());

    folder.swap("jwks", r#"{"keys": ["#);
    eventually(async || reloads(&gateway, "auth.jwt.jwks_file", "refused").await == 1).await;
    assert!(embed_as(&mut client, &by_old, "a").await.is_ok());

    // It was verified before: that counts no more.
    folder.swap("jwks", &key_set(&[&new]));
    eventually(async || embed_as(&mut client, &by_old, "a").await.is_err()).await;
    assert!(embed_as(&mut client, &by_new, "a").await.is_ok());
}

#[tokio::test]
async fn keys_are_fetched_before_the_first_call() {
    let folder = Folder::new();
    let (endpoint, signer) = (Endpoint::default(), Signer::rsa("one"));
    endpoint.publish(key_set(&[&signer]));
    let token_file = folder.swap("token", "the-gateways-own-token\n");
    let gateway = gateway_of(endpoint.serve().await, Some(token_file)).await;
    let mut client = gateway.client().await;
    embed_as(&mut client, &signer.sign(&claims()), "a").await.unwrap();
    assert_eq!(endpoint.fetches(), 1);
    let request = endpoint.request();
    assert!(request.contains("authorization: Bearer the-gateways-own-token\r\n"), "{request}");
    assert_refused(
        &gateway,
        &[&format!("Bearer {}", Signer::rsa("one").sign(&claims()))],
        "jwt",
        "forged",
    )
    .await;
}

#[tokio::test]
async fn an_issuer_that_is_away_stops_no_gateway_and_no_caller_for_good() {
    let (endpoint, signer) = (Endpoint::default(), Signer::ec("one"));
    let gateway = gateway_of(endpoint.serve().await, None).await;
    let mut client = gateway.client().await;
    let token = signer.sign(&claims());
    let status = embed_as(&mut client, &token, "a").await.err().unwrap();
    assert_eq!((status.code(), &*reason(&status)), (Code::Unavailable, "CREDENTIALS_UNVERIFIABLE"));
    assert!(details(&status).retry_info().is_some());
    assert!(status.metadata().contains_key("grpc-retry-pushback-ms"));
    // Callers without a credential get their error without keys.
    assert_refused(&gateway, &[], "jwt", "missing").await;
    assert_costs_nothing(&gateway).await;
    assert!(reloads(&gateway, "auth.jwt.jwks_url", "refused").await > 0);

    endpoint.publish(key_set(&[&signer]));
    eventually(async || embed_as(&mut client, &token, "a").await.is_ok()).await;
}

#[tokio::test]
async fn a_key_that_is_missed_is_fetched() {
    let (endpoint, old, new) = (Endpoint::default(), Signer::ec("old"), Signer::ec("new"));
    endpoint.publish(key_set(&[&old]));
    let gateway = gateway_of(endpoint.serve().await, None).await;
    let mut client = gateway.client().await;
    endpoint.publish(key_set(&[&old, &new]));
    let token = new.sign(&claims());
    eventually(async || embed_as(&mut client, &token, "a").await.is_ok()).await;
    // However often it was missed.
    assert_eq!(endpoint.fetches(), 2);
    assert!(embed_as(&mut client, &old.sign(&claims()), "a").await.is_ok());
}
