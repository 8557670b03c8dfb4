//! The caller's protocol: services, conversion, status. With `transport`, the only room that knows tonic.
//!
//! [`mod@edge`] is what every RPC passes first; a service converts ([`convert`]), runs the pipeline and converts
//! back; every failure becomes a status in [`status`] and nowhere else.

pub mod auth;
mod codec;
mod convert;
mod deadline;
mod edge;
mod embedding;
mod models;
mod request_id;
pub mod status;
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

    /// The compiled `proto/`, comments included: what reflection serves.
    pub const FILE_DESCRIPTOR_SET: &[u8] =
        include_bytes!(concat!(env!("OUT_DIR"), "/voyage_gateway_descriptor.bin"));
}

use v1::{
    embedding_service_server::EmbeddingServiceServer, model_service_server::ModelServiceServer,
};

/// Names of the services whose health is reported one by one.
pub const SERVICES: [&str; 2] =
    ["voyage.gateway.v1.EmbeddingService", "voyage.gateway.v1.ModelService"];

/// Bytes a message to health or reflection may have, on either port: a name. They are answered without a permit.
pub const MAX_QUESTION_BYTES: usize = 4 * 1024;

/// What the services need to know of the configuration.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The model of requests that name none.
    pub default_model: Arc<str>,
    /// Bytes a request message may have.
    pub max_request_bytes: usize,
    /// Bounds of deadlines.
    pub deadlines: Deadlines,
    /// Whether reflection is served.
    pub reflection: bool,
    /// Finds out who calls.
    pub authenticator: Authenticator,
    /// What each caller may do and spend.
    pub rules: Arc<Live<Rules>>,
    /// Makes the spans that RPCs begin with.
    pub tracer: Tracer,
}

/// Builds everything that answers on the gRPC port.
///
/// # Errors
///
/// The compiled proto does not decode, which the tests exclude.
pub fn edge(
    settings: &Settings,
    pipeline: Arc<Pipeline>,
    health: HealthServer<impl Health>,
    metrics: Metrics,
) -> Result<Edge, tonic_reflection::server::Error> {
    let limit = settings.max_request_bytes;
    let admission = pipeline.admission().clone();
    let embedding = embedding::Service::new(pipeline, settings.default_model.clone());
    let models = models::Service::new(settings);
    let mut routes = Routes::builder();
    routes
        .add_service(health.max_decoding_message_size(MAX_QUESTION_BYTES))
        .add_service(
            EmbeddingServiceServer::new(embedding)
                .max_decoding_message_size(limit)
                .accept_compressed(CompressionEncoding::Gzip),
        )
        .add_service(
            ModelServiceServer::new(models)
                .max_decoding_message_size(limit)
                .accept_compressed(CompressionEncoding::Gzip),
        );
    if settings.reflection {
        // Both versions: several tools still speak v1alpha only.
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
        // So that tools can show the details of an error.
        .register_encoded_file_descriptor_set(tonic_types::pb::FILE_DESCRIPTOR_SET)
}
