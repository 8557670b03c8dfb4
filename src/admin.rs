//! The operators' port: status page, metrics and probes over HTTP, health over gRPC. It only reads.
//!
//! Liveness says that the process answers; readiness, that it takes new work. Neither depends on Voyage: a restart or
//! another replica does not repair a provider, and cached inputs are still answered.

mod config;
mod health;
mod status;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, Request, Response, StatusCode, Uri, header};
use http_body::Body as _;
use http_body_util::Full;
use tonic::{Code, body::Body, service::Routes};
use tower::ServiceExt as _;

pub use config::Config;
pub use health::{Health, PortHealth};
use status::Rendered;
pub use status::StatusPage;

use crate::{
    peer::ConnectionInfo,
    telemetry::{Excerpt, Metrics, PortName},
};

const HTML: &str = "text/html; charset=utf-8";

/// Answers the admin port's requests; cheap to clone.
#[derive(Clone, Debug)]
pub struct Admin {
    /// The status page.
    pub status: StatusPage,
    /// The gRPC services.
    pub health: Routes,
}

impl Admin {
    /// Answers one request. Unknown paths and RPCs are logged at debug level.
    pub async fn answer(self, request: Request<Body>) -> Response<Body> {
        let ends = request.extensions().get::<ConnectionInfo>().copied();
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
            page(request.method(), &uri, &self.status).map(Body::new)
        };
        if let Some(problem) = problem(&uri, &response) {
            log(ends, &uri, problem);
        }
        response
    }
}

/// Explains a response to a request that this port does not serve.
fn problem(uri: &Uri, response: &Response<Body>) -> Option<&'static str> {
    let code = response.headers().get("grpc-status").map(|code| Code::from_bytes(code.as_bytes()));
    if code == Some(Code::Unimplemented) {
        let ours = uri.path().starts_with("/voyage.");
        return Some(if ours { "the RPC is served on the gRPC port" } else { "unknown RPC" });
    }
    match response.status() {
        StatusCode::NOT_FOUND => Some("unknown path"),
        StatusCode::METHOD_NOT_ALLOWED => Some("method not allowed"),
        _ => None,
    }
}

fn log(ends: Option<ConnectionInfo>, uri: &Uri, problem: &'static str) {
    let peer = ends.map(|ends| tracing::field::display(ends.peer));
    // Without the query, which may hold keys and texts.
    let path = Excerpt(uri.path().as_bytes());
    let port = PortName::Admin.as_str();
    tracing::debug!(port, peer, %path, problem, "not found");
}

fn page(method: &Method, uri: &Uri, page: &StatusPage) -> Response<Full<Bytes>> {
    match *method {
        Method::GET => content(uri, page),
        Method::HEAD => without_body(content(uri, page)),
        _ => text(StatusCode::METHOD_NOT_ALLOWED, "this port only reads: GET or HEAD\n"),
    }
}

/// Removes the body, which hyper does over HTTP/1.1 only.
fn without_body(response: Response<Full<Bytes>>) -> Response<Full<Bytes>> {
    let (mut head, body) = response.into_parts();
    if let Some(length) = body.size_hint().exact() {
        head.headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    }
    Response::from_parts(head, Full::default())
}

fn content(uri: &Uri, page: &StatusPage) -> Response<Full<Bytes>> {
    match uri.path() {
        "/" => status(page, HTML, |status| status.page),
        // The page fetches this to update itself.
        "/status" if uri.query() == Some("as=html") => status(page, HTML, |status| status.parts),
        "/status" => status(page, "application/json", |status| status.json),
        "/livez" => text(StatusCode::OK, "ok\n"),
        "/readyz" if page.is_ready() => text(StatusCode::OK, "ok\n"),
        "/readyz" => text(StatusCode::SERVICE_UNAVAILABLE, "draining\n"),
        "/metrics" => metrics(page.metrics()),
        _ => text(
            StatusCode::NOT_FOUND,
            "/ and /status, /livez, /readyz, /metrics, and gRPC health\n",
        ),
    }
}

fn metrics(metrics: &Metrics) -> Response<Full<Bytes>> {
    match metrics.render() {
        Ok(metrics) => {
            let mut response = text(StatusCode::OK, metrics);
            let format = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
            response.headers_mut().insert(header::CONTENT_TYPE, format);
            response
        }
        Err(error) => {
            tracing::error!(%error, "cannot encode the metrics");
            text(StatusCode::INTERNAL_SERVER_ERROR, "cannot encode the metrics\n")
        }
    }
}

/// Answers with the status; neither caches nor frames may keep it.
fn status(
    page: &StatusPage,
    format: &'static str,
    part: impl FnOnce(Rendered) -> Bytes,
) -> Response<Full<Bytes>> {
    let rendered = match page.rendered() {
        Ok(rendered) => rendered,
        Err(error) => {
            tracing::error!(%error, "cannot encode the status");
            return text(StatusCode::INTERNAL_SERVER_ERROR, "cannot encode the status\n");
        }
    };
    let mut response = text(StatusCode::OK, part(rendered));
    let headers = response.headers_mut();
    let mut set = |name, value| headers.insert(name, HeaderValue::from_static(value));
    set(header::CONTENT_TYPE, format);
    set(header::CONTENT_SECURITY_POLICY, StatusPage::policy());
    set(header::X_CONTENT_TYPE_OPTIONS, "nosniff");
    set(header::CACHE_CONTROL, "no-store");
    set(header::REFERRER_POLICY, "no-referrer");
    set(HeaderName::from_static("cross-origin-resource-policy"), "same-origin");
    response
}

fn text(status: StatusCode, body: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}
