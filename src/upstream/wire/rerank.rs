//! `POST /v1/rerank`.
//!
//! The gateway sorts, cuts and returns documents itself, so it sends neither `top_k` nor `return_documents`.

use serde::{Deserialize, Serialize};

use super::{
    Decoded,
    reply::{Numbered, Reply, in_order, wrong},
};
use crate::{
    error::BadResponse,
    item::{Answer, Input, RerankParameters},
};

#[derive(Serialize)]
struct Request<'a> {
    query: &'a str,
    documents: Vec<&'a str>,
    model: &'a str,
    /// Always sent: leaving out a `false` would mean `true`.
    truncation: bool,
}

#[derive(Deserialize)]
struct Entry {
    relevance_score: f64,
    #[serde(default)]
    index: Option<u64>,
}

pub(super) fn encode(model: &str, of: &RerankParameters, inputs: &[&Input]) -> Option<Vec<u8>> {
    let documents = inputs.iter().map(|input| {
        let Input::Candidate(document) = input else { return None };
        Some(&**document)
    });
    let request = Request {
        query: of.query.text(),
        documents: documents.collect::<Option<_>>()?,
        model,
        truncation: of.truncation,
    };
    serde_json::to_vec(&request).ok()
}

/// Entries come by score; the answers are in the order of the documents.
pub(super) fn decode(count: usize, body: &[u8]) -> Result<Decoded, BadResponse> {
    let reply: Reply<'_, Entry> = Reply::parse(body)?;
    let usage = reply.usage();
    let numbered = |Entry { relevance_score, index }| Numbered { index, entry: relevance_score };
    let scores = in_order(count, reply.data.into_iter().map(numbered))?;
    if !scores.iter().all(|score| score.is_finite()) {
        return Err(wrong("a score is not finite"));
    }
    Ok(Decoded { answers: scores.into_iter().map(Answer::Score).collect(), usage })
}
