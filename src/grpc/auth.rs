//! Authentication: from a credential to a caller's name.
//!
//! Replies say only that a credential is missing or invalid; the log and a metric have the cause. Only hashes of tokens
//! are stored.

mod bearer;
mod clock;
mod config;
mod jwt;
mod tokens;

use std::sync::Arc;

use http::HeaderMap;

pub use clock::system as wall_clock;
pub use config::{AuthMode, Config, JwtConfig};
pub use jwt::{Fetch, FetchedKeys};
pub use tokens::{NoEntry, entry};

use crate::{
    caller::Caller,
    error::Error,
    peer::PeerIdentity,
    reload::{Live, LoadError, Reload},
    telemetry::Metrics,
};
use clock::Clock;
use jwt::Jwt;
use tokens::Tokens;

/// The advice to callers without a credential.
const SEND_A_TOKEN: &str = "send the metadata \"authorization: Bearer TOKEN\"";
const SHOW_A_CERTIFICATE: &str = "connect over TLS with a client certificate";

/// Authenticates callers; cheap to clone.
#[derive(Clone, Debug)]
pub struct Authenticator {
    required: Credential,
    /// Counts failures.
    metrics: Metrics,
}

/// The kind of credential that callers need.
#[derive(Clone, Debug)]
enum Credential {
    /// None; holds the name of all callers.
    None(Arc<str>),
    Token(Arc<Live<Tokens>>),
    /// Verified in the TLS handshake.
    Certificate,
    Jwt(Arc<Jwt>),
}

impl Authenticator {
    /// Requires the credential of a configuration and reads its files; `fetch` fetches `auth.jwt.jwks_url`.
    pub fn new(
        config: &Config,
        fetch: Option<Fetch>,
        metrics: &Metrics,
    ) -> Result<Self, LoadError> {
        let required = match config.mode {
            None | Some(AuthMode::None) => Credential::None(Arc::from(Caller::ANONYMOUS)),
            Some(AuthMode::Mtls) => Credential::Certificate,
            Some(AuthMode::Tokens) => {
                let paths = vec![config.tokens_file.clone().unwrap_or_default()];
                let parse = |contents: &[Vec<u8>]| Tokens::parse(&contents.concat());
                let tokens = Live::load("auth.tokens_file", paths, metrics.clone(), parse)?;
                Credential::Token(tokens)
            }
            Some(AuthMode::Jwt) => {
                let jwt = Jwt::new(&config.jwt, fetch, Clock::system(), metrics)?;
                Credential::Jwt(Arc::new(jwt))
            }
        };
        for refusal in required.refusals() {
            metrics.auth_failures(required.mode(), refusal.0, 0);
        }
        Ok(Self { required, metrics: metrics.clone() })
    }

    /// Returns the file to reload when it changes.
    pub fn file(&self) -> Option<Arc<dyn Reload>> {
        match &self.required {
            Credential::Token(tokens) => Some(Arc::clone(tokens) as _),
            Credential::Jwt(jwt) => jwt.file(),
            Credential::None(_) | Credential::Certificate => None,
        }
    }

    /// Returns the JWKS to fetch periodically.
    pub fn fetched_keys(&self) -> Option<Arc<FetchedKeys>> {
        match &self.required {
            Credential::Jwt(jwt) => jwt.fetched_keys(),
            _ => None,
        }
    }

    /// Returns the name of the caller. Reads the configured kind of credential only: `headers`, or `peer` with mTLS.
    pub(super) fn identify(
        &self,
        headers: &HeaderMap,
        peer: Option<&PeerIdentity>,
    ) -> Result<Arc<str>, Error> {
        self.required.name(headers, peer).map_err(|refusal| {
            self.metrics.auth_failures(self.required.mode(), refusal.0, 1);
            match (refusal, &self.required) {
                (AuthFailure::MISSING, Credential::Certificate) => {
                    Error::CredentialsMissing { wanted: SHOW_A_CERTIFICATE }
                }
                (AuthFailure::MISSING, _) => Error::CredentialsMissing { wanted: SEND_A_TOKEN },
                (AuthFailure::NO_KEYS, _) => Error::CredentialsUnverifiable,
                (AuthFailure(why), _) => Error::CredentialsInvalid { why },
            }
        })
    }
}

impl Credential {
    fn name(
        &self,
        headers: &HeaderMap,
        peer: Option<&PeerIdentity>,
    ) -> Result<Arc<str>, AuthFailure> {
        match self {
            Self::None(anonymous) => Ok(Arc::clone(anonymous)),
            Self::Token(tokens) => {
                let token = bearer::token(headers)?;
                tokens.get().name_of(token).cloned().ok_or(AuthFailure::UNKNOWN_TOKEN)
            }
            Self::Certificate => {
                let PeerIdentity(name) = peer.ok_or(AuthFailure::MISSING)?;
                if Caller::is_name(name) { Ok(Arc::clone(name)) } else { Err(AuthFailure::NAME) }
            }
            Self::Jwt(jwt) => jwt.name_of(bearer::token(headers)?),
        }
    }

    /// Returns the value of `auth.mode`.
    fn mode(&self) -> &'static str {
        match self {
            Self::None(_) => "none",
            Self::Token(_) => "tokens",
            Self::Certificate => "mtls",
            Self::Jwt(_) => "jwt",
        }
    }

    /// Returns the possible refusals.
    fn refusals(&self) -> &'static [AuthFailure] {
        match self {
            Self::None(_) => &[],
            Self::Token(_) => {
                &[AuthFailure::MISSING, AuthFailure::MALFORMED, AuthFailure::UNKNOWN_TOKEN]
            }
            Self::Certificate => &[AuthFailure::MISSING, AuthFailure::NAME],
            Self::Jwt(_) => &[
                AuthFailure::MISSING,
                AuthFailure::MALFORMED,
                AuthFailure::UNKNOWN_KEY,
                AuthFailure::ALGORITHM,
                AuthFailure::FORGED,
                AuthFailure::EXPIRED,
                AuthFailure::NOT_YET_VALID,
                AuthFailure::ISSUER,
                AuthFailure::AUDIENCE,
                AuthFailure::NAME,
                AuthFailure::NO_KEYS,
            ],
        }
    }
}

/// The cause of a failed authentication, as in the log and a metric. Replies do not contain it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct AuthFailure(&'static str);

impl AuthFailure {
    /// No credential.
    const MISSING: Self = Self("missing");
    /// Not a credential, or several.
    const MALFORMED: Self = Self("malformed");
    /// The token of no caller.
    const UNKNOWN_TOKEN: Self = Self("unknown_token");
    /// Signed with a key that is not in the JWKS.
    const UNKNOWN_KEY: Self = Self("unknown_key");
    /// No algorithm, or not one of the key's.
    const ALGORITHM: Self = Self("wrong_algorithm");
    /// The signature does not match.
    const FORGED: Self = Self("forged");
    /// `exp` has passed.
    const EXPIRED: Self = Self("expired");
    /// `nbf` is in the future.
    const NOT_YET_VALID: Self = Self("not_yet_valid");
    /// Another issuer.
    const ISSUER: Self = Self("wrong_issuer");
    /// Another audience.
    const AUDIENCE: Self = Self("wrong_audience");
    /// No name, or one that no caller may have.
    const NAME: Self = Self("wrong_name");
    /// The JWKS is not loaded yet.
    const NO_KEYS: Self = Self("no_keys");
}

#[cfg(test)]
mod tests;
