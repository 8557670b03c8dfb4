//! A fake collector.

use std::{
    convert::Infallible,
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
};

use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::{
    body::Incoming,
    server::conn::{http1, http2},
    service::service_fn,
};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    service::TowerToHyperService,
};
use opentelemetry_proto::tonic::collector::{
    metrics::v1::{
        ExportMetricsServiceRequest, ExportMetricsServiceResponse,
        metrics_service_server::{MetricsService, MetricsServiceServer},
    },
    trace::v1::{
        ExportTraceServiceRequest, ExportTraceServiceResponse,
        trace_service_server::{TraceService, TraceServiceServer},
    },
};
use prost::Message as _;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpListener,
    sync::{mpsc, watch},
};
use tokio_rustls::TlsAcceptor;
use tonic::{Status, codec::CompressionEncoding, service::Routes};

use super::OtlpProtocol;

/// How a collector behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Manner {
    Takes,
    /// Does not answer.
    Hangs,
    /// Answers UNAVAILABLE so many times, and then takes.
    UnavailableFor(usize),
    /// Answers `INVALID_ARGUMENT`.
    Refuses,
}

/// The headers and the message of one request.
#[derive(Clone, Debug)]
pub(super) enum Arrived {
    Spans(HeaderMap, ExportTraceServiceRequest),
    Points(HeaderMap, ExportMetricsServiceRequest),
}

#[derive(Clone)]
struct Shared {
    manner: watch::Receiver<Manner>,
    requests: Arc<AtomicUsize>,
    arrived: mpsc::UnboundedSender<Arrived>,
}

pub(super) struct FakeCollector {
    pub(super) address: SocketAddr,
    pub(super) manner: watch::Sender<Manner>,
    /// Requests that reached it.
    pub(super) requests: Arc<AtomicUsize>,
    arrived: Mutex<mpsc::UnboundedReceiver<Arrived>>,
}

impl FakeCollector {
    pub(super) async fn start(protocol: OtlpProtocol, manner: Manner) -> Self {
        Self::start_with(protocol, manner, None).await
    }

    /// Starts one, with TLS if `tls` is set.
    pub(super) async fn start_with(
        protocol: OtlpProtocol,
        manner: Manner,
        tls: Option<TlsAcceptor>,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (manner, behaves) = watch::channel(manner);
        let (sender, arrived) = mpsc::unbounded_channel();
        let requests = Arc::new(AtomicUsize::new(0));
        let shared = Shared { manner: behaves, requests: Arc::clone(&requests), arrived: sender };
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (shared, tls) = (shared.clone(), tls.clone());
                tokio::spawn(async move {
                    match tls {
                        None => shared.serve(stream, protocol).await,
                        Some(tls) => {
                            if let Ok(stream) = tls.accept(stream).await {
                                shared.serve(stream, protocol).await;
                            }
                        }
                    }
                });
            }
        });
        Self { address, manner, requests, arrived: Mutex::new(arrived) }
    }

    pub(super) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Returns all requests that have arrived.
    pub(super) fn arrived(&self) -> Vec<Arrived> {
        let mut arrived = self.arrived.lock().unwrap();
        std::iter::from_fn(|| arrived.try_recv().ok()).collect()
    }
}

/// The answer to a request.
enum Answer {
    Taken,
    Unavailable,
    Wrong,
}

impl Shared {
    async fn serve<S>(self, stream: S, protocol: OtlpProtocol)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let io = TokioIo::new(stream);
        // The end of a connection is not tested here.
        let _ = match protocol {
            OtlpProtocol::Grpc => {
                let service = TowerToHyperService::new(self.routes());
                http2::Builder::new(TokioExecutor::new()).serve_connection(io, service).await
            }
            OtlpProtocol::HttpProtobuf => {
                let service = service_fn(move |request| self.clone().answer(request));
                http1::Builder::new().serve_connection(io, service).await
            }
        };
    }

    async fn decide(&mut self) -> Answer {
        let before = self.requests.fetch_add(1, SeqCst);
        let hangs = |manner: &Manner| *manner != Manner::Hangs;
        let manner = *self.manner.wait_for(hangs).await.unwrap();
        match manner {
            Manner::UnavailableFor(times) if before < times => Answer::Unavailable,
            Manner::Refuses => Answer::Wrong,
            Manner::Takes | Manner::Hangs | Manner::UnavailableFor(_) => Answer::Taken,
        }
    }

    fn routes(&self) -> Routes {
        Routes::new(
            TraceServiceServer::new(self.clone()).accept_compressed(CompressionEncoding::Gzip),
        )
        .add_service(
            MetricsServiceServer::new(self.clone()).accept_compressed(CompressionEncoding::Gzip),
        )
    }

    async fn grpc(&self) -> Result<(), Status> {
        match self.clone().decide().await {
            Answer::Taken => Ok(()),
            Answer::Unavailable => Err(Status::unavailable("not now")),
            Answer::Wrong => Err(Status::invalid_argument("never")),
        }
    }

    async fn answer(
        mut self,
        request: Request<Incoming>,
    ) -> Result<Response<Full<Bytes>>, Infallible> {
        let (head, body) = request.into_parts();
        let mut body = body.collect().await.unwrap().to_bytes().to_vec();
        if head.headers.get("content-encoding").is_some_and(|encoding| encoding == "gzip") {
            let mut plain = Vec::new();
            std::io::Read::read_to_end(&mut flate2::read::GzDecoder::new(&body[..]), &mut plain)
                .unwrap();
            body = plain;
        }
        let mut response = Response::new(Full::default());
        match self.decide().await {
            Answer::Unavailable => *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE,
            Answer::Wrong => *response.status_mut() = StatusCode::BAD_REQUEST,
            Answer::Taken => {
                assert_eq!(head.headers["content-type"], "application/x-protobuf");
                let arrived = match head.uri.path() {
                    "/v1/traces" => Arrived::Spans(
                        head.headers,
                        ExportTraceServiceRequest::decode(&body[..]).unwrap(),
                    ),
                    "/v1/metrics" => Arrived::Points(
                        head.headers,
                        ExportMetricsServiceRequest::decode(&body[..]).unwrap(),
                    ),
                    path => panic!("{path}"),
                };
                self.arrived.send(arrived).unwrap();
            }
        }
        Ok(response)
    }
}

#[tonic::async_trait]
impl TraceService for Shared {
    async fn export(
        &self,
        request: tonic::Request<ExportTraceServiceRequest>,
    ) -> Result<tonic::Response<ExportTraceServiceResponse>, Status> {
        self.grpc().await?;
        let (metadata, _, message) = request.into_parts();
        self.arrived.send(Arrived::Spans(metadata.into_headers(), message)).unwrap();
        Ok(tonic::Response::new(ExportTraceServiceResponse::default()))
    }
}

#[tonic::async_trait]
impl MetricsService for Shared {
    async fn export(
        &self,
        request: tonic::Request<ExportMetricsServiceRequest>,
    ) -> Result<tonic::Response<ExportMetricsServiceResponse>, Status> {
        self.grpc().await?;
        let (metadata, _, message) = request.into_parts();
        self.arrived.send(Arrived::Points(metadata.into_headers(), message)).unwrap();
        Ok(tonic::Response::new(ExportMetricsServiceResponse::default()))
    }
}
