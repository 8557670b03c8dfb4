//! Replies of `Rerank`: their order, and their predicted size.

use proptest::prelude::*;
use prost::Message as _;

use super::*;
use crate::{
    grpc::v1::{CacheStatus, RerankRequest, RerankResponse},
    item::{self, Answer},
    pipeline::{ItemResult, Response, Source},
};

fn request(documents: Vec<String>, top_k: Option<i32>, return_documents: bool) -> RerankRequest {
    let query = "a query".to_owned();
    RerankRequest { query, documents, top_k, return_documents, ..RerankRequest::default() }
}

fn reply(request: RerankRequest, outcomes: Vec<(f64, Source)>) -> (usize, RerankResponse) {
    let terms = CallTerms { caller: Caller::anonymous(), deadline: Instant::now() };
    let (request, shape) =
        rerank_request(request, &RequestModels::usual(), true, terms).expect("a valid request");
    let item = |(score, source)| ItemResult { result: Ok(Answer::Score(score)), source };
    let response = Response {
        items: outcomes.into_iter().map(item).collect(),
        usage: item::Usage::of_tokens(u64::MAX),
        estimated: true,
        calls: Vec::new(),
        upstream_time: std::time::Duration::ZERO,
    };
    let reply = rerank_response(response, &shape, &"m".repeat(128)).expect("a reply");
    (request.reply_bytes, reply)
}

#[test]
fn the_reply_is_a_hit_only_if_all_scores_were_cached() {
    use Source::{Bypassed, Coalesced, Hit, Miss};
    for (sources, status) in [
        ([Hit, Hit], CacheStatus::Hit),
        ([Hit, Miss], CacheStatus::Miss),
        ([Coalesced, Hit], CacheStatus::Coalesced),
        ([Coalesced, Miss], CacheStatus::Miss),
        ([Bypassed, Bypassed], CacheStatus::Bypassed),
    ] {
        let documents = vec!["a".to_owned(), "b".to_owned()];
        let outcomes = sources.map(|source| (0.5, source)).into();
        // The score that was not cached is beyond top_k.
        let (_, reply) = reply(request(documents, Some(1), false), outcomes);
        assert_eq!(reply.cache_status(), status, "{sources:?}");
    }
}

proptest! {
    /// Scores from 0 to 3 and -0, so that many are equal.
    #[test]
    fn results_are_ordered_by_score_and_then_by_index(
        documents in proptest::collection::vec(("[a-z]{1,200}", prop_oneof![Just(-0.0), (0..4_u8).prop_map(f64::from)]), 1..40),
        top_k in proptest::option::of(1..50),
        return_documents: bool,
    ) {
        let (texts, scores): (Vec<String>, Vec<f64>) = documents.into_iter().unzip();
        let outcomes = scores.iter().map(|score| (*score, Source::Hit)).collect();
        let (predicted, reply) = reply(request(texts.clone(), top_k, return_documents), outcomes);

        let mut expected: Vec<usize> = (0..scores.len()).collect();
        // The highest first, and the earlier of equal ones: 0 and -0 are equal.
        expected.sort_by(|one, other| {
            scores[*other].partial_cmp(&scores[*one]).unwrap().then(one.cmp(other))
        });
        expected.truncate(top_k.map_or(usize::MAX, |top_k| usize::try_from(top_k).unwrap()));
        let order: Vec<_> = reply.results.iter().map(|result| usize::try_from(result.index).unwrap()).collect();
        prop_assert_eq!(&order, &expected);
        for (result, index) in reply.results.iter().zip(expected) {
            prop_assert_eq!(result.relevance_score.to_bits(), scores[index].to_bits());
            prop_assert_eq!(&result.document, if return_documents { &texts[index] } else { "" });
        }
        prop_assert!(reply.encoded_len() <= predicted, "{} > {predicted}", reply.encoded_len());
    }
}
