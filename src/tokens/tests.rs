use std::path::Path;

use super::*;
use crate::simulator::count_tokens;

mod corpus;
mod estimate;
mod exact;
mod measure;

/// What `config.example.toml` shows of `tokens.models`.
pub(super) fn example() -> serde_json::Value {
    serde_json::json!({ "voyage-4": { "tokenizer": "/etc/voyage/voyage-4/tokenizer.json" } })
}

/// The name of a model that has no limits.
const MODEL: &str = "some-model";

fn counter() -> Counter {
    Counter::new(&Config::default()).unwrap()
}

/// The texts of `shared/data/corpus.jsonl`, which lies beside the checkout.
fn texts() -> Vec<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data/corpus.jsonl");
    let file = fs::read_to_string(&path).unwrap_or_else(|error| {
        panic!("this test needs the corpus beside the checkout: {}: {error}", path.display())
    });
    let text = |line| serde_json::from_str::<serde_json::Value>(line).unwrap()["text"].take();
    file.lines().map(|line| text(line).as_str().unwrap().to_owned()).collect()
}
