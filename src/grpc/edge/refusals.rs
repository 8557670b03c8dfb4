//! Replaces tonic's own errors.
//!
//! tonic rejects messages before a service sees them, without details: too large is `OUT_OF_RANGE` (or
//! `RESOURCE_EXHAUSTED` after decompression), undecodable is `INTERNAL`. The codec of the services rejects too many fields
//! with `INVALID_ARGUMENT`. Errors of the gateway always have details, so these can be recognized.

use http::{HeaderMap, Response};
use tonic::{Code, body::Body};

use super::Call;
use crate::{error::Error, grpc::codec::MAX_FIELDS};

/// Replaces an error of tonic's by one of the gateway's; other responses stay as they are.
pub(super) fn explained(
    response: Response<Body>,
    max_request_bytes: u64,
    call: &Call,
) -> Response<Body> {
    // Health and reflection are services of tonic, with errors of their own.
    if !call.rpc.is_own() {
        return response;
    }
    match foreign_code(response.headers()) {
        Some(Code::OutOfRange | Code::ResourceExhausted) => {
            call.refuse(&Error::RequestTooLarge { limit: max_request_bytes }).into_http()
        }
        Some(Code::InvalidArgument) => call.refuse(&too_many_fields()).into_http(),
        Some(Code::Internal) => call.refuse(&undecodable()).into_http(),
        _ => response,
    }
}

fn too_many_fields() -> Error {
    let description =
        format!("must have at most {MAX_FIELDS} fields, one per input; use several calls");
    Error::violation("request", "TOO_MANY_FIELDS", description)
}

pub(super) fn undecodable() -> Error {
    Error::violation(
        "request",
        "UNDECODABLE",
        "must be a complete protobuf message of the method's type, with strings in UTF-8",
    )
}

pub(super) fn trailing_bytes() -> Error {
    let description = "must be a single message, because the method is unary";
    Error::violation("request", "TRAILING_BYTES", description)
}

/// Returns the code of a status without details, which is not the gateway's.
fn foreign_code(headers: &HeaderMap) -> Option<Code> {
    if headers.contains_key("grpc-status-details-bin") {
        return None;
    }
    headers.get("grpc-status").map(|code| Code::from_bytes(code.as_bytes()))
}
