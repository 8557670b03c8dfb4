//! OTLP/HTTP with protobuf.

use std::{error::Error as _, io::Write as _, time::Duration};

use flate2::{Compression, write::GzEncoder};
use http::{HeaderMap, StatusCode, header};
use opentelemetry_proto::tonic::collector::{
    metrics::v1::ExportMetricsServiceResponse, trace::v1::ExportTraceServiceResponse,
};
use prost::Message as _;

use super::{CONNECT, Failed, Request, USER_AGENT, rejected};
use crate::telemetry::export::plan::Target;

/// Bytes of an answer that are looked at: it holds a number and a sentence.
const MAX_REPLY_BYTES: usize = 64 * 1024;

#[derive(Clone)]
pub(super) struct Client {
    pool: reqwest::Client,
    url: String,
    headers: HeaderMap,
    gzip: bool,
}

impl Client {
    pub(super) fn new(target: &Target) -> Result<Self, String> {
        let builder = reqwest::Client::builder()
            .user_agent(USER_AGENT)
            .connect_timeout(CONNECT)
            // Headers may hold a credential: it goes where the operators said, and nowhere else.
            .redirect(reqwest::redirect::Policy::none())
            // A collector is near; the proxy is for the way out.
            .no_proxy();
        let pool = target.tls.for_http(builder)?.build().map_err(causes)?;
        Ok(Self {
            pool,
            url: target.uri.to_string(),
            headers: target.headers.clone(),
            gzip: target.gzip,
        })
    }

    pub(super) async fn send(&self, request: Request) -> Result<u64, Failed> {
        let (body, is_spans) = match request {
            Request::Spans(spans) => (spans.encode_to_vec(), true),
            Request::Points(points) => (points.encode_to_vec(), false),
        };
        let mut post = self
            .pool
            .post(&self.url)
            .headers(self.headers.clone())
            .header(header::CONTENT_TYPE, "application/x-protobuf");
        if self.gzip {
            post = post.header(header::CONTENT_ENCODING, "gzip").body(zipped(&body)?);
        } else {
            post = post.body(body);
        }
        let broken = |error| Failed { why: causes(error), again: Some(Duration::ZERO) };
        let mut response = post.send().await.map_err(broken)?;
        if !response.status().is_success() {
            return Err(refused(response.status(), response.headers()));
        }
        let mut reply = Vec::new();
        while let Some(part) = response.chunk().await.map_err(broken)? {
            reply.extend_from_slice(&part);
            if reply.len() > MAX_REPLY_BYTES {
                // It took the batch, and what it says beside that is of no use.
                return Ok(0);
            }
        }
        // An answer that is no message is still a yes.
        Ok(rejected(if is_spans {
            ExportTraceServiceResponse::decode(reply.as_slice())
                .ok()
                .and_then(|reply| reply.partial_success)
                .map_or(0, |part| part.rejected_spans)
        } else {
            ExportMetricsServiceResponse::decode(reply.as_slice())
                .ok()
                .and_then(|reply| reply.partial_success)
                .map_or(0, |part| part.rejected_data_points)
        }))
    }
}

/// Shows no headers and no URL.
impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Client")
    }
}

fn zipped(body: &[u8]) -> Result<Vec<u8>, Failed> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    let zipped = encoder.write_all(body).and_then(|()| encoder.finish());
    zipped.map_err(|error| Failed { why: error.to_string(), again: None })
}

/// Says what a status means for the batch, by the specification's table.
fn refused(status: StatusCode, headers: &HeaderMap) -> Failed {
    let seconds =
        headers.get(header::RETRY_AFTER).and_then(|after| after.to_str().ok()?.parse().ok());
    let again = match status.as_u16() {
        429 | 502 | 503 | 504 => Some(Duration::from_secs(seconds.unwrap_or_default())),
        _ => None,
    };
    Failed { why: format!("it answered {}", status.as_u16()), again }
}

fn causes(error: reqwest::Error) -> String {
    let error = error.without_url();
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}
