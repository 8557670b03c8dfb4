//! The request id: the caller's `x-request-id`, or a random one.

use http::{HeaderMap, HeaderValue};

/// Name of the header, in requests and replies.
pub(super) const HEADER: &str = "x-request-id";

/// Longer ids would exceed the header limits of clients together with error details.
const MAX_BYTES: usize = 128;

/// Returns the caller's id if it is 1 to 128 visible ASCII characters, and a random one otherwise.
pub(super) fn of(headers: &HeaderMap) -> HeaderValue {
    match headers.get(HEADER) {
        Some(id) if is_acceptable(id) => id.clone(),
        _ => random(),
    }
}

fn is_acceptable(id: &HeaderValue) -> bool {
    let bytes = id.as_bytes();
    (1..=MAX_BYTES).contains(&bytes.len()) && bytes.iter().all(u8::is_ascii_graphic)
}

fn random() -> HeaderValue {
    let id = format!("{:032x}", rand::random::<u128>());
    // Hexadecimal digits are always a header value.
    HeaderValue::from_str(&id).unwrap_or(HeaderValue::from_static("unknown"))
}
