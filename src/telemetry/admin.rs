//! The admin port's pages: the status page, metrics and probes. They only read.
//!
//! Liveness says that the process answers; readiness, that it takes new work. Neither asks Voyage: restarting or
//! unrouting a replica does not mend a provider, and hits still answer.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, Response, StatusCode, Uri, header};
use http_body::Body as _;
use http_body_util::Full;

use super::{
    Metrics,
    status::{Board, Written},
};

/// Whether new work is taken. Once draining, never again.
#[derive(Clone, Debug, Default)]
pub struct Readiness {
    draining: Arc<AtomicBool>,
}

impl Readiness {
    /// Says that the process is on its way out.
    pub fn drain(&self) {
        self.draining.store(true, Ordering::Relaxed);
    }

    /// Returns whether new work is taken.
    pub fn is_ready(&self) -> bool {
        !self.draining.load(Ordering::Relaxed)
    }
}

/// Answers one request on the admin port.
pub fn page(method: &Method, uri: &Uri, board: &Board) -> Response<Full<Bytes>> {
    match *method {
        Method::GET => content(uri, board),
        Method::HEAD => without_body(content(uri, board)),
        _ => text(StatusCode::METHOD_NOT_ALLOWED, "this port only reads: GET or HEAD\n"),
    }
}

/// Leaves the head only: over HTTP/2 nobody else does.
fn without_body(response: Response<Full<Bytes>>) -> Response<Full<Bytes>> {
    let (mut head, body) = response.into_parts();
    if let Some(length) = body.size_hint().exact() {
        head.headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    }
    Response::from_parts(head, Full::default())
}

fn content(uri: &Uri, board: &Board) -> Response<Full<Bytes>> {
    match uri.path() {
        "/" => status(board, "text/html; charset=utf-8", |status| status.page),
        // What the page asks for when it brings itself up to date.
        "/status" if uri.query() == Some("as=html") => {
            status(board, "text/html; charset=utf-8", |status| status.parts)
        }
        "/status" => status(board, "application/json", |status| status.json),
        "/livez" => text(StatusCode::OK, "ok\n"),
        "/readyz" if board.readiness().is_ready() => text(StatusCode::OK, "ok\n"),
        "/readyz" => text(StatusCode::SERVICE_UNAVAILABLE, "draining\n"),
        "/metrics" => metrics(board.metrics()),
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
            tracing::error!(%error, "the metrics cannot be written");
            text(StatusCode::INTERNAL_SERVER_ERROR, "the metrics cannot be written\n")
        }
    }
}

/// Answers with the status, for this moment and for nobody's frame.
fn status(
    board: &Board,
    format: &'static str,
    part: impl FnOnce(Written) -> Bytes,
) -> Response<Full<Bytes>> {
    let written = match board.written() {
        Ok(written) => written,
        Err(error) => {
            tracing::error!(%error, "the status cannot be written");
            return text(StatusCode::INTERNAL_SERVER_ERROR, "the status cannot be written\n");
        }
    };
    let mut response = text(StatusCode::OK, part(written));
    let headers = response.headers_mut();
    let mut set = |name, value| headers.insert(name, HeaderValue::from_static(value));
    set(header::CONTENT_TYPE, format);
    set(header::CONTENT_SECURITY_POLICY, Board::policy());
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
