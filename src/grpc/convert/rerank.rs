//! `Rerank`: a query and documents.

use std::{
    cmp::{Ordering, Reverse},
    sync::Arc,
};

use super::{CallTerms, Options, Violations, check_count, model_name, reply};
use crate::{
    caller,
    error::Error,
    grpc::{
        RequestModels,
        v1::{RerankRequest, RerankResponse, RerankResult},
    },
    item::{Answer, EndpointParameters, Input, Parameters, Query, RerankParameters},
    model::Kind,
    pipeline::{Request, Response, Source},
};

/// Name of the RPC in the rules of callers.
pub(super) const RPC: &str = "Rerank";

/// Field tags, index, score, cache status and lengths of one result.
const RESULT_OVERHEAD: u64 = 28;

/// Everything else in the reply.
const REPLY_OVERHEAD: u64 = 256;

/// How the reply to a request will look.
#[derive(Debug)]
pub(in crate::grpc) struct RerankShape {
    /// The number of results.
    results: usize,
    /// The documents, if they are to be returned.
    documents: Option<Vec<Arc<str>>>,
}

/// Converts a request; an error lists all of its violations. Without `caches`, scores are neither looked up nor stored.
pub(in crate::grpc) fn rerank_request(
    request: RerankRequest,
    models: &RequestModels,
    caches: bool,
    terms: CallTerms,
) -> Result<(Request, RerankShape), Error> {
    let mut violations = Violations::default();
    let model = model_name(&request.model, Kind::Rerank, models, &mut violations);
    if request.query.is_empty() {
        violations.add("query", "EMPTY_TEXT", "must not be empty");
    }
    if request.top_k.is_some_and(|top_k| top_k < 1) {
        violations.add(
            "top_k",
            "OUT_OF_RANGE",
            "must be 1 or more; leave it out for all documents",
        );
    }
    let mut options =
        Options::read(request.options, caller::Priority::Interactive, &mut violations);
    if options.allow_partial {
        let description = "must not be set: an order without some documents is no answer";
        violations.add("options.allow_partial", "NOT_SUPPORTED", description);
    }
    if !caches {
        options.bypass_cache();
    }
    let documents = documents(request.documents, &mut violations);
    violations.into_result()?;
    terms.check(RPC, &model)?;

    let count = documents.len();
    let top_k = request.top_k.and_then(|top_k| usize::try_from(top_k).ok());
    let results = top_k.map_or(count, |top_k| top_k.min(count));
    let documents_of_reply = request.return_documents.then(|| documents.clone());
    let shape = RerankShape { results, documents: documents_of_reply };
    let reply_bytes = shape.check_size(options.max_bytes)?;
    let of = RerankParameters {
        query: Query::new(request.query),
        truncation: request.truncation.unwrap_or(true),
    };
    let parameters = Parameters::new(model, EndpointParameters::Pairs(of));
    let inputs = documents.into_iter().map(|document| Ok(Input::Candidate(document))).collect();
    Ok((options.request(parameters, inputs, reply_bytes, terms), shape))
}

fn documents(documents: Vec<String>, violations: &mut Violations) -> Vec<Arc<str>> {
    if !check_count("documents", "document", documents.len(), violations) {
        return Vec::new();
    }
    for (index, _) in documents.iter().enumerate().filter(|(_, document)| document.is_empty()) {
        violations.add(format!("documents[{index}]"), "EMPTY_TEXT", "must not be empty");
    }
    documents.into_iter().map(Arc::from).collect()
}

impl RerankShape {
    /// Returns the most bytes of the reply, or an error if the caller cannot receive them.
    fn check_size(&self, max_bytes: u64) -> Result<u64, Error> {
        let mut texts: Vec<_> =
            self.documents.iter().flatten().map(|document| document.len() as u64).collect();
        texts.sort_unstable_by_key(|bytes| Reverse(*bytes));
        let texts: u64 = texts.into_iter().take(self.results).sum();
        let results = self.results as u64;
        let predicted = texts + results * RESULT_OVERHEAD + REPLY_OVERHEAD;
        if predicted <= max_bytes {
            return Ok(predicted);
        }
        let max_inputs = max_bytes.saturating_mul(results) / predicted;
        Err(Error::ResponseTooLarge { predicted, limit: max_bytes, max_inputs })
    }
}

/// Builds the reply to a `Rerank`.
pub(in crate::grpc) fn rerank_response(
    response: Response,
    shape: &RerankShape,
    model: &str,
) -> Result<RerankResponse, Error> {
    let mut reply = RerankResponse {
        model: model.to_owned(),
        usage: Some(reply::usage(&response)),
        cache: Some(reply::cache_summary(&response)),
        cache_status: reply::cache_status(common_source(&response)) as i32,
        results: Vec::with_capacity(response.items.len()),
    };
    for (index, outcome) in response.items.into_iter().enumerate() {
        let Answer::Score(relevance_score) = outcome.result? else {
            return Err(Error::Internal { cause: reply::OTHER_ENDPOINT });
        };
        reply.results.push(RerankResult {
            index: reply::to_i32(index),
            relevance_score,
            document: String::new(),
            cache_status: reply::cache_status(outcome.source) as i32,
        });
    }
    // Stable: equal scores stay in the order of the documents, and so do 0 and -0. Scores are finite.
    reply.results.sort_by(|one, other| {
        other.relevance_score.partial_cmp(&one.relevance_score).unwrap_or(Ordering::Equal)
    });
    reply.results.truncate(shape.results);
    if let Some(documents) = &shape.documents {
        for result in &mut reply.results {
            let document = usize::try_from(result.index).ok().and_then(|at| documents.get(at));
            result.document = document.map(ToString::to_string).unwrap_or_default();
        }
    }
    Ok(reply)
}

/// Returns the source of the score that took the most: a hit only if all were hits.
fn common_source(response: &Response) -> Source {
    let sources = [Source::Bypassed, Source::Miss, Source::Coalesced];
    sources.into_iter().find(|source| response.count(*source) > 0).unwrap_or(Source::Hit)
}
