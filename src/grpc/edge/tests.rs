//! The edge around services that misbehave.

mod entrance;
mod outcome;
mod services;
mod trouble;

use std::{sync::Arc, time::Duration};

use bytes::{BufMut as _, Bytes, BytesMut};
use http::{HeaderMap, HeaderValue};
use http_body_util::{BodyExt as _, Full};
use tonic::{Code, metadata::MetadataMap};
use tonic_types::StatusExt as _;

use super::*;
use crate::{
    caller::Rules,
    grpc::{Authenticator, Deadlines, v1::EmbedRequest},
    reload::Live,
    telemetry::trace::{Span, Tracer},
};
use services::{EMBED, edge};

/// A message as gRPC frames it.
fn framed(message: &[u8]) -> Bytes {
    let mut frame = BytesMut::new();
    frame.put_u8(0);
    frame.put_u32(u32::try_from(message.len()).unwrap());
    frame.put_slice(message);
    frame.freeze()
}

/// An RPC that is not traced, and its span.
fn unrecorded(headers: &HeaderMap, method: &'static str, metrics: &Metrics) -> (Arc<Rpc>, Span) {
    let span = Tracer::off().serve(headers, method);
    (Rpc::new(headers, method, span.context().clone(), metrics), span)
}

/// A call of `Embed`; the model selects the behaviour of the service.
fn embed(model: &str) -> Request<Body> {
    let message = EmbedRequest { model: model.to_owned(), ..EmbedRequest::default() };
    request(EMBED, framed(&message.encode_to_vec()))
}

fn request(method: &str, body: Bytes) -> Request<Body> {
    Request::post(format!("/{method}"))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(Body::new(Full::new(body)))
        .unwrap()
}

fn with(mut request: Request<Body>, name: &'static str, value: &[u8]) -> Request<Body> {
    request.headers_mut().insert(name, HeaderValue::from_bytes(value).unwrap());
    request
}

/// The end of an RPC as the caller receives it.
struct Seen {
    request_id: String,
    status: Status,
}

impl Seen {
    fn code(&self) -> Code {
        self.status.code()
    }

    fn reason(&self) -> String {
        self.status.get_details_error_info().map(|info| info.reason).unwrap_or_default()
    }
}

/// Reads a reply to its end.
async fn read(response: Response<Body>) -> Seen {
    assert_eq!(response.status(), 200);
    let (head, body) = response.into_parts();
    let request_id = head.headers[request_id::HEADER].to_str().unwrap().to_owned();
    let trailers = body.collect().await.unwrap().trailers().cloned();
    // Trailers-Only puts the status into the headers.
    let last = trailers.unwrap_or(head.headers);
    let status = Status::from_header_map(&last).unwrap();
    Seen { request_id, status }
}

async fn call(edge: &Edge, request: Request<Body>) -> Seen {
    read(edge.clone().serve(request).await).await
}
