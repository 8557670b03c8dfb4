//! Who calls: credentials in, a caller's name out.
//!
//! A refusal says nothing to the caller but that the credential is missing or not accepted; the log (at debug level)
//! and a metric say why. No token is kept, and none is written anywhere: what is compared and remembered are hashes.

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

/// What callers without a credential are told to do.
const SEND_A_TOKEN: &str = "send the metadata \"authorization: Bearer TOKEN\"";
const SHOW_A_CERTIFICATE: &str = "connect over TLS with a client certificate";

/// Finds out who calls; cheap to clone.
#[derive(Clone, Debug)]
pub struct Authenticator {
    /// What is asked for, and where refusals are counted; `None`: nobody is asked.
    asks: Option<(Credential, Metrics)>,
    anonymous: Arc<str>,
}

/// What proves who calls.
#[derive(Clone, Debug)]
enum Credential {
    Token(Arc<Live<Tokens>>),
    /// The TLS handshake has asked for it.
    Certificate,
    Jwt(Arc<Jwt>),
}

impl Authenticator {
    /// Asks nobody who they are.
    pub fn none() -> Self {
        Self { asks: None, anonymous: Arc::from(Caller::ANONYMOUS) }
    }

    /// Asks as a configuration says, and reads the files it names; `fetch` gets what is at `auth.jwt.jwks_url`.
    pub fn new(
        config: &Config,
        fetch: Option<Fetch>,
        metrics: &Metrics,
    ) -> Result<Self, LoadError> {
        let credential = match config.mode {
            None | Some(AuthMode::None) => return Ok(Self::none()),
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
        Ok(Self { asks: Some((credential, metrics.clone())), ..Self::none() })
    }

    /// Returns the file that is to be looked at again and again.
    pub fn file(&self) -> Option<Arc<dyn Reload>> {
        match &self.asks.as_ref()?.0 {
            Credential::Token(tokens) => Some(Arc::clone(tokens) as _),
            Credential::Jwt(jwt) => jwt.file(),
            Credential::Certificate => None,
        }
    }

    /// Returns the keys that are to be fetched again and again.
    pub fn fetched_keys(&self) -> Option<Arc<FetchedKeys>> {
        match &self.asks.as_ref()?.0 {
            Credential::Jwt(jwt) => jwt.fetched_keys(),
            Credential::Token(_) | Credential::Certificate => None,
        }
    }

    /// Returns the name of the caller whose credential is in `headers`, or was shown in the TLS handshake.
    ///
    /// A certificate is no credential where a token is asked for, and the other way round.
    pub(super) fn identify(
        &self,
        headers: &HeaderMap,
        peer: Option<&PeerIdentity>,
    ) -> Result<Arc<str>, Error> {
        let Some((credential, metrics)) = &self.asks else {
            return Ok(Arc::clone(&self.anonymous));
        };
        credential.name(headers, peer).map_err(|refusal| {
            metrics.auth_failure(credential.mode(), refusal.why());
            match (refusal, credential) {
                (Refusal::Missing, Credential::Certificate) => {
                    Error::CredentialsMissing { wanted: SHOW_A_CERTIFICATE }
                }
                (Refusal::Missing, _) => Error::CredentialsMissing { wanted: SEND_A_TOKEN },
                (Refusal::NoKeys, _) => Error::CredentialsUnverifiable,
                _ => Error::CredentialsInvalid { why: refusal.why() },
            }
        })
    }
}

impl Credential {
    fn name(&self, headers: &HeaderMap, peer: Option<&PeerIdentity>) -> Result<Arc<str>, Refusal> {
        match self {
            Self::Token(tokens) => {
                let token = bearer::token(headers)?;
                tokens.get().name_of(token).cloned().ok_or(Refusal::UnknownToken)
            }
            Self::Certificate => {
                let PeerIdentity(name) = peer.ok_or(Refusal::Missing)?;
                if Caller::is_name(name) { Ok(Arc::clone(name)) } else { Err(Refusal::Name) }
            }
            Self::Jwt(jwt) => jwt.name_of(bearer::token(headers)?),
        }
    }

    /// Returns the value of `auth.mode`.
    fn mode(&self) -> &'static str {
        match self {
            Self::Token(_) => "tokens",
            Self::Certificate => "mtls",
            Self::Jwt(_) => "jwt",
        }
    }
}

/// Why a call has no caller. The log and a metric tell it; callers are told as little as can be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Refusal {
    /// There is no credential.
    Missing,
    /// There is something that is no credential, or more than one.
    Malformed,
    /// No caller has this token.
    UnknownToken,
    /// The token is signed with a key that is not in the set.
    UnknownKey,
    /// The token's algorithm is none, or none of its key's.
    Algorithm,
    /// The signature is not the key's.
    Forged,
    /// The token's time is over.
    Expired,
    /// The token's time is still to come.
    NotYetValid,
    /// Somebody else issued the token.
    Issuer,
    /// The token is meant for somebody else.
    Audience,
    /// The credential names nobody, or somebody by a name that no caller may have.
    Name,
    /// There are no keys yet to check a token by.
    NoKeys,
}

impl Refusal {
    /// Returns the name used in logs and metrics.
    fn why(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Malformed => "malformed",
            Self::UnknownToken => "unknown_token",
            Self::UnknownKey => "unknown_key",
            Self::Algorithm => "wrong_algorithm",
            Self::Forged => "forged",
            Self::Expired => "expired",
            Self::NotYetValid => "not_yet_valid",
            Self::Issuer => "wrong_issuer",
            Self::Audience => "wrong_audience",
            Self::Name => "wrong_name",
            Self::NoKeys => "no_keys",
        }
    }
}

#[cfg(test)]
mod tests;
