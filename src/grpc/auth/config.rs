//! `[auth]`: authentication of callers.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::{check::Validation, units::TimeSpan};

/// `[auth]`: authentication of callers.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Config {
    /// Kind of credential. `tokens`: a bearer token of `auth.tokens_file`. `jwt`: a signed token, such as those that
    /// Kubernetes projects into pods. `mtls`: the client certificate, which requires `tls.client_ca`. `none`: no
    /// credential, so that every client that reaches `server.listen` can call and spend.
    /// Unset: as `none`, but only with a loopback `server.listen`.
    pub mode: Option<AuthMode>,

    /// File with the hashed tokens of `mode = "tokens"`: lines `NAME sha256:HEX`, as `voyage-gateway hash-token` prints
    /// them, and comments after `#`. A name may have several tokens, for rotation.
    pub tokens_file: Option<PathBuf>,

    /// Claims and keys of the tokens of `mode = "jwt"`. The `sub` claim is the caller's name.
    pub jwt: JwtConfig,
}

/// Kind of credential.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub enum AuthMode {
    /// No credential.
    None,
    /// A bearer token whose hash is in a file.
    Tokens,
    /// The client certificate of the TLS handshake.
    Mtls,
    /// A signed bearer token.
    Jwt,
}

/// `[auth.jwt]`: the tokens of `auth.mode = "jwt"`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct JwtConfig {
    /// Required value of `iss`. In Kubernetes, the API server's `--service-account-issuer`.
    pub issuer: Option<String>,

    /// Required value in `aud`: a name of this gateway that no other service uses.
    pub audience: Option<String>,

    /// File with the JWK set of the issuer. Either this or `jwks_url`.
    pub jwks_file: Option<PathBuf>,

    /// URL of the JWK set: `https`, or `http` on loopback. Fetched at the start, every 5 minutes, and when a token
    /// names an unknown key. In Kubernetes
    /// `https://kubernetes.default.svc.cluster.local/openid/v1/jwks`, in full, because
    /// with `ndots: 1` shorter names may not resolve. Either this or `jwks_file`.
    pub jwks_url: Option<String>,

    /// PEM file with the CAs of `jwks_url`. Unset: those of the system. In Kubernetes
    /// `/var/run/secrets/kubernetes.io/serviceaccount/ca.crt`. With it no proxy is used.
    pub jwks_ca_file: Option<PathBuf>,

    /// File with the bearer token for `jwks_url`. In Kubernetes
    /// `/var/run/secrets/kubernetes.io/serviceaccount/token`. With it no proxy is used.
    pub jwks_token_file: Option<PathBuf>,

    /// Tolerated difference between the clocks of issuer and gateway, at most 5m.
    pub leeway: TimeSpan,
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
            leeway: TimeSpan::from_secs(30),
        }
    }
}

impl Config {
    /// Validates the values. The files are read when they are used.
    pub fn validate(&self) -> Validation {
        let tokens = self.mode == Some(AuthMode::Tokens);
        let validation = Validation::new()
            .require("tokens_file", is_path(self.tokens_file.as_ref()), "must not be empty")
            .require_together(
                &["tokens_file", "mode"],
                self.tokens_file.is_some() || !tokens,
                "must be set, because auth.mode is \"tokens\"",
            );
        // With settings for a credential, an unset mode is an error.
        let how = self.tokens_file.is_some() || self.jwt != JwtConfig::default();
        let validation = validation.require_together(
            &["mode", "tokens_file", "jwt"],
            self.mode.is_some() || !how,
            "must be set, because auth.tokens_file or auth.jwt is",
        );
        self.jwt.validate(self.mode == Some(AuthMode::Jwt), validation)
    }
}

impl JwtConfig {
    fn validate(&self, asked: bool, validation: Validation) -> Validation {
        let mut validation = validation.require(
            "jwt.leeway",
            self.leeway <= TimeSpan::from_secs(300),
            "must be at most 5m",
        );
        for (key, value) in [("jwt.issuer", &self.issuer), ("jwt.audience", &self.audience)] {
            validation = validation
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
            validation = validation.require(key, is_path(path.as_ref()), "must not be empty");
        }
        let (file, url) = (self.jwks_file.is_some(), self.jwks_url.is_some());
        let for_url = self.jwks_ca_file.is_some() || self.jwks_token_file.is_some();
        validation
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

/// Returns false for an empty path.
fn is_path(path: Option<&PathBuf>) -> bool {
    path.is_none_or(|path| !path.as_os_str().is_empty())
}
