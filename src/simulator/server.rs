//! The HTTP/1.1 server of the provider: connections, routes, faults.

use std::{convert::Infallible, error::Error as _, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{
    HeaderMap, Method, Request, Response, StatusCode,
    header::{AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, HeaderName, HeaderValue, SERVER},
    request,
};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinSet,
};

use super::{
    body::{ReplyBody, cut_off, in_pieces, padded, whole},
    error_reply::{ErrorReply, PAYMENT},
    fault::Fault,
    provider::Provider,
    record::{Call, OpenCall, Record},
    reply,
    route::{self, RequestBody, Route},
    script::Script,
};

/// The largest request body, in bytes.
const MAX_BODY: usize = 64 * 1024 * 1024;

pub(super) struct Simulation {
    pub(super) provider: Provider,
    pub(super) script: Script,
    pub(super) record: Arc<Record>,
}

/// Ends a connection without an answer.
#[derive(Debug, thiserror::Error)]
enum NoAnswer {
    #[error("the script resets the connection")]
    Reset,
    #[error("the connection closed during the request")]
    BrokenRequest,
}

/// Accepts connections until the task is aborted, which closes them all.
pub(super) async fn accept(
    listener: TcpListener,
    shared: Arc<Simulation>,
    _running: watch::Sender<()>,
) -> Infallible {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => drop(connections.spawn(connection(stream, Arc::clone(&shared)))),
                Err(error) => {
                    tracing::warn!(%error, "the simulator cannot accept a connection");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn connection(stream: TcpStream, shared: Arc<Simulation>) {
    // Sends small pieces of a body without delay; an error is harmless.
    let _ = stream.set_nodelay(true);
    let service = service_fn(|request| answer(request, &shared));
    let mut connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
    let Err(error) = (&mut connection).await else { return };
    let reset =
        error.source().is_some_and(|source| matches!(source.downcast_ref(), Some(NoAnswer::Reset)));
    if reset {
        let stream = connection.into_parts().io.into_inner();
        // Closing a socket that may not linger sends RST instead of FIN.
        let _ = stream.set_zero_linger();
    }
}

async fn answer(
    request: Request<Incoming>,
    shared: &Simulation,
) -> Result<Response<ReplyBody>, NoAnswer> {
    let (head, body) = request.into_parts();
    let bytes = match Limited::new(body, MAX_BODY).collect().await {
        Ok(collected) => Some(collected.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => None,
        Err(_) => return Err(NoAnswer::BrokenRequest),
    };
    let exchange = Exchange::begin(head, bytes, shared);
    exchange.answer(shared).await
}

/// One request that was read, and its fault.
struct Exchange {
    head: request::Parts,
    /// `None`: larger than [`MAX_BODY`].
    bytes: Option<Bytes>,
    /// `None`: not JSON.
    json: Option<Value>,
    route: Option<Route>,
    call: OpenCall,
    fault: Option<Fault>,
    /// The index of the input that the fault concerns.
    culprit: usize,
}

impl Exchange {
    fn begin(head: request::Parts, bytes: Option<Bytes>, shared: &Simulation) -> Self {
        let json: Option<Value> =
            bytes.as_ref().and_then(|bytes| serde_json::from_slice(bytes).ok());
        let route = Route::of(head.uri.path());
        let inputs = json.as_ref().zip(route).map(|(body, route)| route.texts(body));
        let inputs = inputs.unwrap_or_default();
        let call = shared.record.open(Call {
            number: 0,
            path: head.uri.path().to_owned(),
            inputs: inputs.iter().map(|texts| texts.join("\n")).collect(),
            body: json.clone().unwrap_or_default(),
            api_key: bearer(&head.headers).map(str::to_owned),
            headers: head.headers.clone(),
            status: None,
            tokens: 0,
        });
        let (fault, culprit) = shared.script.choose(call.number, &inputs).unzip();
        Self { head, bytes, json, route, call, fault, culprit: culprit.unwrap_or_default() }
    }

    async fn answer(mut self, shared: &Simulation) -> Result<Response<ReplyBody>, NoAnswer> {
        let mut response = match &self.fault {
            Some(Fault::Hang) => std::future::pending().await,
            Some(Fault::Reset) => return Err(NoAnswer::Reset),
            Some(Fault::Status { status, headers, body }) => scripted(*status, headers, body),
            Some(Fault::TooLong) => self.refused(&self.too_long()),
            _ => self.proper(shared).await,
        };
        let headers = response.headers_mut();
        headers.entry(SERVER).or_insert(HeaderValue::from_static("uvicorn"));
        if let Ok(id) = HeaderValue::try_from(format!("simulated-{}", self.call.number)) {
            headers.entry("x-request-id").or_insert(id);
        }
        self.call.status = Some(response.status().as_u16());
        Ok(response)
    }

    /// Returns the provider's answer with the fault's change.
    async fn proper(&mut self, shared: &Simulation) -> Response<ReplyBody> {
        if let Some(Fault::Delay(delay)) = self.fault {
            tokio::time::sleep(delay).await;
        }
        match self.embed(shared).await {
            Ok(body) => {
                let mut response = self.transported(StatusCode::OK, body);
                if shared.provider.is_free_tier(bearer(&self.head.headers)) {
                    let warning = HeaderValue::from_static(PAYMENT);
                    response.headers_mut().insert("x-api-warning", warning);
                }
                response
            }
            Err(refusal) => self.refused(&refusal),
        }
    }

    async fn embed(&mut self, shared: &Simulation) -> Result<Bytes, ErrorReply> {
        let route = self.check_route()?;
        // A body of another type is not read as JSON, so it is a string instead of an object.
        let not_read = Value::String(String::new());
        let json = if is_json(&self.head.headers) { self.json.as_ref() } else { Some(&not_read) };
        let accepted = shared.provider.accept(route, json, bearer(&self.head.headers))?;
        self.call.tokens = accepted.tokens;
        let latency = shared.provider.latency(self.call.number, accepted.tokens);
        // The timer rounds up: a sleep of zero would take up to a millisecond.
        if !latency.is_zero() {
            tokio::time::sleep(latency).await;
        }
        Ok(reply::body(accepted, self.fault.as_ref()))
    }

    fn check_route(&self) -> Result<Route, ErrorReply> {
        let route =
            self.route.ok_or_else(|| ErrorReply::new(StatusCode::NOT_FOUND, "Not Found"))?;
        if self.head.method != Method::POST {
            return Err(ErrorReply::new(StatusCode::METHOD_NOT_ALLOWED, "Method Not Allowed"));
        }
        if self.bytes.is_none() {
            return Err(ErrorReply::new(StatusCode::PAYLOAD_TOO_LARGE, "Request Entity Too Large"));
        }
        Ok(route)
    }

    fn too_long(&self) -> ErrorReply {
        let body = self.check_route().and_then(|route| route::read(route, self.json.as_ref()));
        match body {
            Ok(RequestBody::Texts(texts)) => {
                ErrorReply::example_too_long(texts.model, self.culprit)
            }
            Ok(RequestBody::Documents(documents)) => {
                ErrorReply::document_too_long(documents.model, self.culprit)
            }
            Ok(RequestBody::Contents(contents)) => {
                ErrorReply::example_too_long(contents.model, self.culprit)
            }
            Ok(RequestBody::Pairs(pairs)) => {
                ErrorReply::example_too_long(pairs.model, self.culprit)
            }
            Err(refusal) => refusal,
        }
    }

    fn refused(&self, refusal: &ErrorReply) -> Response<ReplyBody> {
        self.transported(refusal.status, refusal.body.to_string().into())
    }

    /// Returns the reply in the transport form of the fault.
    fn transported(&self, status: StatusCode, body: Bytes) -> Response<ReplyBody> {
        let length = HeaderValue::from(body.len());
        let (body, announced) = match self.fault {
            Some(Fault::SlowDrip { chunk, pause }) => (in_pieces(body, chunk, pause), true),
            Some(Fault::CutBody) => (cut_off(body), true),
            Some(Fault::HugeBody(total)) if status == StatusCode::OK => {
                (padded(body, total), false)
            }
            _ => (whole(body), true),
        };
        let html = status == StatusCode::OK && self.fault == Some(Fault::HtmlBody);
        let mut response = typed(status, if html { "text/html" } else { "application/json" }, body);
        if announced {
            response.headers_mut().insert(CONTENT_LENGTH, length);
        }
        response
    }
}

fn typed(status: StatusCode, content_type: &'static str, body: ReplyBody) -> Response<ReplyBody> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

/// Returns a scripted reply, without the parts that HTTP does not allow.
fn scripted(status: u16, headers: &[(String, String)], body: &str) -> Response<ReplyBody> {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = typed(status, "application/json", whole(body.to_owned()));
    for (name, value) in headers {
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
            response.headers_mut().insert(name, value);
        }
    }
    response
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, key) = headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    let key = key.trim();
    (scheme.eq_ignore_ascii_case("bearer") && !key.is_empty()).then_some(key)
}

/// Returns whether the body is read as JSON, as in `FastAPI`: the content type is JSON, empty or absent.
fn is_json(headers: &HeaderMap) -> bool {
    let content_type = headers.get(CONTENT_TYPE).filter(|content_type| !content_type.is_empty());
    let Some(content_type) = content_type else { return true };
    let essence = content_type.to_str().unwrap_or_default().split(';').next().unwrap_or_default();
    let essence = essence.trim().to_ascii_lowercase();
    essence
        .strip_prefix("application/")
        .is_some_and(|subtype| subtype == "json" || subtype.ends_with("+json"))
}
