//! Maps HTTP replies and transport errors to [`Fault`]s.
//!
//! The texts are Voyage's own, as recorded in autumn 2026. The status classifies a text that is not recognised.

use std::{error::Error as StdError, io, time::Duration};

use http::{HeaderMap, StatusCode, header};
use serde::Deserialize;

use crate::{error::Fault, item::Endpoint};

/// The longest `Retry-After` that is accepted.
const MAX_RETRY_AFTER: Duration = Duration::from_mins(1);

/// The bytes of a Voyage message that are passed on: the details of a gRPC error must stay small.
const MAX_DETAIL_BYTES: usize = 512;

/// A reply with another status than 200.
pub(super) struct Refusal<'a> {
    pub(super) endpoint: Endpoint,
    pub(super) status: StatusCode,
    pub(super) headers: &'a HeaderMap,
    pub(super) body: &'a [u8],
    /// Bytes of the request's body.
    pub(super) request_bytes: u64,
    /// The base URL of the request.
    pub(super) base_url: &'a str,
    /// Removes every key from a text that is passed on.
    pub(super) scrub: &'a dyn Fn(&str) -> String,
}

/// Voyage's error body; both fields are usually strings, and may be any JSON.
#[derive(Default, Deserialize)]
struct ErrorBody {
    detail: Option<serde_json::Value>,
    error_code: Option<serde_json::Value>,
}

/// Classifies any status but 200.
pub(super) fn from_reply(refusal: &Refusal<'_>) -> Fault {
    let retry_after = retry_after(refusal.headers);
    match refusal.status.as_u16() {
        400 | 422 => from_bad_request(refusal),
        401 => Fault::Unauthenticated,
        402 => Fault::PaymentRequired,
        403 => Fault::Forbidden,
        404 | 405 => Fault::NotFound { host: host_of(refusal.base_url) },
        406 | 411 | 415 | 431 | 501 | 505 => Fault::Protocol,
        408 | 425 | 502..=504 | 520..=527 | 529 | 530 => Fault::Unavailable { retry_after },
        409 => Fault::Conflict,
        410 => Fault::ModelNotSupported,
        413 => Fault::PayloadTooLarge { request_bytes: refusal.request_bytes },
        429 => Fault::RateLimited { retry_after, free_tier: is_free_tier(refusal.body) },
        300..=399 => Fault::Redirect { location: location_host(refusal) },
        500..=599 => Fault::ServerError { retry_after },
        _ => Fault::UnexpectedStatus,
    }
}

fn from_bad_request(refusal: &Refusal<'_>) -> Fault {
    let body: ErrorBody = serde_json::from_slice(refusal.body).unwrap_or_default();
    let detail = match body.detail {
        Some(serde_json::Value::String(text)) => Some(text),
        Some(other) => Some(other.to_string()),
        None => None,
    };
    let text = detail.as_deref().unwrap_or_default();

    if body.error_code.is_some_and(|code| code == "TOO_MANY_TOKENS_IN_BATCH")
        || text.contains("max allowed tokens per submitted batch")
    {
        return Fault::TooManyTokens {
            limit: number_after(text, "max allowed tokens per submitted batch is "),
            actual: number_after(text, "Your batch has "),
        };
    }
    if text.contains("context window")
        && let Some(index) =
            number_after(text, "example at index ").and_then(|n| usize::try_from(n).ok())
    {
        return Fault::InputTooLong { index, limit: number_after(text, "context window of ") };
    }
    if text.starts_with("Model ") && text.contains(" is not supported") {
        return Fault::ModelNotSupported;
    }
    Fault::InvalidRequest {
        field: named_field(refusal.endpoint, text),
        detail: detail.map(|text| presentable(&text, refusal.scrub)),
    }
}

/// Returns the gateway's field that a message names, or `request` when it is an argument that callers do not set.
/// `None`: the message names no argument and may concern any input.
fn named_field(endpoint: Endpoint, text: &str) -> Option<&'static str> {
    /// The beginning of every message about arguments.
    const ARGUMENTS: &str =
        "The request body is not valid JSON, or some arguments were not specified";

    let argument = ["Error for argument '", "supplied for argument '", "Argument '"]
        .iter()
        .find_map(|marker| text.split_once(marker))
        .and_then(|(_, rest)| rest.split_once('\''))
        .map(|(name, _)| name);
    match argument {
        Some(name) => endpoint.field_of(name).or(Some("request")),
        None => text.starts_with(ARGUMENTS).then_some("request"),
    }
}

/// Parses the digits that follow `marker`.
fn number_after(text: &str, marker: &str) -> Option<u64> {
    let (_, rest) = text.split_once(marker)?;
    let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    rest[..digits].parse().ok()
}

/// Prepares upstream text for callers: no key, one line, at most 512 bytes.
pub(super) fn presentable(text: &str, scrub: &dyn Fn(&str) -> String) -> String {
    let mut text: String =
        scrub(text).chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    text.truncate(text.floor_char_boundary(MAX_DETAIL_BYTES));
    text
}

fn is_free_tier(body: &[u8]) -> bool {
    String::from_utf8_lossy(body).contains("reduced rate limits of 3 RPM and 10K TPM")
}

/// Parses `Retry-After`: seconds, or a date, which counts from the reply's own `Date` so that no clock has
/// to be right. A past date is 0; anything else is ignored; the longest wait is 60 s.
pub(super) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim();
    let wait = if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) {
        // Only a number that is too large does not parse.
        text.parse().map_or(MAX_RETRY_AFTER, Duration::from_secs)
    } else {
        let date = httpdate::parse_http_date(text).ok()?;
        let sent = headers.get(header::DATE)?.to_str().ok()?;
        let sent = httpdate::parse_http_date(sent).ok()?;
        date.duration_since(sent).unwrap_or_default()
    };
    Some(wait.min(MAX_RETRY_AFTER))
}

fn location_host(refusal: &Refusal<'_>) -> Option<String> {
    let host = host_of(refusal.headers.get(header::LOCATION)?.to_str().ok()?)?;
    Some(presentable(&host, refusal.scrub))
}

fn host_of(url: &str) -> Option<String> {
    url.parse::<http::Uri>().ok()?.host().map(str::to_owned)
}

/// Classifies a request that ended without a status.
pub(super) fn from_request(error: &reqwest::Error) -> Fault {
    match from_transport(error) {
        Fault::ConnectFailed if !error.is_connect() && is_cut(error) => Fault::ConnectionLost,
        fault => fault,
    }
}

/// Returns whether the connection ended before the answer, rather than carrying invalid HTTP.
fn is_cut(error: &reqwest::Error) -> bool {
    causes(error).any(|cause| {
        let cut = |io: &io::Error| {
            matches!(
                io.kind(),
                io::ErrorKind::ConnectionReset
                    | io::ErrorKind::ConnectionAborted
                    | io::ErrorKind::BrokenPipe
                    | io::ErrorKind::UnexpectedEof
            )
        };
        cause.downcast_ref::<hyper::Error>().is_some_and(hyper::Error::is_incomplete_message)
            || cause.downcast_ref::<io::Error>().is_some_and(cut)
    })
}

/// Classifies an error before or during an answer.
pub(super) fn from_transport(error: &reqwest::Error) -> Fault {
    // A connect timeout means no connection; any other timeout is a slow answer.
    if error.is_timeout() && !error.is_connect() {
        return Fault::Timeout;
    }
    if let Some(tls) = causes(error).find_map(|cause| cause.downcast_ref::<rustls::Error>()) {
        return match tls {
            rustls::Error::InvalidCertificate(_) | rustls::Error::NoCertificatesPresented => {
                Fault::TlsRejected
            }
            _ => Fault::TlsCut,
        };
    }
    // While connecting, only a handshake can be cut: a closed port refuses.
    let cut = causes(error).filter_map(|cause| cause.downcast_ref::<io::Error>()).any(|io| {
        matches!(io.kind(), io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset)
    });
    if error.is_connect() && cut { Fault::TlsCut } else { Fault::ConnectFailed }
}

/// Returns the chain of causes; `source` skips the error that an `io::Error` wraps.
fn causes(error: &reqwest::Error) -> impl Iterator<Item = &(dyn StdError + 'static)> {
    std::iter::successors(error.source(), |&cause| {
        match cause.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
            Some(inner) => Some(inner),
            None => cause.source(),
        }
    })
}

#[cfg(test)]
mod tests;
