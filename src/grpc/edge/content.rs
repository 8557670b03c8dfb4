//! What is gRPC: by its content type, or HTTP 415; by its method, or HTTP 405.

use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use tonic::body::Body;

/// Answers what is not gRPC, in HTTP's terms: who does not speak gRPC reads no gRPC status.
///
/// A missing `te: trailers` is let pass, as all servers do: proxies strip it, and whoever cannot read trailers finds
/// out by itself. Whether the encoding of messages is known is tonic's to say, as `UNIMPLEMENTED`.
pub(super) fn refusal<T>(request: &Request<T>) -> Option<Response<Body>> {
    let (status, allow) = if !is_grpc(request.headers()) {
        (StatusCode::UNSUPPORTED_MEDIA_TYPE, None)
    } else if request.method() != Method::POST {
        (StatusCode::METHOD_NOT_ALLOWED, Some(HeaderValue::from_static("POST")))
    } else {
        return None;
    };
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    response.headers_mut().extend(allow.map(|allowed| (header::ALLOW, allowed)));
    Some(response)
}

/// Returns whether the content type is `application/grpc`, with or without `+proto`, in any case: messages of other
/// formats would be read as protobuf and mean something else.
fn is_grpc(headers: &HeaderMap) -> bool {
    const TYPE: &[u8] = b"application/grpc";
    let Some(value) = headers.get(header::CONTENT_TYPE) else { return false };
    let end = value.as_bytes().iter().position(|byte| *byte == b';');
    let essence = value.as_bytes()[..end.unwrap_or(value.len())].trim_ascii();
    let (Some(main), format) = (essence.get(..TYPE.len()), essence.get(TYPE.len()..)) else {
        return false;
    };
    let format = format.unwrap_or_default();
    main.eq_ignore_ascii_case(TYPE) && (format.is_empty() || format.eq_ignore_ascii_case(b"+proto"))
}
