use serde_json::{Value, json};

use super::*;

/// The characters that stand for bytes in a byte-level vocabulary.
fn alphabet() -> Vec<char> {
    let visible = |byte: &u8| matches!(byte, b'!'..=b'~' | 0xA1..=0xAC | 0xAE..=0xFF);
    let (shown, others): (Vec<u8>, Vec<u8>) = (0..=u8::MAX).partition(visible);
    let stand_ins = ('\u{100}'..).take(others.len());
    shown.into_iter().map(char::from).chain(stand_ins).collect()
}

/// A byte-level BPE that joins these pairs, with the pattern by which the large ones separate words. Its
/// truncation and padding are on, and must not change counts.
fn bpe(merges: &[[&str; 2]]) -> Value {
    let letters = alphabet().into_iter().map(String::from);
    let vocabulary: serde_json::Map<String, Value> = letters
        .chain(merges.iter().map(|pair| pair.concat()))
        .enumerate()
        .map(|(id, token)| (token, id.into()))
        .collect();
    let words = r"[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+";
    json!({
        "version": "1.0",
        "truncation": { "direction": "Right", "max_length": 2, "strategy": "LongestFirst", "stride": 0 },
        "padding": {
            "strategy": { "Fixed": 9 }, "direction": "Right", "pad_to_multiple_of": null,
            "pad_id": 0, "pad_type_id": 0, "pad_token": "!",
        },
        "added_tokens": [],
        "normalizer": null,
        "pre_tokenizer": { "type": "Sequence", "pretokenizers": [
            { "type": "Split", "pattern": { "Regex": words }, "behavior": "Isolated", "invert": false },
            { "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": false, "use_regex": false },
        ] },
        "post_processor": null,
        "decoder": { "type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": true },
        "model": {
            "type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": null,
            "end_of_word_suffix": null, "fuse_unk": false, "byte_fallback": false,
            "vocab": vocabulary, "merges": merges,
        },
    })
}

/// A file that is removed at the end of its test.
struct File(tempfile::TempPath);

impl File {
    fn new(content: &str) -> Self {
        let path = tempfile::NamedTempFile::new().unwrap().into_temp_path();
        fs::write(&path, content).unwrap();
        Self(path)
    }

    fn load(&self) -> Result<Counter, LoadError> {
        load_path(&self.0)
    }
}

fn load_path(path: &Path) -> Result<Counter, LoadError> {
    let config = ModelConfig { tokenizer: path.to_owned() };
    Counter::new(&Config { models: [(MODEL.to_owned(), config)].into() })
}

const HELLO: [[&str; 2]; 4] = [["h", "e"], ["l", "l"], ["he", "ll"], ["hell", "o"]];

fn exact() -> Counter {
    File::new(&bpe(&HELLO).to_string()).load().unwrap()
}

#[test]
fn a_tokenizer_counts_exactly() {
    let counter = exact();
    assert!(counter.is_exact(MODEL) && !counter.is_exact("another"));
    for (text, tokens) in [
        ("", 0),
        ("hello", 1),
        ("hello hello", 3),
        ("hellhe", 2),
        ("1234", 4),
        ("é漢👍", 9),
        ("hello   \n", 5),
    ] {
        let measure = counter.measure(MODEL, [text]);
        assert_eq!(counter.guess(MODEL, &measure), tokens, "{text:?}");
        assert_eq!(counter.bound(MODEL, &measure), tokens, "{text:?}");
    }
    let other = counter.measure("another", ["1234"]);
    assert!(counter.bound("another", &other) > counter.guess("another", &other));
}

#[test]
fn reports_that_agree_add_no_margin() {
    let counter = exact();
    let measure = counter.measure(MODEL, [&*"hello".repeat(100)]);
    for _ in 0..10 {
        counter.learn(&MODEL.into(), &[measure; 3], 300);
    }
    assert_eq!((counter.guess(MODEL, &measure), counter.bound(MODEL, &measure)), (100, 100));
}

#[test]
fn a_tokenizer_of_another_model_is_found_out() {
    let counter = exact();
    let measure = counter.measure(MODEL, [&*"hello".repeat(100)]);
    counter.learn(&MODEL.into(), &[measure; 3], 390);
    assert_eq!((counter.guess(MODEL, &measure), counter.bound(MODEL, &measure)), (100, 130));
}

#[test]
fn unreadable_files_are_reported_by_key_and_path_without_their_content() {
    let path = Path::new("/nowhere/tokenizer.json");
    assert_eq!(
        load_path(path).unwrap_err().to_string(),
        "tokens.models.\"some-model\".tokenizer: /nowhere/tokenizer.json cannot be read: \
         No such file or directory (os error 2)"
    );
    assert!(
        load_path(Path::new("/dev/zero")).unwrap_err().to_string().ends_with("not a regular file")
    );
    let large = File::new("canary");
    // A hole: it takes no room on the disk.
    fs::File::options()
        .write(true)
        .open(&large.0)
        .unwrap()
        .set_len(crate::tokens::exact::MAX_BYTES + 1)
        .unwrap();
    let reported = large.load().unwrap_err().to_string();
    assert!(reported.ends_with(" cannot be read: larger than 67108864 bytes"), "{reported}");
    for content in ["", "canary", "\"canary\"", "{\"model\": \"canary\"}", "[]"] {
        let file = File::new(content);
        assert_eq!(
            file.load().unwrap_err().to_string(),
            format!(
                "tokens.models.\"some-model\".tokenizer: {} is not a Hugging Face tokenizer.json (an unresolved Git \
                 LFS pointer, perhaps)",
                file.0.display()
            )
        );
    }
}

#[test]
fn a_counter_shows_the_names_of_its_models_only() {
    assert_eq!(format!("{:?}", exact()), "Counter { exact: [\"some-model\"], .. }");
}
