//! The parts of a token (RFC 7519) that the gateway reads itself; `jsonwebtoken` decodes the claims.

use std::time::Duration;

use jsonwebtoken::{
    Algorithm, Validation,
    errors::{Error as JwtError, ErrorKind},
};
use serde::{
    Deserialize, Deserializer,
    de::{Error as _, IgnoredAny},
};

use super::{super::AuthFailure, verified::VerifiedToken};
use crate::caller::Caller;

/// A token's header. Members that offer keys of the token's own (`jku`, `jwk`, `x5c`) are ignored.
pub(super) struct TokenHeader {
    pub(super) algorithm: Algorithm,
    pub(super) key_id: Option<String>,
}

impl TokenHeader {
    pub(super) fn of(token: &str) -> Result<Self, AuthFailure> {
        #[derive(Deserialize)]
        struct Fields {
            alg: String,
            kid: Option<String>,
            #[serde(default, deserialize_with = "is_present")]
            crit: bool,
        }
        let (header, _) = token.split_once('.').ok_or(AuthFailure::MALFORMED)?;
        let header = base64_simd::URL_SAFE_NO_PAD.decode_to_vec(header);
        let header = header.map_err(|_| AuthFailure::MALFORMED)?;
        let Fields { alg, kid, crit } =
            serde_json::from_slice(&header).map_err(|_| AuthFailure::MALFORMED)?;
        // `crit` lists extensions that must be understood. The gateway understands none.
        if crit {
            return Err(AuthFailure::MALFORMED);
        }
        // `none` is no algorithm, and no key accepts the symmetric ones.
        let algorithm = alg.parse().map_err(|_| AuthFailure::ALGORITHM)?;
        Ok(Self { algorithm, key_id: kid })
    }
}

/// The claims that matter, but for `aud`, which [`validation`] checks.
#[derive(Deserialize)]
pub(super) struct Claims {
    /// Checked by [`validation`], which would accept a list too.
    #[serde(rename = "iss")]
    _issuer: Option<String>,
    sub: Option<String>,
    #[serde(deserialize_with = "time")]
    exp: Duration,
    #[serde(default, deserialize_with = "time")]
    nbf: Duration,
}

impl Claims {
    pub(super) fn verified(self) -> Result<VerifiedToken, AuthFailure> {
        let name = self.sub.filter(|name| Caller::is_name(name)).ok_or(AuthFailure::NAME)?;
        Ok(VerifiedToken { name: name.into(), expires: self.exp, not_before: self.nbf })
    }
}

/// Requires this issuer and audience. [`VerifiedToken`] checks the times, by the gateway's clock.
pub(super) fn validation(issuer: &str, audience: &str) -> Validation {
    let mut validation = Validation::default();
    validation.set_issuer(&[issuer]);
    validation.set_audience(&[audience]);
    validation.set_required_spec_claims(&["iss", "aud"]);
    validation.validate_exp = false;
    validation
}

/// Returns why `jsonwebtoken` does not accept a token. It verifies the signature first.
pub(super) fn refusal(error: &JwtError) -> AuthFailure {
    match error.kind() {
        ErrorKind::InvalidSignature | ErrorKind::Base64(_) => AuthFailure::FORGED,
        ErrorKind::InvalidIssuer => AuthFailure::ISSUER,
        ErrorKind::MissingRequiredClaim(claim) if claim == "iss" => AuthFailure::ISSUER,
        ErrorKind::InvalidAudience | ErrorKind::MissingRequiredClaim(_) => AuthFailure::AUDIENCE,
        _ => AuthFailure::MALFORMED,
    }
}

/// Returns true for any value, even `null`.
fn is_present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    IgnoredAny::deserialize(deserializer).map(|_| true)
}

/// Reads a `NumericDate`: seconds, perhaps with a fraction.
fn time<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let seconds = f64::deserialize(deserializer)?;
    Duration::try_from_secs_f64(seconds).map_err(D::Error::custom)
}
