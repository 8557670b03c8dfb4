//! A collector's address and how to talk to it, and the exporters of `opentelemetry-otlp` made from that.

mod tls;

use std::{error::Error, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, Request, Response, Uri};
use opentelemetry_http::{HttpClient, HttpError};
use opentelemetry_otlp::{
    Compression, ExporterBuildError, MetricExporter, Protocol, SpanExporter, WithExportConfig,
    WithHttpConfig, WithTonicConfig,
};
use tonic::{
    metadata::MetadataMap,
    transport::{Channel, Endpoint},
};

pub(super) use tls::Tls;

use super::collector::Outage;
use crate::telemetry::{OtlpCompression, OtlpProtocol};

/// How long connecting may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// The interval of PINGs on a gRPC connection. Without them each export to a dead peer would wait for its timeout.
const PING_INTERVAL: Duration = Duration::from_secs(20);

/// How long the answer to a PING may take.
const PING_TIMEOUT: Duration = Duration::from_secs(5);

/// A collector, for one signal.
#[derive(Clone, Debug)]
pub(super) struct Target {
    /// Over HTTP with the signal's path.
    pub(super) uri: Uri,
    pub(super) protocol: OtlpProtocol,
    /// Of the file alone: the exporters read those of the environment.
    pub(super) headers: HeaderMap,
    /// For one export with its retries.
    pub(super) timeout: Duration,
    /// Of the configuration alone, likewise.
    pub(super) compression: Option<OtlpCompression>,
    pub(super) tls: Tls,
}

impl Target {
    /// Builds the exporter of spans. Call it within the runtime that is to connect; nothing is connected yet.
    pub(super) fn span_exporter(&self, outage: &Arc<Outage>) -> Result<SpanExporter, String> {
        let builder = SpanExporter::builder();
        built(match self.protocol {
            OtlpProtocol::Grpc => self.grpc(builder.with_tonic())?.build(),
            OtlpProtocol::HttpProtobuf => self.http(builder.with_http(), outage)?.build(),
        })
    }

    /// As [`Self::span_exporter`], for metrics.
    pub(super) fn metric_exporter(&self, outage: &Arc<Outage>) -> Result<MetricExporter, String> {
        let builder = MetricExporter::builder();
        built(match self.protocol {
            OtlpProtocol::Grpc => self.grpc(builder.with_tonic())?.build(),
            OtlpProtocol::HttpProtobuf => self.http(builder.with_http(), outage)?.build(),
        })
    }

    fn grpc<B: WithExportConfig + WithTonicConfig>(&self, builder: B) -> Result<B, String> {
        let builder = builder
            .with_timeout(self.timeout)
            .with_channel(self.channel().map_err(|error| causes(&error))?)
            .with_metadata(MetadataMap::from_headers(self.headers.clone()));
        Ok(match self.compression {
            Some(OtlpCompression::Gzip) => builder.with_compression(Compression::Gzip),
            Some(OtlpCompression::None) | None => builder,
        })
    }

    fn channel(&self) -> Result<Channel, tonic::transport::Error> {
        let mut endpoint = Endpoint::from(self.uri.clone())
            .connect_timeout(CONNECT_TIMEOUT)
            .http2_keep_alive_interval(PING_INTERVAL)
            .keep_alive_timeout(PING_TIMEOUT);
        if self.uri.scheme_str() == Some("https") {
            endpoint = endpoint.tls_config(self.tls.for_grpc())?;
        }
        Ok(endpoint.connect_lazy())
    }

    fn http<B: WithExportConfig + WithHttpConfig>(
        &self,
        builder: B,
        outage: &Arc<Outage>,
    ) -> Result<B, String> {
        let client = reqwest::Client::builder()
            .default_headers(self.headers.clone())
            .connect_timeout(CONNECT_TIMEOUT)
            // Headers may hold a credential: it is sent to the configured address only.
            .redirect(reqwest::redirect::Policy::none())
            // A collector is in the same network; the proxy leads out of it.
            .no_proxy();
        let client = self.tls.for_http(client).and_then(reqwest::ClientBuilder::build);
        let client = client.map_err(|error| causes(&error.without_url()))?;
        let builder = builder
            .with_protocol(Protocol::HttpBinary)
            .with_endpoint(self.uri.to_string())
            .with_timeout(self.timeout)
            .with_http_client(CauseKeeper { client, outage: Arc::clone(outage) });
        Ok(match self.compression {
            Some(OtlpCompression::Gzip) => builder.with_compression(Compression::Gzip),
            Some(OtlpCompression::None) | None => builder,
        })
    }
}

fn built<E>(exporter: Result<E, ExporterBuildError>) -> Result<E, String> {
    exporter.map_err(|error| error.to_string())
}

/// An HTTP client that keeps the causes of its failures, which the exporter leaves out.
#[derive(Debug)]
struct CauseKeeper {
    client: reqwest::Client,
    outage: Arc<Outage>,
}

#[tonic::async_trait]
impl HttpClient for CauseKeeper {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let sent = self.client.send_bytes(request).await;
        if let Err(error) = &sent {
            // The outermost error names the URL.
            let error: &dyn Error = &**error;
            self.outage.caused_by(causes(error.source().unwrap_or(error)));
        }
        sent
    }
}

/// Returns an error with its causes.
fn causes(mut error: &dyn Error) -> String {
    let mut text = error.to_string();
    while let Some(cause) = error.source() {
        text = format!("{text}: {cause}");
        error = cause;
    }
    text
}
