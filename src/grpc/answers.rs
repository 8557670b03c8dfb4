//! Runs a request in the pipeline, and adds the metadata of its reply: the part that the services share.

use std::sync::Arc;

use tonic::{Extensions, Response, metadata::MetadataMap};

use super::edge::Call;
use crate::{
    error::Error,
    pipeline::{self, Pipeline, Source},
};

/// The pipeline's response, before it is converted.
pub(super) struct Answers {
    pub(super) response: pipeline::Response,
    model: Arc<str>,
}

/// Runs a request in the pipeline.
pub(super) async fn of(
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
    pub(super) fn reply<T>(
        self,
        convert: impl FnOnce(pipeline::Response, &str) -> T,
    ) -> Response<T> {
        let metadata = metadata(&self.response, &self.model);
        let reply = convert(self.response, &self.model);
        Response::from_parts(metadata, reply, Extensions::default())
    }

    /// The same for a conversion that may fail.
    pub(super) fn try_reply<T>(
        self,
        convert: impl FnOnce(pipeline::Response, &str) -> Result<T, Error>,
    ) -> Result<Response<T>, Error> {
        let (metadata, reply, extensions) = self.reply(convert).into_parts();
        Ok(Response::from_parts(metadata, reply?, extensions))
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
