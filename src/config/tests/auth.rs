//! Authentication: each mode requires its keys, and an incomplete mode is an error.

use super::*;

/// Keys that make `jwt` whole.
const JWT: [&str; 4] = [
    "auth.mode=jwt",
    "auth.jwt.issuer=https://issuer.example",
    "auth.jwt.audience=voyage-gateway",
    "auth.jwt.jwks_file=/etc/jwks.json",
];

fn reported(set: &[&str]) -> Vec<String> {
    match load_set(set) {
        Ok(_) => Vec::new(),
        Err(problems) => problems.0,
    }
}

#[test]
fn each_mode_is_taken_with_its_keys() {
    for set in [
        &["auth.mode=none"][..],
        &["auth.mode=tokens", "auth.tokens_file=/etc/tokens"],
        &["auth.mode=tokens", "auth.tokens_file=/etc/tokens", "server.listen=0.0.0.0:1"],
        &JWT,
        &["auth.mode=none", "auth.tokens_file=/etc/tokens"],
    ] {
        assert_eq!(reported(set), [] as [&str; 0], "{set:?}");
    }
    let url = "auth.jwt.jwks_url=https://kubernetes.default.svc.cluster.local/openid/v1/jwks";
    let (ca, token) = ("auth.jwt.jwks_ca_file=/ca.crt", "auth.jwt.jwks_token_file=/token");
    let config = load_set(&[JWT[0], JWT[1], JWT[2], url, ca, token, "auth.jwt.leeway=1m"]).unwrap();
    assert_eq!(load_file(&config.to_toml()), Ok(config));
}

#[test]
fn a_mode_without_its_keys_is_refused() {
    for (set, problems) in [
        (
            &["auth.mode=tokens"][..],
            &["auth.tokens_file: must be set, because auth.mode is \"tokens\""][..],
        ),
        (
            &["auth.mode=jwt"],
            &[
                "auth.jwt.issuer: must be set, because auth.mode is \"jwt\"",
                "auth.jwt.audience: must be set, because auth.mode is \"jwt\"",
                "auth.jwt.jwks_file: exactly one of auth.jwt.jwks_file and auth.jwt.jwks_url must be set",
            ],
        ),
        (
            &["auth.mode=mtls"],
            &[
                "auth.mode: \"mtls\" requires tls.client_ca, the CA of the client certificates (from --set)",
            ],
        ),
    ] {
        assert_eq!(reported(set), problems, "{set:?}");
    }
    let two = [&JWT[..], &["auth.jwt.jwks_url=https://issuer.example/jwks"]].concat();
    let exactly = "auth.jwt.jwks_file: exactly one of auth.jwt.jwks_file and auth.jwt.jwks_url must be set (from --set)";
    assert_eq!(reported(&two), [exactly]);
}

#[test]
fn a_key_without_its_mode_is_no_open_door() {
    let demand = "auth.mode: must be set, because auth.tokens_file or auth.jwt is";
    for set in [&["auth.tokens_file=/etc/tokens"][..], &JWT[1..], &["auth.jwt.leeway=1m"]] {
        assert_eq!(reported(set), [demand], "{set:?}");
    }
}

#[test]
fn implausible_values_are_reported() {
    for (set, told_of) in [
        ("auth.tokens_file=", "auth.tokens_file: must not be empty"),
        ("auth.jwt.issuer=", "auth.jwt.issuer: must not be empty"),
        ("auth.jwt.audience=", "auth.jwt.audience: must not be empty"),
        ("auth.jwt.jwks_file=", "auth.jwt.jwks_file: must not be empty"),
        ("auth.jwt.leeway=301s", "auth.jwt.leeway: must be at most 5m"),
        (
            "auth.jwt.jwks_ca_file=/ca.crt",
            "auth.jwt.jwks_url: must be set, because auth.jwt.jwks_ca_file or auth.jwt.jwks_token_file is",
        ),
        (
            "auth.jwt.jwks_url=http://issuer.example/jwks",
            "auth.jwt.jwks_url: must be an https URL with a host and without user info or fragment; http only on \
             loopback",
        ),
        ("auth.jwt.isuer=canary", "auth.jwt.isuer: unknown key; did you mean \"issuer\"?"),
        ("auth.jwt=canary", "auth.jwt: expected a section of keys"),
    ] {
        let problems = reported(&["auth.mode=none", set]);
        assert!(problems.iter().any(|problem| problem.starts_with(told_of)), "{set}: {problems:?}");
        assert!(!problems.concat().contains("canary"), "{problems:?}");
    }
}
