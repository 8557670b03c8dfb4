//! Chunks and reranking: refusals in the provider's words, and sensible answers.

use serde_json::{Value, json};

use super::client::{CLOSE, JSON, KEY, Reply, exchange, request, simulator};
use crate::simulator::{Simulator, count_tokens};

const FRAME: &str = "The request body is not valid JSON, or some arguments were not specified properly. In particular, ";

async fn post(simulator: &Simulator, path: &str, body: &Value) -> Reply {
    let start = format!("POST /v1/{path}");
    let body = body.to_string();
    exchange(simulator, &request(&start, &[KEY, JSON, CLOSE], body.as_bytes())).await.unwrap()
}

async fn chunks(simulator: &Simulator, body: &Value) -> Reply {
    post(simulator, "contextualizedembeddings", body).await
}

/// A valid body for chunks with these fields.
fn documents(inputs: impl Into<Value>, fields: &[(&str, Value)]) -> Value {
    let mut body = json!({ "inputs": inputs.into(), "model": "voyage-context-4" });
    for (field, value) in fields {
        body[field] = value.clone();
    }
    body
}

fn divided(text: &str, fields: &[(&str, Value)]) -> Value {
    let auto = [("enable_auto_chunking", json!(true)), ("input_type", json!("document"))];
    documents(json!([[text]]), &[&auto, fields].concat())
}

#[tokio::test]
async fn wrong_documents_are_refused_in_the_providers_words() {
    let simulator = simulator().await;
    let empty = "Error for argument 'inputs': Value error, Input cannot contain empty strings or empty lists";
    let single = "Error for argument 'inputs': Value error, Each input must be a single string";
    let lists = "Error for argument 'inputs': Input should be a valid list of lists of strings";
    let many = "Error for argument 'inputs': Value error, The limit of chunks in a request is 16000. Your request has 16001.";
    let size = "Error for argument 'chunk_size': Input should be between 1 and 32000";
    let overlap = "Error for argument 'chunk_overlap': Value error, chunk_overlap must be less than chunk_size";
    let lonely =
        "Error for argument 'chunk_overlap': Value error, chunk_overlap requires chunk_size";
    let manual =
        "Error for argument 'chunk_size': Value error, Only valid with enable_auto_chunking";
    let document = "Error for argument 'enable_auto_chunking': Value error, Auto-chunking requires input_type 'document'";
    let cases = [
        (documents(json!([]), &[]), empty),
        (documents(json!([["a", ""]]), &[]), empty),
        (documents(json!([["a"], []]), &[]), empty),
        (documents(json!(["a"]), &[]), lists),
        (documents(json!([["a", 1]]), &[]), lists),
        (documents(json!([vec!["a"; 16_001]]), &[]), many),
        (documents(json!([["a", "b"]]), &[("input_type", json!("query"))]), single),
        (documents(json!([["a"]]), &[("chunk_size", json!(7))]), manual),
        (
            documents(json!([["a"]]), &[("truncation", json!(true))]),
            "Argument 'truncation' is not supported by our API",
        ),
        (documents(json!([["a"]]), &[("enable_auto_chunking", json!(true))]), document),
        (divided("a", &[("chunk_size", json!(0))]), size),
        (divided("a", &[("chunk_size", json!(8)), ("chunk_overlap", json!(8))]), overlap),
        (divided("a", &[("chunk_overlap", json!(8))]), lonely),
    ];
    for (body, clause) in cases {
        let reply = chunks(&simulator, &body).await;
        assert_eq!((reply.status, reply.detail()), (400, format!("{FRAME}{clause}")));
    }
    let long = "word ".repeat(32_001);
    let reply = chunks(&simulator, &documents(json!([["a"], [long]]), &[])).await;
    let words = "The example at index 1 in your batch has too many tokens and does not fit into the model's context window of 32000 tokens. Contextualized chunk embeddings do not support truncation.";
    assert!(reply.status == 400 && reply.detail().contains(words), "{}", reply.detail());
    let wrong = json!({ "inputs": [["a"]], "model": "voyage-4" });
    let reply = chunks(&simulator, &wrong).await;
    assert_eq!(
        reply.detail(),
        "Model voyage-4 is not supported. Supported models are ['voyage-context-4', 'voyage-context-3']."
    );
}

#[tokio::test]
async fn the_vector_of_a_chunk_depends_on_its_document_and_place() {
    let simulator = simulator().await;
    let body = documents(json!([["x", "y"], ["x", "z"], ["y", "x"], ["x"]]), &[]);
    let reply = chunks(&simulator, &body).await.json();
    let vector =
        |document: usize, chunk: usize| reply["data"][document]["data"][chunk]["embedding"].clone();
    assert_ne!(vector(0, 0), vector(1, 0));
    assert_ne!(vector(0, 0), vector(2, 1));
    assert_ne!(vector(0, 0), vector(3, 0));
    assert_eq!(reply["usage"]["total_tokens"], 7);
    assert_eq!(chunks(&simulator, &body).await.json(), reply);
}

#[tokio::test]
async fn a_divided_document_is_its_chunks() {
    let simulator = simulator().await;
    let words: Vec<_> = (0..100).map(|number| format!("word{number} ")).collect();
    let text = words.concat();
    let reply = chunks(&simulator, &divided(&text, &[("chunk_size", json!(20))])).await.json();
    let texts = |reply: &Value| -> Vec<String> {
        let chunks = reply["data"][0]["data"].as_array().unwrap();
        chunks.iter().map(|chunk| chunk["text"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(texts(&reply).concat(), text);
    assert!(texts(&reply).iter().all(|chunk| count_tokens(chunk) <= 20));
    assert_eq!(reply["chunker_version"], "1.0.0");

    let fields = [("chunk_size", json!(20)), ("chunk_overlap", json!(5))];
    let overlapping = texts(&chunks(&simulator, &divided(&text, &fields)).await.json());
    assert!(overlapping.len() > texts(&reply).len());
    let last_word = overlapping[0].split_whitespace().last().unwrap();
    assert!(overlapping[1].contains(last_word));
}

async fn rerank(simulator: &Simulator, fields: &[(&str, Value)]) -> Reply {
    let documents = ["a recipe for bread", "how to fly a kite", "baking bread at home"];
    let mut body = json!({ "query": "bread recipe", "documents": documents, "model": "rerank-3" });
    for (field, value) in fields {
        body[field] = value.clone();
    }
    post(simulator, "rerank", &body).await
}

#[tokio::test]
async fn documents_are_ordered_by_their_overlap_with_the_query() {
    let simulator = simulator().await;
    let reply = rerank(&simulator, &[]).await.json();
    let data = reply["data"].as_array().unwrap();
    let indices: Vec<_> = data.iter().map(|entry| entry["index"].as_u64().unwrap()).collect();
    assert_eq!(indices, [0, 2, 1]);
    let scores: Vec<_> =
        data.iter().map(|entry| entry["relevance_score"].as_f64().unwrap()).collect();
    assert!(scores.is_sorted_by(|one, other| one >= other) && (0.0..=1.0).contains(&scores[0]));
    let tokens = |text: &str| count_tokens(text);
    let expected = 3 * tokens("bread recipe")
        + tokens("a recipe for bread")
        + tokens("how to fly a kite")
        + tokens("baking bread at home");
    assert_eq!(reply["usage"]["total_tokens"], expected);

    // A score depends on its own pair only.
    let alone = rerank(&simulator, &[("documents", json!(["baking bread at home"]))]).await.json();
    assert_eq!(alone["data"][0]["relevance_score"].as_f64(), Some(scores[1]));
    let fields = [("top_k", json!(1)), ("return_documents", json!(true))];
    let best = rerank(&simulator, &fields).await.json();
    assert_eq!(best["data"].as_array().unwrap().len(), 1);
    assert_eq!(best["data"][0]["document"], "a recipe for bread");
}

#[tokio::test]
async fn wrong_rerankings_are_refused_in_the_providers_words() {
    let simulator = simulator().await;
    let empty = "Error for argument 'documents': Value error, Documents cannot contain empty strings or empty lists";
    let top_k = "Error for argument 'top_k': Input should be a valid integer greater than 0";
    let cases = [
        ("documents", json!([]), empty),
        ("documents", json!(["a", ""]), empty),
        (
            "documents",
            json!("a"),
            "Error for argument 'documents': Input should be a valid list of strings",
        ),
        (
            "documents",
            json!(vec!["a"; 1_001]),
            "Error for argument 'documents': Value error, The batch size limit is 1000. Your batch size is 1001.",
        ),
        (
            "query",
            json!(""),
            "Error for argument 'query': Value error, Query cannot be an empty string",
        ),
        ("top_k", json!(0), top_k),
        ("top_k", json!(-1), top_k),
        ("instruction", json!("be nice"), "Argument 'instruction' is not supported by our API"),
    ];
    for (field, value, clause) in cases {
        let reply = rerank(&simulator, &[(field, value)]).await;
        assert_eq!((reply.status, reply.detail()), (400, format!("{FRAME}{clause}")));
    }
    let long = json!("word ".repeat(8_001));
    assert_eq!(rerank(&simulator, &[("query", long.clone())]).await.status, 200);
    let reply = rerank(&simulator, &[("query", long), ("truncation", json!(false))]).await;
    assert!(reply.detail().contains("The query has too many tokens"), "{}", reply.detail());
    let total = vec!["word ".repeat(31_000); 20];
    let reply = rerank(&simulator, &[("documents", json!(total))]).await;
    assert!(reply.detail().contains("max allowed tokens per submitted batch is 600000"));
}
