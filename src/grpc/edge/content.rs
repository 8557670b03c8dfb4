//! Requests that are not gRPC: HTTP 415 for another content type, HTTP 405 for another method.

use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use tonic::body::Body;

/// Returns the HTTP error for a request that is not gRPC, since its client does not read gRPC statuses.
///
/// A missing `te: trailers` is accepted, as by other servers, because proxies remove it. tonic checks the encoding of
/// messages (`UNIMPLEMENTED`).
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

/// Returns whether the content type is `application/grpc`, with or without `+proto`, in any case. Messages of other formats
/// would be misread as protobuf.
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
