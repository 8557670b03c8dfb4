//! Services that do as the request's model says, behind a real edge.

use std::future::pending;

use tonic_health::{ServingStatus, server::HealthReporter};

use super::*;
use crate::grpc::v1::{
    EmbedChunksRequest, EmbedChunksResponse, EmbedMultimodalRequest, EmbedMultimodalResponse,
    EmbedResponse, ExplainEmbedRequest, ExplainEmbedResponse,
    embedding_service_server::{EmbeddingService, EmbeddingServiceServer},
};
use crate::{grpc::RequestModels, pipeline};

pub(super) const EMBED: &str = "voyage.gateway.v1.EmbeddingService/Embed";
pub(super) const WATCH: &str = "grpc.health.v1.Health/Watch";

/// Bytes a request message may have.
pub(super) const MAX_REQUEST_BYTES: usize = 1000;

pub(super) const DEFAULT_DEADLINE: Duration = Duration::from_mins(1);

struct Obedient;

#[tonic::async_trait]
impl EmbeddingService for Obedient {
    async fn embed(
        &self,
        request: tonic::Request<EmbedRequest>,
    ) -> Result<tonic::Response<EmbedResponse>, Status> {
        let call = Call::of(request.extensions());
        match request.into_inner().model.as_str() {
            "panic" => panic!("a canary"),
            "hang" => pending().await,
            "full" => Err(call.refuse(&Error::Overloaded { what: "requests" })),
            // The extensions of the request, for the test.
            _ => Ok(tonic::Response::new(EmbedResponse {
                model: call.rpc.request_id.to_str().unwrap().to_owned(),
                ..EmbedResponse::default()
            })),
        }
    }

    async fn embed_chunks(
        &self,
        _: tonic::Request<EmbedChunksRequest>,
    ) -> Result<tonic::Response<EmbedChunksResponse>, Status> {
        Err(Status::unimplemented("not needed here"))
    }

    async fn explain_embed(
        &self,
        _: tonic::Request<ExplainEmbedRequest>,
    ) -> Result<tonic::Response<ExplainEmbedResponse>, Status> {
        Err(Status::unimplemented("not needed here"))
    }

    async fn embed_multimodal(
        &self,
        _: tonic::Request<EmbedMultimodalRequest>,
    ) -> Result<tonic::Response<EmbedMultimodalResponse>, Status> {
        Err(Status::unimplemented("not needed here"))
    }
}

/// An edge, and the metrics it counts with.
pub(super) async fn edge() -> (Edge, Metrics) {
    let metrics = Metrics::new().unwrap();
    let settings = Settings {
        tracer: Tracer::off(),
        models: RequestModels::usual(),
        caches_scores: true,
        max_request_bytes: MAX_REQUEST_BYTES,
        deadlines: Deadlines { default: DEFAULT_DEADLINE, max: Duration::from_mins(5) },
        reflection: false,
        authenticator: Authenticator::new(&crate::grpc::auth::Config::default(), None, &metrics)
            .unwrap(),
        rules: Live::fixed("config", Rules::default(), metrics.clone()),
    };
    let health = HealthReporter::new();
    health.set_service_status("", ServingStatus::Serving).await;
    let service = tonic_health::server::HealthService::from_health_reporter(health);
    let mut routes = Routes::builder();
    routes.add_service(tonic_health::pb::health_server::HealthServer::new(service)).add_service(
        EmbeddingServiceServer::new(Obedient).max_decoding_message_size(MAX_REQUEST_BYTES),
    );
    let admission = Admission::new(&pipeline::Config::default(), metrics.clone());
    (Edge::new(routes.routes().prepare(), Arc::new(settings), admission, metrics.clone()), metrics)
}

/// RPCs by method and code, as they were counted.
pub(super) fn counted(metrics: &Metrics) -> Vec<(String, String, u64)> {
    let label = |line: &str, name: &str| {
        let (_, rest) = line.split_once(&format!("{name}=\"")).unwrap();
        rest.split_once('"').unwrap().0.to_owned()
    };
    metrics
        .render()
        .unwrap()
        .lines()
        .filter(|line| line.starts_with("voyage_gateway_rpcs_total{") && !line.ends_with(" 0"))
        .map(|line| {
            let count = line.rsplit_once(' ').unwrap().1.parse().unwrap();
            (label(line, "rpc_method"), label(line, "rpc_response_status_code"), count)
        })
        .collect()
}
