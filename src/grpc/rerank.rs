//! `RerankService`: convert, run the pipeline, convert back.

use std::sync::Arc;

use tonic::{Request, Response, Status};

use super::{
    Settings, answers, convert,
    edge::Call,
    v1::{RerankRequest, RerankResponse, rerank_service_server::RerankService},
};
use crate::{error::Error, item::Parameters, pipeline::Pipeline};

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
        self.check_query(&request.parameters).await?;
        let answers = answers::of(&self.pipeline, request, call).await?;
        answers.try_reply(|response, model| convert::rerank_response(response, &shape, model))
    }

    /// Returns an error for a query that Voyage would refuse as too long. An estimate refuses nothing.
    async fn check_query(&self, parameters: &Arc<Parameters>) -> Result<(), Error> {
        let counter = self.pipeline.counter();
        let Some(limit) = parameters.refuses_query_beyond() else { return Ok(()) };
        // A tokenizer never produces more tokens than bytes.
        let bytes = parameters.shared_text().map_or(0, str::len) as u64;
        if bytes <= limit || !counter.is_exact(&parameters.model) {
            return Ok(());
        }
        let (counter, parameters) = (counter.clone(), Arc::clone(parameters));
        let counting = tokio::task::spawn_blocking(move || {
            counter.measure(&parameters.model, parameters.shared_text()).exact_tokens()
        });
        match counting.await {
            Ok(Some(tokens)) if tokens > limit => {
                let description = format!(
                    "has {tokens} tokens, the limit is {limit}; shorten it or set truncation"
                );
                Err(Error::violation("query", "INPUT_TOO_LONG", description))
            }
            Ok(_) => Ok(()),
            Err(_) => Err(Error::Internal { cause: "counting tokens panicked" }),
        }
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
