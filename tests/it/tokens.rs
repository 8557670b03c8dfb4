//! `CountTokens` over real gRPC: local counts for every kind of input.

use std::{
    fs,
    path::{Path, PathBuf},
};

use tonic::{Code, Response, Status};
use voyage_gateway::{
    config::Config,
    grpc::v1::{
        CacheMode, CacheStatus, ChunkedDocument, CountTokensRequest, CountTokensResponse,
        EmbedChunksRequest, EmbedResponse, embedding_service_client::EmbeddingServiceClient,
        token_service_client::TokenServiceClient,
    },
    tokens::ModelConfig,
};

use crate::support::{Gateway, fields, in_mode, partial, reason, statuses, texts};

impl Gateway {
    async fn count(&self, request: CountTokensRequest) -> Result<CountTokensResponse, Status> {
        let mut client = TokenServiceClient::new(self.channel().await);
        client.count_tokens(request).await.map(Response::into_inner)
    }
}

fn strings(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

fn of(inputs: &[&str]) -> CountTokensRequest {
    CountTokensRequest { inputs: strings(inputs), ..CountTokensRequest::default() }
}

fn documents(documents: &[&[&str]]) -> CountTokensRequest {
    let document = |chunks: &&[&str]| ChunkedDocument { chunks: strings(chunks) };
    CountTokensRequest {
        documents: documents.iter().map(document).collect(),
        ..CountTokensRequest::default()
    }
}

fn pairs(query: &str, candidates: &[&str]) -> CountTokensRequest {
    CountTokensRequest { query: query.to_owned(), ..of(candidates) }
}

#[tokio::test]
async fn every_kind_of_input_is_estimated_without_a_call() {
    let gateway = Gateway::start().await;
    for (request, model) in [
        (of(&["a text of some words", "another"]), "voyage-4"),
        (documents(&[&["a text of", "some words"], &["another"]]), "voyage-context-4"),
        (pairs("a query", &["a text of some words", "another"]), "rerank-3"),
    ] {
        let counted = gateway.count(request).await.unwrap();
        assert_eq!(counted.model, model);
        assert!(counted.estimated);
        let [long, short] = counted.token_counts[..] else { panic!("{counted:?}") };
        assert!(long > short && short > 0, "{counted:?}");
        assert_eq!(counted.total_tokens, long + short);
    }
    let alone = gateway.count(of(&["another"])).await.unwrap().total_tokens;
    let pair = gateway.count(pairs("a query", &["another"])).await.unwrap().total_tokens;
    assert!(pair > alone, "a query counts with each document");
    assert!(gateway.simulator().calls().is_empty());
}

/// A tokenizer file with a token for each word of the tests.
pub(crate) fn tokenizer() -> (tempfile::TempDir, PathBuf) {
    let vocabulary = ["[UNK]", "one", "two", "three"];
    let vocabulary: serde_json::Map<_, _> =
        (0..).zip(vocabulary).map(|(id, word)| (word.to_owned(), serde_json::json!(id))).collect();
    let tokenizer = serde_json::json!({
        "version": "1.0", "truncation": null, "padding": null, "added_tokens": [],
        "normalizer": null, "pre_tokenizer": {"type": "Whitespace"}, "post_processor": null,
        "decoder": null,
        "model": {"type": "WordLevel", "vocab": vocabulary, "unk_token": "[UNK]"},
    });
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tokenizer.json");
    fs::write(&path, tokenizer.to_string()).unwrap();
    (folder, path)
}

#[tokio::test]
async fn a_models_own_tokenizer_counts_exactly() {
    let (_folder, path) = tokenizer();
    let gateway = Gateway::with(|config, _| {
        count_exactly(config, &path, &["voyage-4", "voyage-context-4", "rerank-3"]);
    })
    .await;
    for (request, counts) in [
        (of(&["one two three", "", "one"]), vec![3, 0, 1]),
        (documents(&[&["one", "two three"], &["two"]]), vec![3, 1]),
        (pairs("one two", &["three", "one one"]), vec![3, 4]),
        // More than is counted on a thread that serves calls.
        (of(&["one ".repeat(50_000).as_str()]), vec![50_000]),
    ] {
        let counted = gateway.count(request).await.unwrap();
        assert!(!counted.estimated);
        assert_eq!(counted.total_tokens, counts.iter().sum::<i64>());
        assert_eq!(counted.token_counts, counts);
    }

    // What Voyage would refuse as too long is not sent.
    let request = voyage_gateway::grpc::v1::EmbedRequest {
        truncation: Some(false),
        ..texts(&["short", "one ".repeat(32_001).as_str()])
    };
    let status = gateway.embed(request).await.err().unwrap();
    assert_eq!(reason(&status), "INVALID_REQUEST");
    assert_eq!(fields(&status), ["inputs[1]"]);
    assert!(status.message().contains("32001 tokens, the limit is 32000"), "{}", status.message());
    let sent: Vec<_> =
        gateway.simulator().calls().into_iter().flat_map(|call| call.inputs).collect();
    assert!(sent.iter().all(|text| text == "short"));
}

/// Counts the tokens of these models with the tokenizer of the tests.
fn count_exactly(config: &mut Config, path: &Path, models: &[&str]) {
    for model in models {
        let own = ModelConfig { tokenizer: path.to_owned() };
        config.tokens.models.insert((*model).to_owned(), own);
    }
}

/// The positions of the vectors whose inputs were truncated.
fn truncated(reply: &EmbedResponse) -> Vec<i32> {
    let embeddings = reply.embeddings.iter().filter(|embedding| embedding.truncated);
    embeddings.map(|embedding| embedding.index).collect()
}

#[tokio::test]
async fn a_vector_says_that_its_text_was_longer_than_the_context() {
    let (_folder, path) = tokenizer();
    let gateway =
        Gateway::with(|config, _| count_exactly(config, &path, &["voyage-4", "voyage-context-4"]))
            .await;
    let (full, long) = ("one ".repeat(32_000), "one ".repeat(32_001));
    let request = texts(&["short", &long, &full, &long]);
    // Fetched, with a duplicate in the request; then cached; then fetched alone.
    for (request, status) in [
        (request.clone(), [CacheStatus::Miss, CacheStatus::Coalesced]),
        (request.clone(), [CacheStatus::Hit; 2]),
        (in_mode(request, CacheMode::Bypass), [CacheStatus::Bypassed; 2]),
    ] {
        let reply = gateway.embed(request).await.unwrap().into_inner();
        let statuses = statuses(&reply);
        assert_eq!([statuses[1], statuses[3]], status);
        assert_eq!(truncated(&reply), [1, 3], "{status:?}");
    }
    let partial = gateway.embed(partial(texts(&[&long, ""]))).await.unwrap().into_inner();
    assert_eq!(truncated(&partial), [0]);
    // Voyage truncates no chunks.
    let documents = vec![ChunkedDocument { chunks: vec!["one".to_owned(), "two".to_owned()] }];
    let request = EmbedChunksRequest { documents, ..EmbedChunksRequest::default() };
    let mut client = EmbeddingServiceClient::new(gateway.channel().await);
    let reply = client.embed_chunks(request).await.unwrap().into_inner();
    assert!(reply.documents[0].embeddings.iter().all(|embedding| !embedding.truncated));
}

#[tokio::test]
async fn without_a_tokenizer_no_vector_is_said_to_be_of_a_truncated_text() {
    let gateway = Gateway::start().await;
    let reply = gateway.embed(texts(&["one ".repeat(40_000)])).await.unwrap().into_inner();
    assert_eq!(truncated(&reply), [0; 0]);
}

#[tokio::test]
async fn bad_requests_to_count_are_refused() {
    let gateway = Gateway::start().await;
    let both = CountTokensRequest { inputs: strings(&["a"]), ..documents(&[&["a"]]) };
    for (request, field) in [
        (of(&[]), "inputs"),
        (of(&vec!["a"; 16_385]), "inputs"),
        (pairs("a", &[]), "inputs"),
        (both, "documents"),
        (CountTokensRequest { model: "rerank-3".to_owned(), ..of(&["a"]) }, "model"),
    ] {
        let status = gateway.count(request).await.unwrap_err();
        assert_eq!(
            (status.code(), fields(&status)),
            (Code::InvalidArgument, vec![field.to_owned()])
        );
    }
}
