//! Which keys of a set count, and which of them a token is checked by.

use proptest::prelude::*;

use super::*;

fn parse(text: &str) -> Result<KeySet, String> {
    KeySet::parse(text.as_bytes())
}

#[test]
fn what_is_no_key_set_is_refused_and_not_quoted() {
    for text in
        ["", "canary", "[]", "{}", "{\"keys\": 7}", "{\"keys\": {\"canary\": 1}}", "{\"keys\": ["]
    {
        assert_eq!(parse(text).unwrap_err(), "line 1: expected a JWK set", "{text}");
    }
    let none = "the set has no key that verifies tokens (RSA, P-256, P-384, Ed25519)";
    assert_eq!(parse("{\"keys\": []}").unwrap_err(), none);
    let many = json!({ "keys": vec![json!({}); 65] });
    assert_eq!(parse(&many.to_string()).unwrap_err(), "the set has more than 64 keys");
}

#[test]
fn keys_that_sign_no_tokens_are_passed_over() {
    let signer = Signer::new(Algorithm::ES256, Some("one"));
    let good = signer.jwk();
    let changed = |key: &str, value: Value| {
        let mut jwk = good.clone();
        jwk[key] = value;
        jwk
    };
    let others = [
        json!({}),
        json!(7),
        json!({ "kty": "oct", "k": "c2VjcmV0", "alg": "HS256", "kid": "one" }),
        json!({ "kty": "EC", "crv": "secp256k1", "x": "AA", "y": "AA", "kid": "one" }),
        json!({ "kty": "EC", "crv": "P-521", "x": "AA", "y": "AA", "kid": "one" }),
        json!({ "kty": "OKP", "crv": "X25519", "x": "AA", "kid": "one" }),
        json!({ "kty": "RSA", "n": "not base64!", "e": "AQAB", "kid": "one" }),
        changed("use", json!("enc")),
        changed("key_ops", json!(["sign"])),
        changed("alg", json!("ES384")),
        changed("alg", json!("HS256")),
        changed("alg", json!("ECDH-ES")),
        changed("alg", json!("none")),
    ];
    for other in &others {
        let reported = parse(&json!({ "keys": [other] }).to_string()).unwrap_err();
        assert!(reported.starts_with("the set has no key"), "{other}: {reported}");
    }
    let (jwt, _) = judge(&[&others[..], std::slice::from_ref(&good)].concat());
    assert_eq!(name(&jwt, &signer.sign(&claims())).as_deref(), Ok(NAME));
    for (key, value) in [("use", json!("sig")), ("key_ops", json!(["verify"])), ("x5t", json!("x"))]
    {
        let (jwt, _) = judge(&[changed(key, value)]);
        assert_eq!(name(&jwt, &signer.sign(&claims())).as_deref(), Ok(NAME), "{key}");
    }
}

#[test]
fn a_token_is_checked_by_the_key_it_names() {
    let [one, two] = ["one", "two"].map(|id| Signer::new(Algorithm::ES256, Some(id)));
    let (jwt, _) = judge(&[one.jwk(), two.jwk()]);
    for signer in [&one, &two] {
        assert_eq!(name(&jwt, &signer.sign(&claims())).as_deref(), Ok(NAME));
    }
    let other_name = |signer: &Signer, id| Signer {
        id,
        key: signer.key.clone(),
        ed25519: Vec::new(),
        algorithm: signer.algorithm,
    };
    let swapped = other_name(&one, Some("two"));
    assert_eq!(name(&jwt, &swapped.sign(&claims())), Err(AuthFailure::FORGED));
    let unknown = other_name(&one, Some("three"));
    assert_eq!(name(&jwt, &unknown.sign(&claims())), Err(AuthFailure::UNKNOWN_KEY));
    // A token that names no key may be signed with any that fits.
    for signer in [&one, &two] {
        let silent = other_name(signer, None);
        assert_eq!(name(&jwt, &silent.sign(&claims())).as_deref(), Ok(NAME));
    }
}

#[test]
fn a_token_without_a_name_for_its_key_costs_few_signatures() {
    let signers: Vec<_> = (0..6).map(|_| Signer::new(Algorithm::ES256, None)).collect();
    let rsa = Signer::new(Algorithm::RS256, None);
    let mut keys = vec![rsa.jwk()];
    keys.extend(signers.iter().map(Signer::jwk));
    let (jwt, _) = judge(&keys);
    let named: Vec<_> =
        signers.iter().map(|signer| name(&jwt, &signer.sign(&claims())).is_ok()).collect();
    assert_eq!(named, [true, true, true, true, false, false]);
}

#[test]
fn new_keys_forget_what_the_old_ones_proved() {
    let path = tempfile::NamedTempFile::new().unwrap().into_temp_path();
    let [one, two] = ["one", "two"].map(|id| Signer::new(Algorithm::ES256, Some(id)));
    let write =
        |keys: &[Value]| std::fs::write(&path, json!({ "keys": keys }).to_string()).unwrap();
    write(&[one.jwk()]);
    let metrics = Metrics::new().unwrap();
    let (mut jwt, _) = judge(&[one.jwk()]);
    jwt.keys = KeySource::load(path.to_path_buf(), metrics).unwrap();
    let token = one.sign(&claims());
    assert_eq!(name(&jwt, &token).as_deref(), Ok(NAME));

    write(&[two.jwk()]);
    jwt.file().unwrap().reload();
    assert_eq!(name(&jwt, &token), Err(AuthFailure::UNKNOWN_KEY));
    assert_eq!(name(&jwt, &two.sign(&claims())).as_deref(), Ok(NAME));
}

proptest! {
    #[test]
    fn foreign_bytes_are_no_key_set(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        prop_assert!(KeySet::parse(&bytes).is_err());
    }
}
