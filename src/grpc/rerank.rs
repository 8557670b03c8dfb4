//! `RerankService`: convert, run the pipeline, convert back.

use std::sync::Arc;

use tonic::{Request, Response, Status};

use super::{
    Settings, answers, convert,
    edge::Call,
    v1::{RerankRequest, RerankResponse, rerank_service_server::RerankService},
};
use crate::{error::Error, pipeline::Pipeline};

/// Serves `voyage.gateway.v1.RerankService`.
#[derive(Debug)]
pub(super) struct Reranks {
    pub(super) pipeline: Arc<Pipeline>,
    pub(super) settings: Arc<Settings>,
}

impl Reranks {
    async fn rerank(
        &self,
        request: RerankRequest,
        call: &Call,
    ) -> Result<Response<RerankResponse>, Error> {
        let Settings { models, caches_scores, .. } = &*self.settings;
        let (request, shape) =
            convert::rerank_request(request, models, *caches_scores, call.terms())?;
        let answers = answers::of(&self.pipeline, request, call).await?;
        answers.try_reply(|response, model| convert::rerank_response(response, &shape, model))
    }
}

#[tonic::async_trait]
impl RerankService for Reranks {
    async fn rerank(
        &self,
        request: Request<RerankRequest>,
    ) -> Result<Response<RerankResponse>, Status> {
        let call = Call::of(request.extensions());
        self.rerank(request.into_inner(), &call).await.map_err(|error| call.refuse(&error))
    }
}
