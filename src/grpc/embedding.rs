//! `EmbeddingService`: convert, run the pipeline, convert back.

use std::sync::Arc;

use tonic::{Request, Response, Status};

use super::{
    Settings, answers,
    convert::{self, ReplyShape},
    edge::Call,
    v1::{
        EmbedChunksRequest, EmbedChunksResponse, EmbedMultimodalRequest, EmbedMultimodalResponse,
        EmbedRequest, EmbedResponse, ExplainEmbedRequest, ExplainEmbedResponse,
        embedding_service_server::EmbeddingService,
    },
};
use crate::{
    error::Error,
    pipeline::{self, Pipeline},
};

/// The most bytes of files that are read and hashed on the thread that serves calls: some 50 µs.
const SMALL_FILES: usize = 64 * 1024;

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

    async fn explain(
        &self,
        request: ExplainEmbedRequest,
        call: &Call,
    ) -> Result<ExplainEmbedResponse, Error> {
        let models = &self.settings.models;
        let request = match convert::explain_request(request, models, call.terms()) {
            Ok((request, _)) => request,
            Err(error @ Error::ResponseTooLarge { predicted, .. }) => {
                return Ok(convert::too_large_response(predicted, &error));
            }
            Err(error) => return Err(error),
        };
        let (parameters, reply_bytes) = (Arc::clone(&request.parameters), request.reply_bytes);
        let explanation = self.pipeline.explain(request, &call.permit).await?;
        Ok(convert::explain_response(explanation, &parameters, reply_bytes))
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

    async fn embed_multimodal(
        &self,
        request: EmbedMultimodalRequest,
        call: &Call,
    ) -> Result<Response<EmbedMultimodalResponse>, Error> {
        let (request, shape) = self.convert(request, call).await?;
        let answers = answers::of(&self.pipeline, request, call).await?;
        call.permit.count(shape.check_answers(&answers.response)?)?;
        Ok(answers
            .reply(|response, model| convert::embed_multimodal_response(response, shape, model)))
    }

    /// Converts a request; one with large files on another thread, which may take milliseconds.
    async fn convert(
        &self,
        request: EmbedMultimodalRequest,
        call: &Call,
    ) -> Result<(pipeline::Request, ReplyShape), Error> {
        let terms = call.terms();
        if convert::file_bytes(&request) <= SMALL_FILES {
            return convert::embed_multimodal_request(request, &self.settings.models, terms);
        }
        let (settings, permit) = (Arc::clone(&self.settings), call.permit.clone());
        let converting = tokio::task::spawn_blocking(move || {
            let converted = convert::embed_multimodal_request(request, &settings.models, terms);
            // The bytes count until here, even if the caller has left.
            drop(permit);
            converted
        });
        converting.await.map_err(|_| Error::Internal { cause: "reading files panicked" })?
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

    async fn explain_embed(
        &self,
        request: Request<ExplainEmbedRequest>,
    ) -> Result<Response<ExplainEmbedResponse>, Status> {
        let call = Call::of(request.extensions());
        let explained = self.explain(request.into_inner(), &call).await;
        explained.map(Response::new).map_err(|error| call.refuse(&error))
    }

    async fn embed_chunks(
        &self,
        request: Request<EmbedChunksRequest>,
    ) -> Result<Response<EmbedChunksResponse>, Status> {
        let call = Call::of(request.extensions());
        self.embed_chunks(request.into_inner(), &call).await.map_err(|error| call.refuse(&error))
    }

    async fn embed_multimodal(
        &self,
        request: Request<EmbedMultimodalRequest>,
    ) -> Result<Response<EmbedMultimodalResponse>, Status> {
        let call = Call::of(request.extensions());
        let request = request.into_inner();
        self.embed_multimodal(request, &call).await.map_err(|error| call.refuse(&error))
    }
}
