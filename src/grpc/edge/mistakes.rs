//! Lines at debug level about callers who went wrong in a way that no error of ours tells: what was seen of them.

use std::time::Duration;

use http::{Request, StatusCode, header};
use tracing::field::{DisplayValue, display};

use super::rpc::Rpc;
use crate::{
    peer::ConnectionInfo,
    telemetry::{Excerpt, PortName},
};

const PORT: &str = PortName::Grpc.as_str();

/// Tells of a request that was answered in HTTP's terms. REST, gRPC-Web and Connect come like this.
pub(super) fn not_grpc<T>(request: &Request<T>, status: StatusCode) {
    let content_type = request.headers().get(header::CONTENT_TYPE);
    tracing::debug!(
        port = PORT,
        peer = peer(request),
        http_method = %Excerpt(request.method().as_str().as_bytes()),
        path = %path(request),
        content_type = content_type.map(|value| display(Excerpt(value.as_bytes()))),
        http_status = status.as_u16(),
        "refused a request that is not gRPC"
    );
}

/// Tells of a call to what is not served here.
pub(super) fn no_such_method<T>(request: &Request<T>, rpc: &Rpc) {
    tracing::debug!(
        port = PORT,
        peer = peer(request),
        path = %path(request),
        request_id = rpc.request_id.to_str().unwrap_or_default(),
        "there is no such service or method"
    );
}

/// Tells of a call without a deadline, and of how much time it has instead.
pub(super) fn no_deadline<T>(request: &Request<T>, rpc: &Rpc, given: Duration) {
    tracing::debug!(
        port = PORT,
        peer = peer(request),
        method = rpc.method,
        request_id = rpc.request_id.to_str().unwrap_or_default(),
        caller = rpc.caller().map(|caller| &*caller.name),
        given_ms = u64::try_from(given.as_millis()).unwrap_or(u64::MAX),
        "the caller set no deadline"
    );
}

fn peer<T>(request: &Request<T>) -> Option<DisplayValue<std::net::SocketAddr>> {
    request.extensions().get::<ConnectionInfo>().map(|ends| display(ends.peer))
}

/// Returns the path without its query, where people put keys and texts.
fn path<T>(request: &Request<T>) -> Excerpt<'_> {
    Excerpt(request.uri().path().as_bytes())
}
