//! Forged tokens, and tokens for other audiences.

use proptest::prelude::*;

use super::{claims::TokenHeader, *};

/// A part of a token.
fn part(json: &Value) -> String {
    base64_simd::URL_SAFE_NO_PAD.encode_to_string(json.to_string())
}

#[test]
fn claims_that_do_not_fit_are_refused_by_what_is_wrong() {
    let signer = Signer::new(Algorithm::ES256, Some("one"));
    let (jwt, _) = judge(&[signer.jwk()]);
    for (claims, why) in [
        (with("iss", json!("https://other.example")), AuthFailure::ISSUER),
        (with("iss", json!(format!("{ISSUER}/"))), AuthFailure::ISSUER),
        (with("iss", json!([ISSUER])), AuthFailure::MALFORMED),
        (without("iss"), AuthFailure::ISSUER),
        (with("aud", json!("https://kubernetes.default.svc")), AuthFailure::AUDIENCE),
        (with("aud", json!(["another"])), AuthFailure::AUDIENCE),
        (with("aud", json!([])), AuthFailure::AUDIENCE),
        (with("aud", json!(7)), AuthFailure::AUDIENCE),
        (without("aud"), AuthFailure::AUDIENCE),
        (without("sub"), AuthFailure::NAME),
        (with("sub", json!("")), AuthFailure::NAME),
        (with("sub", json!("anonymous")), AuthFailure::NAME),
        (with("sub", json!("two words")), AuthFailure::NAME),
        (with("sub", json!("line\nbreak")), AuthFailure::NAME),
        (with("sub", json!("n".repeat(257))), AuthFailure::NAME),
        (with("sub", json!(7)), AuthFailure::MALFORMED),
        (json!([]), AuthFailure::MALFORMED),
    ] {
        let token = signer.sign(&claims);
        assert_eq!(name(&jwt, &token), Err(why), "{claims}");
        let kept = jwt.keys.get().unwrap().verified.get(&tokens::hash(&token));
        assert_eq!(kept, None, "{claims}");
    }
}

#[test]
fn tokens_with_other_signatures_are_rejected() {
    let signer = Signer::new(Algorithm::RS256, Some("one"));
    let (jwt, _) = judge(&[signer.jwk()]);
    let stranger = Signer::new(Algorithm::RS256, Some("one"));
    assert_eq!(name(&jwt, &stranger.sign(&claims())), Err(AuthFailure::FORGED));

    // The public key's own bytes as a secret, in each usual form.
    let jwk = signer.jwk();
    let modulus = base64_simd::URL_SAFE_NO_PAD.decode_to_vec(jwk["n"].as_str().unwrap()).unwrap();
    for secret in
        [modulus.as_slice(), jwk["n"].as_str().unwrap().as_bytes(), jwk.to_string().as_bytes()]
    {
        for algorithm in [Algorithm::HS256, Algorithm::HS384, Algorithm::HS512] {
            for id in [Some("one"), None] {
                let key = EncodingKey::from_secret(secret);
                let forger = Signer { algorithm, key, ed25519: Vec::new(), id };
                assert_eq!(name(&jwt, &forger.sign(&claims())), Err(AuthFailure::ALGORITHM));
            }
        }
    }
    for none in ["none", "None", "NONE", "nOnE", "", "RS256 ", "ES512"] {
        let header = part(&json!({ "alg": none, "kid": "one", "typ": "JWT" }));
        for signature in ["", "AAAA"] {
            let token = format!("{header}.{}.{signature}", part(&claims()));
            assert_eq!(name(&jwt, &token), Err(AuthFailure::ALGORITHM), "{none:?}");
        }
    }
}

#[test]
fn a_token_brings_no_key_of_its_own() {
    let signer = Signer::new(Algorithm::ES256, Some("one"));
    let stranger = Signer::new(Algorithm::ES256, Some("one"));
    let (jwt, _) = judge(&[signer.jwk()]);
    let header = Header {
        kid: Some("one".to_owned()),
        jku: Some("https://stranger.example/jwks".to_owned()),
        jwk: Some(serde_json::from_value(stranger.jwk()).unwrap()),
        ..Header::new(Algorithm::ES256)
    };
    let token = jsonwebtoken::encode(&header, &claims(), &stranger.key).unwrap();
    assert_eq!(name(&jwt, &token), Err(AuthFailure::FORGED));

    let header = Header { crit: Some(vec!["b64".to_owned()]), ..header };
    let token = jsonwebtoken::encode(&header, &claims(), &signer.key).unwrap();
    assert_eq!(name(&jwt, &token), Err(AuthFailure::MALFORMED));
}

#[test]
fn a_header_that_names_what_must_be_understood_is_refused_whatever_it_names() {
    for crit in ["null", "[]", "{}", "[\"exp\"]"] {
        let header = format!("{{\"alg\":\"ES256\",\"crit\":{crit}}}");
        let token = format!("{}.e30.AAAA", base64_simd::URL_SAFE_NO_PAD.encode_to_string(header));
        assert!(matches!(TokenHeader::of(&token), Err(AuthFailure::MALFORMED)), "{crit}");
    }
    let header = base64_simd::URL_SAFE_NO_PAD.encode_to_string("{\"alg\":\"ES256\"}");
    assert!(TokenHeader::of(&format!("{header}.e30.AAAA")).is_ok());
}

#[test]
fn parts_that_are_missing_or_too_many_are_refused() {
    let signer = Signer::new(Algorithm::ES256, Some("one"));
    let (jwt, _) = judge(&[signer.jwk()]);
    let token = signer.sign(&claims());
    let parts: Vec<&str> = token.split('.').collect();
    let (header, payload, signature) = (parts[0], parts[1], parts[2]);
    for token in [
        String::new(),
        ".".to_owned(),
        "..".to_owned(),
        header.to_owned(),
        format!("{header}.{payload}"),
        format!("{header}.{signature}"),
        format!(".{payload}.{signature}"),
        format!("{header}=.{payload}.{signature}"),
        format!("{}.{payload}.{signature}", part(&json!("alg"))),
        format!("{}.{payload}.{signature}", part(&json!({ "kid": "one" }))),
    ] {
        assert_eq!(name(&jwt, &token), Err(AuthFailure::MALFORMED), "{token}");
    }
    for (token, why) in [
        (format!("{header}.{payload}."), AuthFailure::FORGED),
        (format!("{header}..{signature}"), AuthFailure::FORGED),
        (format!("{header}.{payload}.{signature}.{signature}"), AuthFailure::FORGED),
        (format!("{header}.{payload}.{payload}.{signature}"), AuthFailure::FORGED),
        (format!("{header}.{payload}.{}", &signature[1..]), AuthFailure::FORGED),
        (format!("{header}.{payload}.{signature}="), AuthFailure::FORGED),
    ] {
        assert_eq!(name(&jwt, &token), Err(why), "{token}");
    }
}

proptest! {
    #[test]
    fn forged_tokens_are_rejected(token in "[A-Za-z0-9_.=-]{0,300}|\\PC{0,40}") {
        let (jwt, _) = judge(&[json!({ "kty": "OKP", "crv": "Ed25519", "x": "A".repeat(43) })]);
        prop_assert!(name(&jwt, &token).is_err());
    }

    #[test]
    fn a_changed_letter_spoils_a_token(place in any::<prop::sample::Index>(), letter in "[A-Za-z0-9_-]") {
        thread_local! {
            static SIGNER: Signer = Signer::new(Algorithm::ES256, None);
        }
        let (jwk, token) = SIGNER.with(|signer| (signer.jwk(), signer.sign(&claims())));
        let (jwt, _) = judge(&[jwk]);
        let at = place.index(token.len());
        prop_assume!(token[at..=at] != letter);
        let mut changed = token;
        changed.replace_range(at..=at, &letter);
        prop_assert!(name(&jwt, &changed).is_err(), "{changed}");
    }
}
