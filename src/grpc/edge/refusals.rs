//! tonic's own refusals, explained.
//!
//! tonic refuses messages it cannot take before a service sees them, and says so without details: too large is
//! `OUT_OF_RANGE` (or `RESOURCE_EXHAUSTED` when it grew while being decompressed), everything undecodable is
//! `INTERNAL`; our codec's one refusal, of too many fields, is `INVALID_ARGUMENT`. Every status of ours has details, so these can be told apart and put right.

use http::{HeaderMap, Response};
use tonic::{Code, body::Body};

use super::Call;
use crate::{error::Error, grpc::codec::MAX_FIELDS};

/// Replaces a refusal of tonic's with one of ours; anything else passes.
pub(super) fn explained(
    response: Response<Body>,
    max_request_bytes: u64,
    call: &Call,
) -> Response<Body> {
    // Health and reflection are tonic's own services: what they refuse is theirs to say.
    if !call.rpc.is_own() {
        return response;
    }
    match foreign_code(response.headers()) {
        Some(Code::OutOfRange | Code::ResourceExhausted) => {
            call.refuse(&Error::RequestTooLarge { limit: max_request_bytes }).into_http()
        }
        Some(Code::InvalidArgument) => call.refuse(&crowded()).into_http(),
        Some(Code::Internal) => call.refuse(&undecodable()).into_http(),
        _ => response,
    }
}

fn crowded() -> Error {
    let description =
        format!("expected at most {MAX_FIELDS} fields, an input each; use several calls");
    Error::violation("request", "TOO_MANY_FIELDS", description)
}

pub(super) fn undecodable() -> Error {
    Error::violation(
        "request",
        "UNDECODABLE",
        "expected one whole protobuf message of the method's type, with strings in UTF-8",
    )
}

pub(super) fn more_than_one() -> Error {
    let description = "expected one message and nothing after it: the method is unary";
    Error::violation("request", "TRAILING_BYTES", description)
}

/// Returns the code of a status that carries no details, and so is not ours.
fn foreign_code(headers: &HeaderMap) -> Option<Code> {
    if headers.contains_key("grpc-status-details-bin") {
        return None;
    }
    headers.get("grpc-status").map(|code| Code::from_bytes(code.as_bytes()))
}
