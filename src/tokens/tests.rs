use std::{fs, path::Path};

use super::*;
use crate::simulator::count_tokens;

mod corpus;
mod estimate;
mod exact;
mod measure;

/// The example of `tokens.models` in `config.example.toml`.
pub(super) fn example() -> serde_json::Value {
    serde_json::json!({ "voyage-4": { "tokenizer": "/etc/voyage/voyage-4/tokenizer.json" } })
}

/// The name of a model that has no limits.
const MODEL: &str = "some-model";

fn counter() -> Counter {
    Counter::new(&Config::default()).unwrap()
}

/// The texts of `shared/data/corpus.jsonl` beside the checkout. A checkout that stands alone makes do with pieces of its
/// own code and documents.
fn texts() -> Vec<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let Ok(file) = fs::read_to_string(root.join("../shared/data/corpus.jsonl")) else {
        return own_texts(root);
    };
    let text = |line| serde_json::from_str::<serde_json::Value>(line).unwrap()["text"].take();
    file.lines().map(|line| text(line).as_str().unwrap().to_owned()).collect()
}

/// Pieces of 1 to 40 lines of every file below `src` and of the documents beside it, but for pictures.
fn own_texts(root: &Path) -> Vec<String> {
    let mut folders = vec![root.join("src"), root.join("docs"), root.join("proto")];
    let mut files = vec![root.join("README.md"), root.join("ARCHITECTURE.md")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() { folders.push(path) } else { files.push(path) }
        }
    }
    files.retain(|file| file.extension().is_none_or(|kind| kind != "png"));
    files.sort();
    let mut texts = Vec::new();
    for file in files {
        let file = fs::read_to_string(file).unwrap();
        let mut lines = file.lines().peekable();
        while lines.peek().is_some() {
            let piece: Vec<&str> = lines.by_ref().take(1 + texts.len() % 40).collect();
            texts.push(piece.join("\n"));
        }
    }
    texts
}
