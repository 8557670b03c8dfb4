//! `TokenService`: counts tokens without calls to Voyage.

use std::sync::Arc;

use tonic::{Request, Response, Status};

use super::{
    Settings, convert,
    edge::Call,
    v1::{CountTokensRequest, CountTokensResponse, token_service_server::TokenService},
};
use crate::{error::Error, pipeline::Pipeline, tokens::Counter};

/// More bytes are counted on a blocking thread: a tokenizer takes about 0.1 µs per byte.
const MAX_BYTES_COUNTED_HERE: usize = 64 * 1024;

/// Serves `voyage.gateway.v1.TokenService`.
#[derive(Debug)]
pub(super) struct Tokens {
    pub(super) pipeline: Arc<Pipeline>,
    pub(super) settings: Arc<Settings>,
}

impl Tokens {
    async fn count(
        &self,
        request: CountTokensRequest,
        call: &Call,
    ) -> Result<CountTokensResponse, Error> {
        let count = convert::count_request(request, &self.settings.models)?;
        call.check_rpc()?;
        call.caller.check_model(&count.model)?;
        self.pipeline.count_request(&call.caller)?;
        let counter = self.pipeline.counter().clone();
        if count.bytes() <= MAX_BYTES_COUNTED_HERE {
            return Ok(counted(&count, &counter));
        }
        let counting = tokio::task::spawn_blocking(move || counted(&count, &counter));
        counting.await.map_err(|_| Error::Internal { cause: "counting tokens panicked" })
    }
}

fn counted(count: &convert::CountInputs, counter: &Counter) -> CountTokensResponse {
    let model = &count.model;
    let query = counter.measure(model, count.query.as_deref());
    let tokens = count.inputs.iter().map(|texts| {
        let measure = counter.measure(model, texts.iter().map(String::as_str));
        convert::to_i64(counter.guess(model, &(measure + query)))
    });
    let token_counts: Vec<i64> = tokens.collect();
    CountTokensResponse {
        total_tokens: token_counts.iter().sum(),
        token_counts,
        model: model.to_string(),
        estimated: !counter.is_exact(model),
    }
}

#[tonic::async_trait]
impl TokenService for Tokens {
    async fn count_tokens(
        &self,
        request: Request<CountTokensRequest>,
    ) -> Result<Response<CountTokensResponse>, Status> {
        let call = Call::of(request.extensions());
        let counted = self.count(request.into_inner(), &call).await;
        counted.map(Response::new).map_err(|error| call.refuse(&error))
    }
}
