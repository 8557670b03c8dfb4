//! A whole corpus through the gateway: prose, code, long and odd texts in many scripts.

use std::{collections::BTreeSet, fs, path::Path};

use voyage_gateway::{grpc::v1::CacheStatus, simulator::vector};

use crate::support::{Client, Gateway, USUAL, sample, texts};
use crate::tidy::sources;

/// How many texts a corpus has, all different.
const TEXTS: usize = 3_035;

/// Reads the texts of `shared/data/corpus.jsonl` beside the checkout. A checkout that stands alone makes do with lines
/// of its own code.
fn corpus() -> Vec<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data/corpus.jsonl");
    let Ok(lines) = fs::read_to_string(path) else {
        let code = sources("src", "rs");
        let lines: BTreeSet<&str> = code.iter().flat_map(|file| file.text.lines()).collect();
        let lines = lines.into_iter().filter(|line| !line.is_empty());
        return lines.take(TEXTS).map(str::to_owned).collect();
    };
    let text = |line| {
        let line: serde_json::Value = serde_json::from_str(line).expect("a line of JSON");
        line["text"].as_str().expect("a text").to_owned()
    };
    lines.lines().map(text).collect()
}

/// A text and the vector it must get.
type Entry<'a> = (&'a str, Vec<u8>);

/// Embeds texts in batches, holds each vector against its text and returns how many came from the cache.
async fn embed(client: &mut Client, entries: &[Entry<'_>], batch: usize) -> usize {
    let mut hits = 0;
    for entries in entries.chunks(batch) {
        let inputs: Vec<&str> = entries.iter().map(|(text, _)| *text).collect();
        let reply = client.embed(texts(&inputs)).await.unwrap().into_inner();
        assert_eq!(reply.embeddings.len(), entries.len());
        for (embedding, (text, expected)) in reply.embeddings.iter().zip(entries) {
            assert!(
                embedding.values == expected,
                "the vector of {:?} is another's",
                &text.get(..40)
            );
            hits += usize::from(embedding.cache_status() == CacheStatus::Hit);
        }
    }
    hits
}

/// Puts items into another order that is the same in every run.
fn shuffled<T: Clone>(items: &[T]) -> Vec<T> {
    // A step that has no factor in common with the length visits every place once.
    let step = 1_009;
    assert_ne!(items.len() % step, 0);
    (0..items.len()).map(|number| items[number * step % items.len()].clone()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_corpus_is_paid_for_once() {
    let corpus = corpus();
    let entries: Vec<Entry<'_>> =
        corpus.iter().map(|text| (text.as_str(), vector(text, &USUAL))).collect();
    assert_eq!(entries.len(), TEXTS);
    let gateway = Gateway::start().await;
    let mut client = gateway.client().await;

    assert_eq!(embed(&mut client, &entries, 128).await, 0);
    let calls = gateway.simulator().calls();
    assert_eq!(calls.len(), TEXTS.div_ceil(128));
    let billed: u64 = calls.iter().map(|call| call.tokens).sum();

    assert_eq!(embed(&mut client, &entries, 128).await, entries.len());
    assert_eq!(embed(&mut client, &shuffled(&entries), 100).await, entries.len());
    assert_eq!(gateway.simulator().calls().len(), calls.len(), "the cache asked Voyage");

    let metrics = gateway.metrics().await;
    let tokens = sample(&metrics, "voyage_gateway_tokens_total", &[]);
    assert_eq!(tokens, billed);
}
