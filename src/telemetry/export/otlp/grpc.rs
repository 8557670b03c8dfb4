//! OTLP/gRPC.

use std::time::Duration;

use http::HeaderMap;
use opentelemetry_proto::tonic::collector::{
    metrics::v1::metrics_service_client::MetricsServiceClient,
    trace::v1::trace_service_client::TraceServiceClient,
};
use tonic::{
    Code, Status,
    codec::CompressionEncoding,
    metadata::MetadataMap,
    transport::{Channel, Endpoint},
};
use tonic_types::StatusExt as _;

use super::{CONNECT, Failed, Request, USER_AGENT, rejected};
use crate::telemetry::export::plan::Target;

/// How often a silent connection is asked whether it is alive, and how long it may take to say so.
const PING: (Duration, Duration) = (Duration::from_secs(20), Duration::from_secs(5));

#[derive(Clone)]
pub(super) struct Client {
    channel: Channel,
    headers: HeaderMap,
    gzip: bool,
}

impl Client {
    /// Connects to nothing yet, and must be called within the runtime that will.
    pub(super) fn new(target: &Target) -> Result<Self, String> {
        let failed = |error: tonic::transport::Error| causes(&error);
        let mut endpoint = Endpoint::from(target.uri.clone())
            .user_agent(USER_AGENT)
            .map_err(failed)?
            .connect_timeout(CONNECT)
            .http2_keep_alive_interval(PING.0)
            .keep_alive_timeout(PING.1);
        if target.uri.scheme_str() == Some("https") {
            endpoint = endpoint.tls_config(target.tls.for_grpc()).map_err(failed)?;
        }
        Ok(Self {
            channel: endpoint.connect_lazy(),
            headers: target.headers.clone(),
            gzip: target.gzip,
        })
    }

    pub(super) async fn send(&self, request: Request) -> Result<u64, Failed> {
        let sent = match request {
            Request::Spans(spans) => {
                let mut client = TraceServiceClient::new(self.channel.clone());
                if self.gzip {
                    client = client.send_compressed(CompressionEncoding::Gzip);
                }
                let reply = client.export(self.request(spans)).await;
                reply
                    .map(|reply| reply.into_inner().partial_success.map(|part| part.rejected_spans))
            }
            Request::Points(points) => {
                let mut client = MetricsServiceClient::new(self.channel.clone());
                if self.gzip {
                    client = client.send_compressed(CompressionEncoding::Gzip);
                }
                let reply = client.export(self.request(points)).await;
                reply.map(|reply| {
                    reply.into_inner().partial_success.map(|part| part.rejected_data_points)
                })
            }
        };
        sent.map(|part| part.map_or(0, rejected)).map_err(|status| failed(&status))
    }

    fn request<T>(&self, message: T) -> tonic::Request<T> {
        let metadata = MetadataMap::from_headers(self.headers.clone());
        tonic::Request::from_parts(metadata, http::Extensions::new(), message)
    }
}

/// Shows no headers.
impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Client")
    }
}

/// Says what a status means for the batch, by the specification's table. The collector's own words are left out: they
/// may quote what it was sent.
fn failed(status: &Status) -> Failed {
    let delay = status.get_details_retry_info().and_then(|info| info.retry_delay);
    let again = match status.code() {
        Code::Cancelled
        | Code::DeadlineExceeded
        | Code::Aborted
        | Code::OutOfRange
        | Code::Unavailable
        | Code::DataLoss => Some(delay.unwrap_or_default()),
        Code::ResourceExhausted => delay,
        _ => None,
    };
    let code = status.code();
    let why = std::error::Error::source(status)
        .map_or_else(|| format!("{code:?}"), |source| format!("{code:?}: {}", causes(source)));
    Failed { why, again }
}

fn causes(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |cause| cause.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}
