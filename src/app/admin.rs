//! What the admin port answers: pages over HTTP, health over gRPC.

use http::{Request, Response, StatusCode, Uri, header};
use tonic::{Code, body::Body, service::Routes};
use tower::ServiceExt as _;

use crate::{
    caller::Ends,
    telemetry::{Excerpt, PortName, admin, status::Board},
};

/// The admin port: pages over HTTP, health over gRPC.
#[derive(Clone)]
pub(super) struct AdminPages {
    pub(super) board: Board,
    pub(super) health: Routes,
}

impl AdminPages {
    pub(super) async fn answer(self, request: Request<Body>) -> Response<Body> {
        let ends = request.extensions().get::<Ends>().copied();
        let uri = request.uri().clone();
        let content_type = request.headers().get(header::CONTENT_TYPE);
        let grpc =
            content_type.is_some_and(|value| value.as_bytes().starts_with(b"application/grpc"));
        let response = if grpc {
            match self.health.oneshot(request).await {
                Ok(response) => response,
                Err(never) => match never {},
            }
        } else {
            admin::page(request.method(), &uri, &self.board).map(Body::new)
        };
        if let Some(problem) = mistake(&uri, &response) {
            told(ends, &uri, problem);
        }
        response
    }
}

/// Says what whoever asked for something else than this port has was after, most probably.
fn mistake(uri: &Uri, response: &Response<Body>) -> Option<&'static str> {
    let code = response.headers().get("grpc-status").map(|code| Code::from_bytes(code.as_bytes()));
    if code == Some(Code::Unimplemented) {
        let ours = uri.path().starts_with("/voyage.");
        return Some(if ours {
            "the RPC is served on the gRPC port"
        } else {
            "there is no such RPC"
        });
    }
    match response.status() {
        StatusCode::NOT_FOUND => Some("there is no such page"),
        StatusCode::METHOD_NOT_ALLOWED => Some("the port only reads"),
        _ => None,
    }
}

fn told(ends: Option<Ends>, uri: &Uri, problem: &'static str) {
    let peer = ends.map(|ends| tracing::field::display(ends.peer));
    // Without its query, where people put keys and texts.
    let path = Excerpt(uri.path().as_bytes());
    let port = PortName::Admin.as_str();
    tracing::debug!(port, peer, %path, problem, "a request for what the admin port has not");
}
