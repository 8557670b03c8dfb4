//! Debug log lines about mistakes of callers that no error describes.

use std::time::Duration;

use http::{Request, StatusCode, header};
use tracing::field::{DisplayValue, display};

use super::rpc::Rpc;
use crate::{
    peer::ConnectionInfo,
    telemetry::{Excerpt, PortName},
};

const PORT: &str = PortName::Grpc.as_str();

/// Logs a request that got an HTTP error, such as one of REST, gRPC-Web or Connect.
pub(super) fn not_grpc<T>(request: &Request<T>, status: StatusCode) {
    let content_type = request.headers().get(header::CONTENT_TYPE);
    tracing::debug!(
        port = PORT,
        peer = peer(request),
        http_method = %Excerpt(request.method().as_str().as_bytes()),
        path = %path(request),
        content_type = content_type.map(|value| display(Excerpt(value.as_bytes()))),
        http_status = status.as_u16(),
        "request is not gRPC"
    );
}

/// Logs a call to an unknown method.
pub(super) fn no_such_method<T>(request: &Request<T>, rpc: &Rpc) {
    tracing::debug!(
        port = PORT,
        peer = peer(request),
        path = %path(request),
        request_id = rpc.request_id.to_str().unwrap_or_default(),
        "unknown service or method"
    );
}

/// Logs a call without a deadline, and the default that it got.
pub(super) fn no_deadline<T>(request: &Request<T>, rpc: &Rpc, given: Duration) {
    tracing::debug!(
        port = PORT,
        peer = peer(request),
        method = rpc.method,
        request_id = rpc.request_id.to_str().unwrap_or_default(),
        caller = rpc.caller.get().map(|caller| &*caller.name),
        given_ms = u64::try_from(given.as_millis()).unwrap_or(u64::MAX),
        "call without a deadline"
    );
}

fn peer<T>(request: &Request<T>) -> Option<DisplayValue<std::net::SocketAddr>> {
    request.extensions().get::<ConnectionInfo>().map(|info| display(info.peer))
}

/// Returns the path without its query, which may contain keys and texts.
fn path<T>(request: &Request<T>) -> Excerpt<'_> {
    Excerpt(request.uri().path().as_bytes())
}
