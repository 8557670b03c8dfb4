//! What the admin port answers: pages over HTTP, health over gRPC.

use http::{Request, Response};
use tonic::{body::Body, service::Routes};
use tower::ServiceExt as _;

use crate::telemetry::{admin, status::Board};

/// The admin port: pages over HTTP, health over gRPC.
#[derive(Clone)]
pub(super) struct AdminPages {
    pub(super) board: Board,
    pub(super) health: Routes,
}

impl AdminPages {
    pub(super) async fn answer(self, request: Request<Body>) -> Response<Body> {
        let grpc = request
            .headers()
            .get(http::header::CONTENT_TYPE)
            .is_some_and(|value| value.as_bytes().starts_with(b"application/grpc"));
        if !grpc {
            return admin::page(request.method(), request.uri(), &self.board).map(Body::new);
        }
        match self.health.oneshot(request).await {
            Ok(response) => response,
            Err(never) => match never {},
        }
    }
}
