//! Credentials of each mode, and errors without one.

use std::fs;

use http::{HeaderValue, header::AUTHORIZATION};

use super::*;

fn bearer(token: &str) -> HeaderMap {
    let value = HeaderValue::from_str(&format!("Bearer {token}")).unwrap();
    HeaderMap::from_iter([(AUTHORIZATION, value)])
}

fn peer(name: &str) -> PeerIdentity {
    PeerIdentity(name.into())
}

#[test]
fn without_a_mode_callers_are_anonymous() {
    let metrics = Metrics::new().unwrap();
    for mode in [None, Some(AuthMode::None)] {
        let config = Config { mode, ..Config::default() };
        let asks = Authenticator::new(&config, None, &metrics).unwrap();
        assert_eq!(&*asks.identify(&bearer("a"), Some(&peer("b"))).unwrap(), "anonymous");
    }
}

#[test]
fn a_certificate_is_the_credential_of_mtls_and_a_token_is_not() {
    let metrics = Metrics::new().unwrap();
    let config = Config { mode: Some(AuthMode::Mtls), ..Config::default() };
    let asks = Authenticator::new(&config, None, &metrics).unwrap();
    let spiffe = "spiffe://shop.example/ns/shop/sa/search";
    assert_eq!(&*asks.identify(&HeaderMap::new(), Some(&peer(spiffe))).unwrap(), spiffe);

    let missing = asks.identify(&bearer("a"), None).unwrap_err();
    assert_eq!(missing, Error::CredentialsMissing { wanted: SHOW_A_CERTIFICATE });
    for name in ["", "anonymous", "default", "abandoned", "CN=two words"] {
        let refused = asks.identify(&HeaderMap::new(), Some(&peer(name))).unwrap_err();
        assert_eq!(refused, Error::CredentialsInvalid { why: "wrong_name" }, "{name}");
    }
    let page = metrics.render().unwrap();
    for (why, count) in [("missing", 1), ("wrong_name", 5)] {
        let series = format!(r#"auth_failures_total{{mode="mtls",why="{why}"}} {count}"#);
        assert!(page.contains(&series), "{page}");
    }
}

#[test]
fn a_token_is_the_credential_of_tokens_and_a_certificate_is_not() {
    let path = tempfile::NamedTempFile::new().unwrap().into_temp_path();
    let token = "n3q0Wm1bKcVw0s3a8pJ2yH5uTgXe9LrZfD4oQi7BvYk=";
    fs::write(&path, entry("search", token).unwrap()).unwrap();
    let metrics = Metrics::new().unwrap();
    let tokens_file = Some(path.to_path_buf());
    let config = Config { mode: Some(AuthMode::Tokens), tokens_file, ..Config::default() };
    let asks = Authenticator::new(&config, None, &metrics).unwrap();

    assert_eq!(&*asks.identify(&bearer(token), Some(&peer("other"))).unwrap(), "search");
    let missing = asks.identify(&HeaderMap::new(), Some(&peer("search"))).unwrap_err();
    assert_eq!(missing, Error::CredentialsMissing { wanted: SEND_A_TOKEN });
    let unknown = asks.identify(&bearer("another"), None).unwrap_err();
    assert_eq!(unknown, Error::CredentialsInvalid { why: "unknown_token" });
    assert!(!format!("{asks:?}").contains(token));
}

#[test]
fn a_file_that_cannot_be_used_is_named_with_its_line() {
    let path = tempfile::NamedTempFile::new().unwrap().into_temp_path();
    fs::write(&path, "# callers\ncanary canary\n").unwrap();
    for (mode, key, problem) in [
        (AuthMode::Tokens, "auth.tokens_file", "line 2: expected NAME sha256:HEX"),
        (AuthMode::Jwt, "auth.jwt.jwks_file", "line 1: expected a JWK set"),
    ] {
        let config = Config {
            mode: Some(mode),
            tokens_file: Some(path.to_path_buf()),
            jwt: JwtConfig { jwks_file: Some(path.to_path_buf()), ..JwtConfig::default() },
        };
        let reported = Authenticator::new(&config, None, &Metrics::new().unwrap()).unwrap_err();
        let reported = reported.to_string();
        assert!(
            reported.starts_with(&format!("{key}: {}: {problem}", path.display())),
            "{reported}"
        );
        assert!(!reported.contains("canary"), "{reported}");
    }
}
