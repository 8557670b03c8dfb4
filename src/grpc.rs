//! gRPC: services, conversion, status. Only this room and `transport` use tonic.
//!
//! Every RPC passes [`mod@edge`] first. A service converts the request ([`convert`]), runs the pipeline and converts the
//! response. All errors become statuses in [`status`].

mod answers;
pub mod auth;
mod codec;
mod convert;
mod deadline;
mod edge;
mod embedding;
mod models;
mod request_id;
mod rerank;
pub mod status;
mod tokens;
pub mod wire;

use std::sync::Arc;

use tonic::{codec::CompressionEncoding, service::Routes};
use tonic_health::pb::health_server::{Health, HealthServer};

pub use auth::{Authenticator, wall_clock};
pub use convert::MAX_INPUTS;
pub use deadline::Deadlines;
pub use edge::{Edge, draining, rpc_names};

use crate::{
    caller::Rules,
    model::{Catalogue, Kind, ModelName},
    pipeline::Pipeline,
    reload::Live,
    telemetry::{Metrics, trace::Tracer},
};

/// Messages, services and clients generated from `proto/`.
#[allow(
    missing_docs,
    clippy::pedantic,
    reason = "generated code: what it needs varies with the generator"
)]
pub mod v1 {
    tonic::include_proto!("voyage.gateway.v1");

    /// The compiled `proto/` with comments, for reflection.
    pub const FILE_DESCRIPTOR_SET: &[u8] =
        include_bytes!(concat!(env!("OUT_DIR"), "/voyage_gateway_descriptor.bin"));

    /// Import names and texts of the files of `proto/`.
    pub const SOURCES: &[(&str, &str)] =
        &include!(concat!(env!("OUT_DIR"), "/voyage_gateway_sources.rs"));
}

use embedding::Embeddings;
use models::Models;
use rerank::Reranks;
use tokens::Tokens;
use v1::{
    embedding_service_server::EmbeddingServiceServer, model_service_server::ModelServiceServer,
    rerank_service_server::RerankServiceServer, token_service_server::TokenServiceServer,
};

/// Services with a health status of their own.
pub const SERVICES: [&str; 4] = [
    "voyage.gateway.v1.EmbeddingService",
    "voyage.gateway.v1.ModelService",
    "voyage.gateway.v1.RerankService",
    "voyage.gateway.v1.TokenService",
];

/// Limit of bytes in a message to health or reflection, on both ports. They contain a name, and need no permit.
pub const MAX_QUESTION_BYTES: usize = 4 * 1024;

/// The models of requests: those of a gateway, and those of requests that name none.
#[derive(Clone, Debug)]
pub struct RequestModels {
    /// All models, and the aliases.
    pub catalogue: Catalogue,
    /// The default of `Embed`.
    pub texts: ModelName,
    /// The default of `EmbedChunks`.
    pub chunks: ModelName,
    /// The default of `EmbedMultimodal`.
    pub multimodal: ModelName,
    /// The default of `Rerank`.
    pub rerank: ModelName,
}

impl RequestModels {
    /// Returns the model of a name or an alias; the default of a kind if the name is empty.
    fn resolve(&self, name: &str, kind: Kind) -> ModelName {
        if name.is_empty() { self.default_of(kind).clone() } else { self.catalogue.resolve(name) }
    }

    /// Returns Voyage's models with the defaults of the configuration.
    #[cfg(test)]
    fn usual() -> Self {
        Self {
            catalogue: Catalogue::built_in(),
            texts: "voyage-4".into(),
            chunks: "voyage-context-4".into(),
            multimodal: "voyage-multimodal-3.5".into(),
            rerank: "rerank-3".into(),
        }
    }

    /// Returns the default of a kind.
    const fn default_of(&self, kind: Kind) -> &ModelName {
        match kind {
            Kind::Text => &self.texts,
            Kind::Contextualized => &self.chunks,
            Kind::Multimodal => &self.multimodal,
            Kind::Rerank => &self.rerank,
        }
    }
}

/// Configuration of the services.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The models of requests.
    pub models: RequestModels,
    /// Whether scores of rerankers are cached.
    pub caches_scores: bool,
    /// Limit of bytes in a request message.
    pub max_request_bytes: usize,
    /// Default and maximum of deadlines.
    pub deadlines: Deadlines,
    /// Whether reflection is served.
    pub reflection: bool,
    /// Authenticates callers.
    pub authenticator: Authenticator,
    /// Permissions and quotas of callers.
    pub rules: Arc<Live<Rules>>,
    /// Starts the spans of RPCs.
    pub tracer: Tracer,
}

/// Builds the server of the gRPC port. An error means that the compiled proto does not decode, which the tests exclude.
pub fn edge(
    settings: Settings,
    pipeline: Arc<Pipeline>,
    health: HealthServer<impl Health>,
    metrics: Metrics,
) -> Result<Edge, tonic_reflection::server::Error> {
    let settings = Arc::new(settings);
    let limit = settings.max_request_bytes;
    let admission = pipeline.admission().clone();
    let embedding = Embeddings { pipeline: Arc::clone(&pipeline), settings: Arc::clone(&settings) };
    let reranks = Reranks { pipeline: Arc::clone(&pipeline), settings: Arc::clone(&settings) };
    let tokens = Tokens { pipeline, settings: Arc::clone(&settings) };
    let models = Models { settings: Arc::clone(&settings) };
    let mut routes = Routes::builder();
    routes
        .add_service(health.max_decoding_message_size(MAX_QUESTION_BYTES))
        .add_service(
            EmbeddingServiceServer::new(embedding)
                .max_decoding_message_size(limit)
                .accept_compressed(CompressionEncoding::Gzip),
        )
        .add_service(
            RerankServiceServer::new(reranks)
                .max_decoding_message_size(limit)
                .accept_compressed(CompressionEncoding::Gzip),
        )
        .add_service(
            TokenServiceServer::new(tokens)
                .max_decoding_message_size(limit)
                .accept_compressed(CompressionEncoding::Gzip),
        )
        .add_service(
            ModelServiceServer::new(models)
                .max_decoding_message_size(limit)
                .accept_compressed(CompressionEncoding::Gzip),
        );
    if settings.reflection {
        // Some tools still use v1alpha only.
        routes
            .add_service(reflection().build_v1()?.max_decoding_message_size(MAX_QUESTION_BYTES))
            .add_service(
                reflection().build_v1alpha()?.max_decoding_message_size(MAX_QUESTION_BYTES),
            );
    }
    Ok(Edge::new(routes.routes().prepare(), settings, admission, metrics))
}

fn reflection<'a>() -> tonic_reflection::server::Builder<'a> {
    tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(v1::FILE_DESCRIPTOR_SET)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        // Lets tools show the details of errors.
        .register_encoded_file_descriptor_set(tonic_types::pb::FILE_DESCRIPTOR_SET)
}
