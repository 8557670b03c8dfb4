//! The bearer token in a call's metadata.

use http::{HeaderMap, header::AUTHORIZATION};

use super::AuthFailure;

/// Limit of bytes in a token. Tokens of Kubernetes have about 1,000.
pub(super) const MAX_TOKEN_BYTES: usize = 8 * 1024;

/// The scheme, in any case.
const SCHEME: &str = "bearer";

/// Returns the token of `authorization: Bearer TOKEN`.
///
/// Two such headers are an error: another reader could take the other one. Other schemes are errors too.
pub(super) fn token(headers: &HeaderMap) -> Result<&str, AuthFailure> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let value = values.next().ok_or(AuthFailure::MISSING)?;
    if values.next().is_some() {
        return Err(AuthFailure::MALFORMED);
    }
    let (scheme, token) = value
        .to_str()
        .ok()
        .and_then(|value| value.split_once(' '))
        .ok_or(AuthFailure::MALFORMED)?;
    let token = token.trim_matches(' ');
    let fits = (1..=MAX_TOKEN_BYTES).contains(&token.len());
    if scheme.eq_ignore_ascii_case(SCHEME) && fits && token.bytes().all(|b| b.is_ascii_graphic()) {
        Ok(token)
    } else {
        Err(AuthFailure::MALFORMED)
    }
}

#[cfg(test)]
mod tests;
