//! `EmbeddingService`: convert, run the pipeline, convert back.

use std::sync::Arc;

use tonic::{Request, Response, Status};

use super::{
    Settings, answers, convert,
    edge::Call,
    v1::{
        EmbedChunksRequest, EmbedChunksResponse, EmbedRequest, EmbedResponse,
        embedding_service_server::EmbeddingService,
    },
};
use crate::{error::Error, pipeline::Pipeline};

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
        let answers = answers::of(&self.pipeline, request, call).await?;
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
        let answers = answers::of(&self.pipeline, request, call).await?;
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
