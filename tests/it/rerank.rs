//! `Rerank` over real gRPC: scores are cached per pair, split, merged and ordered.

use futures_util::future::join_all;
use tonic::{Code, Response, Status};
use voyage_gateway::{
    cache::CachedScores,
    caller::{Config as Callers, Rule},
    grpc::v1::{
        CacheMode, CacheStatus, RequestOptions, RerankRequest, RerankResponse, RerankResult,
        rerank_service_client::RerankServiceClient,
    },
    simulator::Fault,
    tokens::ModelConfig,
};

use crate::{
    support::{Gateway, fields, reason},
    tokens::tokenizer,
};

impl Gateway {
    async fn rerank(&self, request: RerankRequest) -> Result<RerankResponse, Status> {
        let mut client =
            RerankServiceClient::new(self.channel().await).max_decoding_message_size(usize::MAX);
        client.rerank(request).await.map(Response::into_inner)
    }

    /// The documents that Voyage was sent.
    fn documents(&self) -> usize {
        self.simulator().calls().iter().map(|call| call.inputs.len()).sum()
    }
}

fn of<T: AsRef<str>>(query: &str, documents: &[T]) -> RerankRequest {
    RerankRequest {
        query: query.to_owned(),
        documents: documents.iter().map(|document| document.as_ref().to_owned()).collect(),
        ..RerankRequest::default()
    }
}

fn order(reply: &RerankResponse) -> Vec<i32> {
    reply.results.iter().map(|result| result.index).collect()
}

const DOCUMENTS: [&str; 3] = ["how to fly a kite", "a recipe for bread", "baking bread at home"];

#[tokio::test]
async fn documents_are_ordered_and_their_scores_cached() {
    let gateway = Gateway::start().await;
    let first = gateway.rerank(of("bread recipe", &DOCUMENTS)).await.unwrap();
    assert_eq!((first.model.as_str(), order(&first)), ("rerank-3", vec![1, 2, 0]));
    assert_eq!(first.cache_status(), CacheStatus::Miss);
    assert!(first.usage.unwrap().total_tokens > 0);
    let sent = &gateway.simulator().calls()[0].body;
    assert_eq!(
        (&sent["top_k"], &sent["return_documents"]),
        (&serde_json::Value::Null, &serde_json::Value::Null)
    );

    // Another order, one more document: only that is sent.
    let reply = gateway
        .rerank(of("bread recipe", &[DOCUMENTS[2], "bread recipe", DOCUMENTS[1]]))
        .await
        .unwrap();
    assert_eq!((order(&reply), gateway.documents()), (vec![1, 2, 0], 4));
    let statuses: Vec<_> = reply.results.iter().map(RerankResult::cache_status).collect();
    assert_eq!(statuses, [CacheStatus::Miss, CacheStatus::Hit, CacheStatus::Hit]);
    assert_eq!(reply.cache_status(), CacheStatus::Miss);
    let cache = reply.cache.unwrap();
    assert_eq!((cache.hits, cache.misses), (2, 1));
    let score =
        |reply: &RerankResponse, place: usize| reply.results[place].relevance_score.to_bits();
    assert_eq!(score(&reply, 1), score(&first, 0));

    let again = gateway.rerank(of("bread recipe", &DOCUMENTS)).await.unwrap();
    assert_eq!(again.cache_status(), CacheStatus::Hit);
    assert_eq!(again.usage.unwrap().total_tokens, 0);
    // Another query is another pair.
    gateway.rerank(of("kites", &DOCUMENTS)).await.unwrap();
    assert_eq!(gateway.documents(), 7);
}

#[tokio::test]
async fn the_gateway_cuts_and_returns_documents() {
    let gateway = Gateway::start().await;
    for top_k in [1, 2, 3, 4] {
        let request = RerankRequest {
            top_k: Some(top_k),
            return_documents: true,
            ..of("bread recipe", &DOCUMENTS)
        };
        let reply = gateway.rerank(request).await.unwrap();
        assert_eq!(reply.results.len(), usize::try_from(top_k.min(3)).unwrap());
        assert_eq!(reply.results[0].document, DOCUMENTS[1]);
    }
    assert_eq!(gateway.documents(), 3);
}

#[tokio::test]
async fn equal_scores_stay_in_the_order_of_the_documents() {
    let gateway = Gateway::start().await;
    let reply = gateway.rerank(of("a", &["b", "a", "b", "a"])).await.unwrap();
    assert_eq!(order(&reply), [1, 3, 0, 2]);
    assert_eq!(gateway.documents(), 2, "duplicates are one document upstream");
}

/// The request with this number: 90 documents that all requests have, and 10 of its own.
fn overlapping(number: usize) -> RerankRequest {
    let common = (0..90).map(|document| format!("common document {document}"));
    let own = (0..10).map(|document| format!("document {document} of request {number}"));
    of("the same query", &common.chain(own).collect::<Vec<_>>())
}

#[tokio::test]
async fn a_hundred_requests_with_common_documents_pay_for_each_pair_once() {
    let gateway = Gateway::start().await;
    for number in 0..100 {
        gateway.rerank(overlapping(number)).await.unwrap();
    }
    assert_eq!(gateway.documents(), 1_090, "one after another");

    let gateway = Gateway::start().await;
    let replies = join_all((0..100).map(|number| gateway.rerank(overlapping(number)))).await;
    assert_eq!(gateway.documents(), 1_090, "all at once");
    for reply in replies {
        let mut indices = order(&reply.unwrap());
        indices.sort_unstable();
        assert_eq!(indices, (0..100).collect::<Vec<_>>());
    }
}

/// Hits, duplicates, flights of other requests, small calls and retries: the order and the scores are those of one call.
#[tokio::test]
async fn the_order_does_not_depend_on_how_documents_are_divided_into_calls() {
    let words = ["bread", "oven", "kite", "wind", "flour", "salt"];
    // Documents of up to three words of the list; the numbers choose which.
    let document = |number: usize| {
        let word = |digit: usize| words[number / digit % words.len()];
        format!("{} {} {}", word(1), word(6), word(36))
    };
    let request = |number: usize| {
        let documents: Vec<_> =
            (0..40).map(|place| document(place * (number + 3) * 7 % (60 + number))).collect();
        of(["bread in the oven", "kite in the wind"][number % 2], &documents)
    };
    let scores = |reply: &RerankResponse| -> Vec<_> {
        let score = |result: &RerankResult| (result.index, result.relevance_score.to_bits());
        reply.results.iter().map(score).collect()
    };

    let gateway = Gateway::with(|config, _| config.batch.max_inputs = 7).await;
    gateway.simulator().script().next_calls(2, Fault::status(503));
    let replies = join_all((0..20).map(|number| gateway.rerank(request(number)))).await;
    assert!(gateway.simulator().calls().iter().all(|call| call.inputs.len() <= 7));
    let whole = Gateway::with(|config, _| config.cache.rerank = CachedScores::Off).await;
    for (number, reply) in replies.iter().enumerate() {
        let expected = whole.rerank(request(number)).await.unwrap();
        assert_eq!(scores(reply.as_ref().unwrap()), scores(&expected), "request {number}");
        let cached = gateway.rerank(request(number)).await.unwrap();
        assert_eq!(cached.cache_status(), CacheStatus::Hit);
        assert_eq!(scores(&cached), scores(&expected), "request {number}");
    }
}

#[tokio::test]
async fn many_documents_are_split_and_merged() {
    let gateway = Gateway::start().await;
    let documents: Vec<_> = (0..2_500).map(|number| format!("document number {number}")).collect();
    let reply = gateway.rerank(of("number 1234", &documents)).await.unwrap();
    assert_eq!(reply.results.len(), 2_500);
    assert_eq!(reply.results[0].index, 1_234);
    assert!(reply.results.is_sorted_by(|one, other| {
        (one.relevance_score, -one.index) >= (other.relevance_score, -other.index)
    }));
    let sizes: Vec<_> = gateway.simulator().calls().iter().map(|call| call.inputs.len()).collect();
    assert!(sizes.iter().all(|size| *size <= 1_000), "{sizes:?}");
    assert_eq!(sizes.iter().sum::<usize>(), 2_500);

    // 600,000 tokens of query and documents in a call.
    let gateway = Gateway::start().await;
    let query = "word ".repeat(7_000);
    let documents: Vec<_> = (0..200).map(|number| format!("document {number}")).collect();
    gateway.rerank(of(&query, &documents)).await.unwrap();
    let calls = gateway.simulator().calls();
    assert!(calls.iter().all(|call| call.status == Some(200)), "{calls:?}");
    assert!(calls.len() >= 3);
}

#[tokio::test]
async fn a_failed_call_fails_the_request_and_is_not_bisected() {
    let gateway = Gateway::start().await;
    gateway.simulator().script().always(Fault::status(400));
    let status = gateway.rerank(of("bread", &DOCUMENTS)).await.unwrap_err();
    assert_eq!(
        (status.code(), reason(&status).as_str()),
        (Code::InvalidArgument, "UPSTREAM_INVALID_REQUEST")
    );
    assert_eq!(gateway.simulator().calls().len(), 1);

    for (fault, expected) in [
        (Fault::DuplicateIndex, "UPSTREAM_BAD_RESPONSE"),
        (Fault::NotANumber, "UPSTREAM_BAD_RESPONSE"),
        (Fault::WrongCount(-1), "UPSTREAM_BAD_RESPONSE"),
        (Fault::status(403), "UPSTREAM_FORBIDDEN"),
        (Fault::status(401), "UPSTREAM_UNAUTHENTICATED"),
    ] {
        let gateway = Gateway::start().await;
        gateway.simulator().script().always(fault.clone());
        let status = gateway.rerank(of("bread", &DOCUMENTS)).await.unwrap_err();
        assert_eq!(reason(&status), expected, "{fault:?}");
    }
}

#[tokio::test]
async fn a_pair_that_is_too_long_is_named_without_truncation() {
    let gateway = Gateway::start().await;
    let long = "word ".repeat(33_000);
    let mut request = of("bread", &["short", &long]);
    gateway.rerank(request.clone()).await.unwrap();
    request.truncation = Some(false);
    let status = gateway.rerank(request).await.unwrap_err();
    assert_eq!(reason(&status), "INPUT_TOO_LONG");
    assert_eq!(fields(&status), ["documents[1]"]);
}

#[tokio::test]
async fn a_query_over_its_limit_is_not_sent_without_truncation() {
    let (_folder, path) = tokenizer();
    let gateway = Gateway::with(|config, _| {
        let own = ModelConfig { tokenizer: path.clone() };
        config.tokens.models.insert("rerank-3".to_owned(), own);
    })
    .await;
    let query = |tokens: usize, truncation| RerankRequest {
        truncation: Some(truncation),
        ..of(&"one ".repeat(tokens), &["two"])
    };
    let status = gateway.rerank(query(8_001, false)).await.unwrap_err();
    assert_eq!((status.code(), fields(&status)), (Code::InvalidArgument, vec!["query".to_owned()]));
    assert!(status.message().contains("8001 tokens, the limit is 8000"), "{}", status.message());
    assert!(gateway.simulator().calls().is_empty());

    // More bytes than tokens are allowed, but not more tokens.
    gateway.rerank(query(2_500, false)).await.unwrap();
    gateway.rerank(query(8_001, true)).await.unwrap();
    assert_eq!(gateway.simulator().calls().len(), 2);

    // Without the tokenizer, Voyage decides.
    let gateway = Gateway::start().await;
    let status = gateway.rerank(query(9_000, false)).await.unwrap_err();
    assert_eq!(reason(&status), "UPSTREAM_INVALID_REQUEST");
    assert!(status.message().contains("query has too many tokens"), "{}", status.message());
}

#[tokio::test]
async fn rules_and_quotas_of_callers_apply() {
    let ruled = |rule: Rule| {
        let callers = Callers([("default".to_owned(), rule)].into());
        Gateway::with(move |config, _| config.callers = callers)
    };
    let allowed = |rpc: &str| Rule { rpcs: Some(vec![rpc.to_owned()]), ..Rule::default() };
    let gateway = ruled(allowed("Embed")).await;
    let status = gateway.rerank(of("bread", &DOCUMENTS)).await.unwrap_err();
    assert_eq!(
        (status.code(), reason(&status).as_str()),
        (Code::PermissionDenied, "CALLER_NOT_ALLOWED")
    );
    assert!(gateway.simulator().calls().is_empty());
    ruled(allowed("Rerank")).await.rerank(of("bread", &DOCUMENTS)).await.unwrap();

    let gateway = ruled(Rule { tokens_per_day: Some(1), ..Rule::default() }).await;
    let status = gateway.rerank(of("bread", &DOCUMENTS)).await.unwrap_err();
    assert_eq!(reason(&status), "CALLER_QUOTA_EXCEEDED");
    assert!(gateway.simulator().calls().is_empty());
}

#[tokio::test]
async fn cache_modes_and_the_setting_apply_to_scores() {
    let mode = |mode: CacheMode| RerankRequest {
        options: Some(RequestOptions { cache_mode: mode.into(), ..RequestOptions::default() }),
        ..of("bread", &DOCUMENTS)
    };
    let gateway = Gateway::start().await;
    let status = gateway.rerank(mode(CacheMode::OnlyIfCached)).await.unwrap_err();
    assert_eq!(reason(&status), "CACHE_MISS");
    gateway.rerank(mode(CacheMode::ReadWrite)).await.unwrap();
    gateway.rerank(mode(CacheMode::OnlyIfCached)).await.unwrap();
    let reply = gateway.rerank(mode(CacheMode::Bypass)).await.unwrap();
    assert_eq!(reply.cache_status(), CacheStatus::Bypassed);
    assert_eq!(gateway.documents(), 6);

    let gateway = Gateway::with(|config, _| config.cache.rerank = CachedScores::Off).await;
    for _ in 0..2 {
        let reply = gateway.rerank(of("bread", &DOCUMENTS)).await.unwrap();
        assert_eq!(reply.cache_status(), CacheStatus::Bypassed);
    }
    assert_eq!(gateway.documents(), 6);
}

#[tokio::test]
async fn bad_requests_are_refused_before_anything_is_sent() {
    let gateway = Gateway::start().await;
    let top_k = |top_k| RerankRequest { top_k: Some(top_k), ..of("a", &["b"]) };
    let partial = RequestOptions { allow_partial: true, ..RequestOptions::default() };
    for (request, field) in [
        (of::<&str>("a", &[]), "documents"),
        (of("a", &["b", ""]), "documents[1]"),
        (of("a", &vec!["b"; 16_385]), "documents"),
        (of("", &["b"]), "query"),
        (top_k(0), "top_k"),
        (top_k(-1), "top_k"),
        (RerankRequest { options: Some(partial), ..of("a", &["b"]) }, "options.allow_partial"),
    ] {
        let status = gateway.rerank(request).await.unwrap_err();
        assert_eq!(
            (status.code(), fields(&status)),
            (Code::InvalidArgument, vec![field.to_owned()])
        );
    }
    let request = RerankRequest { model: "voyage-4".to_owned(), ..of("a", &["b"]) };
    let status = gateway.rerank(request).await.unwrap_err();
    assert_eq!(fields(&status), ["model"]);
    let expected = "voyage-4 takes texts, in EmbeddingService/Embed; this RPC needs a model that takes a query and documents";
    assert!(status.message().ends_with(expected), "{}", status.message());

    let small = RequestOptions { max_response_bytes: 300, ..RequestOptions::default() };
    let request = RerankRequest {
        options: Some(small),
        return_documents: true,
        top_k: Some(1),
        ..of("a", &["x".repeat(100).as_str(), "y"])
    };
    let status = gateway.rerank(request).await.unwrap_err();
    assert_eq!(reason(&status), "RESPONSE_TOO_LARGE");
    assert!(gateway.simulator().calls().is_empty());
}
