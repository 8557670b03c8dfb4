//! `[auth]`: who may call the gateway.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::{check::Checks, units::Span};

/// `[auth]`: who may call the gateway.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Config {
    /// How callers prove who they are. `tokens`: by a bearer token of `auth.tokens_file`. `jwt`: by a signed
    /// token, such as those Kubernetes projects into pods. `mtls`: by the client certificate, which needs
    /// `tls.client_ca`. `none`: anyone who reaches `server.listen` may call and spend.
    /// Unset, the gateway starts on a loopback `server.listen` only: an open one must be asked for.
    pub mode: Option<AuthMode>,

    /// The tokens of `mode = "tokens"`, hashed: a file of lines `NAME sha256:HEX`, as `voyage-gateway hash-token`
    /// prints them, with comments behind `#`. A name may have several tokens, so that one can replace another.
    pub tokens_file: Option<PathBuf>,

    /// What the tokens of `mode = "jwt"` must say, and the keys they must be signed with. The `sub` claim is
    /// the caller's name.
    pub jwt: JwtConfig,
}

/// How callers prove who they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub enum AuthMode {
    /// They need not.
    None,
    /// By a bearer token whose hash is in a file.
    Tokens,
    /// By the client certificate of the TLS handshake.
    Mtls,
    /// By a signed bearer token.
    Jwt,
}

/// `[auth.jwt]`: the tokens of `auth.mode = "jwt"`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct JwtConfig {
    /// What `iss` must be. In Kubernetes, the API server's `--service-account-issuer`.
    pub issuer: Option<String>,

    /// What must be in `aud`: a name of this gateway that no other service answers to.
    pub audience: Option<String>,

    /// A file with the keys tokens are signed with, as a JWK set. Either this or `jwks_url`.
    pub jwks_file: Option<PathBuf>,

    /// Where the JWK set is served: `https`, or `http` on loopback. Fetched at the start, every 5 minutes, and
    /// when a token names a key that is not known. In Kubernetes
    /// `https://kubernetes.default.svc.cluster.local/openid/v1/jwks`, in full: with `ndots: 1` shorter names may not
    /// be found. Either this or `jwks_file`.
    pub jwks_url: Option<String>,

    /// A PEM file with the only CAs that `jwks_url` may be certified by. Unset: those of the system. In Kubernetes
    /// `/var/run/secrets/kubernetes.io/serviceaccount/ca.crt`. With it no proxy is used.
    pub jwks_ca_file: Option<PathBuf>,

    /// A file with the bearer token that `jwks_url` wants. In Kubernetes
    /// `/var/run/secrets/kubernetes.io/serviceaccount/token`. With it no proxy is used.
    pub jwks_token_file: Option<PathBuf>,

    /// How far the clocks of issuer and gateway may be apart, at most 5m.
    pub leeway: Span,
}

impl Default for JwtConfig {
    fn default() -> Self {
        Self {
            issuer: None,
            audience: None,
            jwks_file: None,
            jwks_url: None,
            jwks_ca_file: None,
            jwks_token_file: None,
            leeway: Span::from_secs(30),
        }
    }
}

impl Config {
    /// Checks the section's values; the files are read where they are used.
    pub fn validate(&self) -> Checks {
        let tokens = self.mode == Some(AuthMode::Tokens);
        let checks = Checks::new()
            .require("tokens_file", is_path(self.tokens_file.as_ref()), "must not be empty")
            .require_together(
                &["tokens_file", "mode"],
                self.tokens_file.is_some() || !tokens,
                "must be set, because auth.mode is \"tokens\"",
            );
        // Whoever says how callers prove who they are does not mean an open door.
        let how = self.tokens_file.is_some() || self.jwt != JwtConfig::default();
        let checks = checks.require_together(
            &["mode", "tokens_file", "jwt"],
            self.mode.is_some() || !how,
            "must be set, because auth.tokens_file or auth.jwt is",
        );
        self.jwt.validate(self.mode == Some(AuthMode::Jwt), checks)
    }
}

impl JwtConfig {
    fn validate(&self, asked: bool, checks: Checks) -> Checks {
        let mut checks =
            checks.require("jwt.leeway", self.leeway <= Span::from_secs(300), "must be at most 5m");
        for (key, value) in [("jwt.issuer", &self.issuer), ("jwt.audience", &self.audience)] {
            checks = checks
                .require(key, value.as_deref() != Some(""), "must not be empty")
                .require_together(
                    &[key, "mode"],
                    value.is_some() || !asked,
                    "must be set, because auth.mode is \"jwt\"",
                );
        }
        for (key, path) in [
            ("jwt.jwks_file", &self.jwks_file),
            ("jwt.jwks_ca_file", &self.jwks_ca_file),
            ("jwt.jwks_token_file", &self.jwks_token_file),
        ] {
            checks = checks.require(key, is_path(path.as_ref()), "must not be empty");
        }
        let (file, url) = (self.jwks_file.is_some(), self.jwks_url.is_some());
        let for_url = self.jwks_ca_file.is_some() || self.jwks_token_file.is_some();
        checks
            .require_together(
                &["jwt.jwks_file", "jwt.jwks_url", "mode"],
                file != url || (!file && !asked),
                "exactly one of auth.jwt.jwks_file and auth.jwt.jwks_url must be set",
            )
            .require_together(
                &["jwt.jwks_url", "jwt.jwks_ca_file", "jwt.jwks_token_file"],
                url || !for_url,
                "must be set, because auth.jwt.jwks_ca_file or auth.jwt.jwks_token_file is",
            )
    }
}

/// Tells whether a path may be one, if it is set.
fn is_path(path: Option<&PathBuf>) -> bool {
    path.is_none_or(|path| !path.as_os_str().is_empty())
}
