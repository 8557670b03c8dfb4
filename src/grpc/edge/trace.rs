//! The span of an RPC.

use std::{net::SocketAddr, sync::Arc};

use http::Request;
use tonic::Code;

use super::rpc::Rpc;
use crate::{
    grpc::status::code_name,
    peer::ConnectionInfo,
    telemetry::{
        semconv,
        trace::{Span, Tracer},
    },
};

/// Limit for names of unknown methods.
const MAX_METHOD_BYTES: usize = 128;

/// Begins the span of a request to `method`.
pub(super) fn begin<B>(tracer: &Tracer, request: &Request<B>, method: &'static str) -> Span {
    let mut span = tracer.serve(request.headers(), method);
    if !span.is_recorded() {
        return span;
    }
    span.set(semconv::RPC_SYSTEM_NAME, semconv::GRPC);
    span.set(semconv::RPC_METHOD, method);
    if method == semconv::OTHER
        && let Some(original) = presentable(request.uri().path())
    {
        span.set(semconv::RPC_METHOD_ORIGINAL, original);
    }
    if let Some(ConnectionInfo { peer, server }) = request.extensions().get::<ConnectionInfo>() {
        note(&mut span, *peer, semconv::NETWORK_PEER_ADDRESS, semconv::NETWORK_PEER_PORT);
        if let Some(server) = server {
            note(&mut span, *server, semconv::SERVER_ADDRESS, semconv::SERVER_PORT);
        }
    }
    span
}

/// Adds how the RPC ended to its span.
pub(super) fn end(span: &mut Span, rpc: &Rpc, code: Code) {
    if !span.is_recorded() {
        return;
    }
    span.set(semconv::RPC_RESPONSE_STATUS_CODE, code_name(code));
    span.set(semconv::REQUEST_ID, rpc.request_id.to_str().unwrap_or_default().to_owned());
    span.set(semconv::OUTCOME, rpc.outcome(code).as_str());
    if let Some(caller) = rpc.caller.get() {
        span.set(semconv::CALLER, Arc::clone(&caller.name));
    }
    if let Some(reason) = rpc.reason.get().copied() {
        span.set(semconv::REASON, reason);
    }
    if is_error(code) {
        span.fail(code_name(code));
    }
}

/// Returns whether a code is an error of the server, by the semantic conventions.
fn is_error(code: Code) -> bool {
    matches!(
        code,
        Code::Unknown
            | Code::DeadlineExceeded
            | Code::Unimplemented
            | Code::Internal
            | Code::Unavailable
            | Code::DataLoss
    )
}

/// Returns the name of an unknown method if it is short and printable: callers choose it.
fn presentable(path: &str) -> Option<String> {
    let method = path.strip_prefix('/').unwrap_or(path);
    let is_shown = (1..=MAX_METHOD_BYTES).contains(&method.len())
        && method.bytes().all(|byte| byte.is_ascii_graphic());
    is_shown.then(|| method.to_owned())
}

fn note(span: &mut Span, end: SocketAddr, address: &'static str, port: &'static str) {
    if !end.ip().is_unspecified() {
        span.set(address, end.ip().to_string());
    }
    span.set(port, i64::from(end.port()));
}
