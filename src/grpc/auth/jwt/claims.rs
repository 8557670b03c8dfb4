//! The text of a token (RFC 7519): three parts, of which the first two are JSON.

use std::{sync::Arc, time::Duration};

use jsonwebtoken::Algorithm;
use serde::{
    Deserialize, Deserializer,
    de::{DeserializeOwned, Error as _, IgnoredAny},
};

use super::super::Refusal;
use crate::caller::Caller;

/// A token taken apart, and nothing of it believed yet.
pub(super) struct Parts<'a> {
    pub(super) algorithm: Algorithm,
    pub(super) key_id: Option<String>,
    /// What is signed: the first two parts as they stand in the token.
    pub(super) message: &'a [u8],
    pub(super) signature: &'a str,
    claims: &'a str,
}

/// What the header says. What else may stand there (`jku`, `jwk`, `x5c`) offers keys of the token's own, and is not
/// even read.
#[derive(Deserialize)]
struct Header {
    alg: String,
    kid: Option<String>,
    /// Names what must be understood; nothing is, so that it is there is enough.
    #[serde(default, deserialize_with = "is_there")]
    crit: bool,
}

impl<'a> Parts<'a> {
    pub(super) fn of(token: &'a str) -> Result<Self, Refusal> {
        let (message, signature) = token.rsplit_once('.').ok_or(Refusal::Malformed)?;
        let (header, claims) = message.split_once('.').ok_or(Refusal::Malformed)?;
        let header: Header = json(header)?;
        if header.crit {
            return Err(Refusal::Malformed);
        }
        // `none` is no algorithm, and the symmetric ones fit no key of ours.
        let algorithm = header.alg.parse().map_err(|_| Refusal::Algorithm)?;
        let message = message.as_bytes();
        Ok(Self { algorithm, key_id: header.kid, message, signature, claims })
    }

    /// Reads the claims. For a token whose signature is good, and no other.
    pub(super) fn claims(&self) -> Result<Claims, Refusal> {
        json(self.claims)
    }
}

/// What a token says, as far as it matters here.
#[derive(Deserialize)]
pub(super) struct Claims {
    iss: Option<String>,
    sub: Option<String>,
    aud: Option<Audience>,
    #[serde(default, deserialize_with = "time")]
    exp: Option<Duration>,
    #[serde(default, deserialize_with = "time")]
    nbf: Option<Duration>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Audience {
    One(String),
    Several(Vec<String>),
}

/// When a token is good, since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Times {
    pub(super) expires: Duration,
    pub(super) not_before: Duration,
}

impl Claims {
    /// Returns whom the token names and when it is good, if it is meant for this audience.
    pub(super) fn judge(self, issuer: &str, audience: &str) -> Result<(Arc<str>, Times), Refusal> {
        if self.iss.as_deref() != Some(issuer) {
            return Err(Refusal::Issuer);
        }
        let meant = match &self.aud {
            None => false,
            Some(Audience::One(name)) => name == audience,
            Some(Audience::Several(names)) => names.iter().any(|name| name == audience),
        };
        if !meant {
            return Err(Refusal::Audience);
        }
        let expires = self.exp.ok_or(Refusal::Malformed)?;
        let name = self.sub.filter(|name| Caller::is_name(name)).ok_or(Refusal::Name)?;
        Ok((name.into(), Times { expires, not_before: self.nbf.unwrap_or_default() }))
    }
}

impl Times {
    /// Tells whether it is good now, on clocks that are at most `leeway` apart.
    pub(super) fn judge(self, now: Duration, leeway: Duration) -> Result<(), Refusal> {
        if now >= self.expires.saturating_add(leeway) {
            return Err(Refusal::Expired);
        }
        if now.saturating_add(leeway) < self.not_before {
            return Err(Refusal::NotYetValid);
        }
        Ok(())
    }
}

/// Reads one part: base64 of the URL's kind, without padding, and JSON within.
fn json<T: DeserializeOwned>(part: &str) -> Result<T, Refusal> {
    let bytes = base64_simd::URL_SAFE_NO_PAD.decode_to_vec(part).map_err(|_| Refusal::Malformed)?;
    serde_json::from_slice(&bytes).map_err(|_| Refusal::Malformed)
}

/// Passes over a value, even `null`.
fn is_there<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    IgnoredAny::deserialize(deserializer).map(|_| true)
}

/// Reads a `NumericDate`: seconds, perhaps with a fraction.
fn time<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
    let seconds = f64::deserialize(deserializer)?;
    Duration::try_from_secs_f64(seconds).map(Some).map_err(D::Error::custom)
}

#[cfg(test)]
mod tests;
