//! `EmbeddingService`: convert, run the pipeline, convert back.

use std::sync::Arc;

use tonic::{Request, Response, Status, metadata::MetadataMap};

use super::{
    Settings, convert,
    edge::Call,
    v1::{EmbedRequest, EmbedResponse, embedding_service_server::EmbeddingService},
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
    async fn run(
        &self,
        request: EmbedRequest,
        call: &Call,
    ) -> Result<Response<EmbedResponse>, Error> {
        let (deadline, caller) = (call.deadline.answer_by, call.caller.clone());
        let (request, shape) =
            convert::embed_request(request, &self.settings.default_model, deadline, caller)?;
        let model = Arc::clone(&request.parameters.model);
        let answers = self.pipeline.run(request, &call.rpc.trace, &call.permit).await?;
        call.rpc.set_upstream_time(answers.upstream_time);
        call.permit.count(shape.check_answers(&answers)?)?;
        let metadata = metadata(&answers, &model);
        let mut reply = Response::new(convert::embed_response(answers, shape, &model));
        *reply.metadata_mut() = metadata;
        Ok(reply)
    }
}

#[tonic::async_trait]
impl EmbeddingService for Embeddings {
    async fn embed(
        &self,
        request: Request<EmbedRequest>,
    ) -> Result<Response<EmbedResponse>, Status> {
        let call = Call::of(request.extensions());
        self.run(request.into_inner(), &call).await.map_err(|error| call.refuse(&error))
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
