//! `EmbeddingService`: convert, run the pipeline, convert back.

use std::sync::Arc;

use tonic::{Request, Response, Status, metadata::MetadataMap};

use super::{
    Settings, convert,
    edge::Call,
    v1::{
        EmbedChunksRequest, EmbedChunksResponse, EmbedRequest, EmbedResponse,
        embedding_service_server::EmbeddingService,
    },
};
use crate::{
    error::Error,
    pipeline::{self, Pipeline, Source},
};

/// Serves `voyage.gateway.v1.EmbeddingService`.
#[derive(Debug)]
pub(super) struct Embeddings {
    pub(super) pipeline: Arc<Pipeline>,
    pub(super) settings: Arc<Settings>,
}

impl Embeddings {
    async fn embed(
        &self,
        request: EmbedRequest,
        call: &Call,
    ) -> Result<Response<EmbedResponse>, Error> {
        let models = &self.settings.models;
        let (request, shape) = convert::embed_request(request, models, call.terms())?;
        let answers = run(&self.pipeline, request, call).await?;
        call.permit.count(shape.check_answers(&answers.response)?)?;
        Ok(answers.reply(|response, model| convert::embed_response(response, shape, model)))
    }

    async fn embed_chunks(
        &self,
        request: EmbedChunksRequest,
        call: &Call,
    ) -> Result<Response<EmbedChunksResponse>, Error> {
        let models = &self.settings.models;
        let (request, shape) = convert::embed_chunks_request(request, models, call.terms())?;
        let answers = run(&self.pipeline, request, call).await?;
        call.permit.count(shape.check_answers(&answers.response)?)?;
        Ok(answers.reply(|response, model| convert::embed_chunks_response(response, shape, model)))
    }
}

#[tonic::async_trait]
impl EmbeddingService for Embeddings {
    async fn embed(
        &self,
        request: Request<EmbedRequest>,
    ) -> Result<Response<EmbedResponse>, Status> {
        let call = Call::of(request.extensions());
        self.embed(request.into_inner(), &call).await.map_err(|error| call.refuse(&error))
    }

    async fn embed_chunks(
        &self,
        request: Request<EmbedChunksRequest>,
    ) -> Result<Response<EmbedChunksResponse>, Status> {
        let call = Call::of(request.extensions());
        self.embed_chunks(request.into_inner(), &call).await.map_err(|error| call.refuse(&error))
    }
}

/// The pipeline's response, before it is converted.
struct Answers {
    response: pipeline::Response,
    model: Arc<str>,
}

/// Runs a request in the pipeline.
async fn run(
    pipeline: &Pipeline,
    request: pipeline::Request,
    call: &Call,
) -> Result<Answers, Error> {
    let model = Arc::clone(&request.parameters.model);
    let response = pipeline.run(request, &call.rpc.trace, &call.permit).await?;
    call.rpc.set_upstream_time(response.upstream_time);
    Ok(Answers { response, model })
}

impl Answers {
    /// Converts the response, and adds its metadata.
    fn reply<T>(self, convert: impl FnOnce(pipeline::Response, &str) -> T) -> Response<T> {
        let metadata = metadata(&self.response, &self.model);
        let mut reply = Response::new(convert(self.response, &self.model));
        *reply.metadata_mut() = metadata;
        reply
    }
}

/// Returns `x-model`, `x-cache`, and the id and warning of the upstream reply, if there was exactly one.
fn metadata(answers: &pipeline::Response, model: &str) -> MetadataMap {
    let mut metadata = MetadataMap::new();
    let mut put = |name: &'static str, value: &str| {
        // Values that are not valid in a header are left out; the reply has them too.
        if let Ok(value) = value.parse() {
            metadata.insert(name, value);
        }
    };
    put("x-model", model);
    let misses = answers.count(Source::Miss) + answers.count(Source::Bypassed);
    let (hits, coalesced) = (answers.count(Source::Hit), answers.count(Source::Coalesced));
    put("x-cache", &format!("hit={hits},miss={misses},coalesced={coalesced}"));
    if let Some(reply) = answers.only_reply() {
        if let Some(id) = &reply.request_id {
            put("x-voyage-request-id", id);
        }
        if let Some(warning) = &reply.warning {
            put("x-api-warning", warning);
        }
    }
    metadata
}
