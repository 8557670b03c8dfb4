//! The whole corpus through the gateway: prose, code, long and odd texts in many scripts.

use std::{fs, path::Path};

use voyage_gateway::grpc::v1::CacheStatus;

use crate::support::{Client, Gateway, assert_vectors, sample, texts};

/// Reads the texts of `shared/data/corpus.jsonl`, which lies beside the checkout.
fn corpus() -> Vec<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data/corpus.jsonl");
    let lines = fs::read_to_string(&path).unwrap_or_else(|error| {
        panic!("this test needs the corpus beside the checkout: {}: {error}", path.display())
    });
    let text = |line| {
        let line: serde_json::Value = serde_json::from_str(line).expect("a line of JSON");
        line["text"].as_str().expect("a text").to_owned()
    };
    lines.lines().map(text).collect()
}

/// Embeds texts in batches, holds each vector against its text and returns how many came from the cache.
async fn embed(client: &mut Client, inputs: &[&str], batch: usize) -> usize {
    let mut hits = 0;
    for inputs in inputs.chunks(batch) {
        let reply = client.embed(texts(inputs)).await.unwrap().into_inner();
        assert_vectors(&reply, inputs);
        let is_hit = |status: CacheStatus| status == CacheStatus::Hit;
        hits += reply.embeddings.iter().filter(|one| is_hit(one.cache_status())).count();
    }
    hits
}

/// Puts items into another order that is the same in every run.
fn shuffled<'a>(items: &[&'a str]) -> Vec<&'a str> {
    // A step that has no factor in common with the length visits every place once.
    let step = 1_009;
    assert_ne!(items.len() % step, 0);
    (0..items.len()).map(|number| items[number * step % items.len()]).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_corpus_is_paid_for_once() {
    let corpus = corpus();
    let inputs: Vec<&str> = corpus.iter().map(String::as_str).collect();
    assert_eq!(inputs.len(), 3_035);
    let gateway = Gateway::start().await;
    let mut client = gateway.client().await;

    assert_eq!(embed(&mut client, &inputs, 128).await, 0);
    let calls = gateway.simulator().calls();
    assert_eq!(calls.len(), 3_035_usize.div_ceil(128));
    let billed: u64 = calls.iter().map(|call| call.tokens).sum();

    assert_eq!(embed(&mut client, &inputs, 128).await, inputs.len());
    let inputs = shuffled(&inputs);
    assert_eq!(embed(&mut client, &inputs, 100).await, inputs.len());
    assert_eq!(gateway.simulator().calls().len(), calls.len(), "the cache asked Voyage");

    let metrics = gateway.metrics().await;
    let tokens = sample(&metrics, "voyage_gateway_tokens_total", &[]);
    assert_eq!(tokens, billed);
}
