//! Successful answers of `Embed`: every vector belongs to its text, in every shape.

use serde_json::json;
use tonic::Code;
use voyage_gateway::{
    grpc::v1::{EmbedRequest, EmbedResponse, InputType, OutputDtype, VectorEncoding},
    model::Dtype,
    simulator::{Shape, count_tokens, vector},
};

use crate::support::{
    Gateway, KEY, USUAL, assert_vectors, fields, numbered, reason, statuses, texts,
};
use voyage_gateway::grpc::v1::CacheStatus::{Coalesced, Hit, Miss};

#[tokio::test]
async fn only_inputs_are_needed() {
    let gateway = Gateway::start().await;
    let reply = gateway.embed(texts(&["hello", "world"])).await.unwrap().into_inner();

    assert_vectors(&reply, &["hello", "world"]);
    assert_eq!(statuses(&reply), [Miss, Miss]);
    assert_eq!((reply.model.as_str(), reply.dimension), ("voyage-4", 1024));
    assert_eq!(reply.output_dtype(), OutputDtype::Float);
    assert_eq!(reply.errors, []);
    let calls = gateway.simulator().calls();
    assert_eq!(calls.len(), 1);
    assert_eq!(calls[0].path, "/v1/embeddings");
    assert_eq!(calls[0].api_key.as_deref(), Some(KEY));
    assert_eq!(
        calls[0].body,
        json!({
            "input": ["hello", "world"],
            "model": "voyage-4",
            "truncation": true,
            "encoding_format": "base64",
        })
    );
}

#[tokio::test]
async fn every_dtype_travels_in_both_encodings() {
    const DTYPES: [(OutputDtype, Dtype); 5] = [
        (OutputDtype::Float, Dtype::Float),
        (OutputDtype::Int8, Dtype::Int8),
        (OutputDtype::Uint8, Dtype::Uint8),
        (OutputDtype::Binary, Dtype::Binary),
        (OutputDtype::Ubinary, Dtype::Ubinary),
    ];
    let gateway = Gateway::start().await;
    for (asked, dtype) in DTYPES {
        let expected = vector("a text", &Shape { dtype, ..USUAL });
        let mut got = Vec::new();
        for encoding in [VectorEncoding::Values, VectorEncoding::Bytes] {
            let request = EmbedRequest {
                output_dtype: asked as i32,
                vector_encoding: encoding as i32,
                ..texts(&["a text"])
            };
            let reply = gateway.embed(request).await.unwrap().into_inner();
            assert_eq!((reply.output_dtype(), reply.dimension), (asked, 1024));
            got.push((encoding, reply));
        }
        // One entry serves both encodings.
        assert_eq!(statuses(&got[1].1), [Hit]);
        for (encoding, reply) in &got {
            assert!(bytes(reply, *encoding, dtype) == expected, "{asked:?} {encoding:?}");
        }
    }
    assert_eq!(gateway.simulator().calls().len(), DTYPES.len());
}

/// Returns the only vector of a reply as little-endian bytes; it must be in the right field and in no other.
fn bytes(reply: &EmbedResponse, encoding: VectorEncoding, dtype: Dtype) -> Vec<u8> {
    let [embedding] = reply.embeddings.as_slice() else { panic!("expected one vector") };
    let (values, integers, data) = (&embedding.values, &embedding.int_values, &embedding.data);
    match (encoding, dtype) {
        (VectorEncoding::Bytes, _) => {
            assert!(values.is_empty() && integers.is_empty());
            data.to_vec()
        }
        (_, Dtype::Float) => {
            assert!(data.is_empty() && integers.is_empty());
            embedding.floats().iter().flat_map(|float| float.to_le_bytes()).collect()
        }
        (_, Dtype::Int8 | Dtype::Binary) => {
            assert!(data.is_empty() && values.is_empty());
            integers.iter().map(|n| i8::try_from(*n).unwrap().cast_unsigned()).collect()
        }
        (_, Dtype::Uint8 | Dtype::Ubinary) => {
            assert!(data.is_empty() && values.is_empty());
            integers.iter().map(|n| u8::try_from(*n).unwrap()).collect()
        }
    }
}

#[tokio::test]
async fn every_dimension_is_another_entry() {
    let gateway = Gateway::start().await;
    for dimension in [256, 512, 2048] {
        let request = EmbedRequest { output_dimension: dimension, ..texts(&["a text"]) };
        let reply = gateway.embed(request).await.unwrap().into_inner();
        assert_eq!((reply.dimension, statuses(&reply)), (dimension, vec![Miss]));
        let shape = Shape { dimension: dimension.unsigned_abs(), ..USUAL };
        assert!(reply.embeddings[0].values == vector("a text", &shape));
    }
    assert_eq!(gateway.simulator().calls()[1].body["output_dimension"], 512);
}

#[tokio::test]
async fn an_explicit_default_dimension_shares_the_entry_of_none() {
    let gateway = Gateway::start().await;
    gateway.embed(texts(&["a text"])).await.unwrap();
    let request = EmbedRequest { output_dimension: 1024, ..texts(&["a text"]) };
    let reply = gateway.embed(request).await.unwrap().into_inner();
    assert_eq!(statuses(&reply), [Hit]);
    assert_vectors(&reply, &["a text"]);
    assert_eq!(gateway.simulator().calls().len(), 1);
}

#[tokio::test]
async fn input_type_and_truncation_reach_voyage_and_part_entries() {
    use voyage_gateway::item::InputType as Domain;
    let gateway = Gateway::start().await;
    let cases = [
        (InputType::Unspecified, None),
        (InputType::Query, Some(Domain::Query)),
        (InputType::Document, Some(Domain::Document)),
    ];
    for (asked, input_type) in cases {
        for truncation in [true, false] {
            let request = EmbedRequest {
                input_type: asked as i32,
                truncation: Some(truncation),
                ..texts(&["a text"])
            };
            let reply = gateway.embed(request).await.unwrap().into_inner();
            assert_eq!(statuses(&reply), [Miss]);
            assert!(reply.embeddings[0].values == vector("a text", &Shape { input_type, ..USUAL }));
            let calls = gateway.simulator().calls();
            let body = &calls.last().unwrap().body;
            assert_eq!(body["truncation"], truncation);
            assert_eq!(
                body.get("input_type").and_then(|name| name.as_str()),
                match input_type {
                    None => None,
                    Some(Domain::Query) => Some("query"),
                    Some(Domain::Document) => Some("document"),
                }
            );
        }
    }
}

#[tokio::test]
async fn the_model_is_the_operators_unless_the_caller_names_one() {
    let gateway =
        Gateway::with(|config, _| config.upstream.default_model = "voyage-3.5-lite".to_owned())
            .await;
    for (asked, used) in [("", "voyage-3.5-lite"), ("voyage-code-4", "voyage-code-4")] {
        let request = EmbedRequest { model: asked.to_owned(), ..texts(&["a text"]) };
        let reply = gateway.embed(request).await.unwrap().into_inner();
        assert_eq!(reply.model, used);
        assert!(reply.embeddings[0].values == vector("a text", &Shape { model: used, ..USUAL }));
    }
}

#[tokio::test]
async fn an_unlisted_model_is_for_voyage_to_judge() {
    let gateway = Gateway::start().await;
    let request = EmbedRequest { model: "voyage-9000".to_owned(), ..texts(&["a text"]) };
    let status = gateway.embed(request).await.err().unwrap();
    assert_eq!(
        (status.code(), reason(&status).as_str()),
        (Code::InvalidArgument, "MODEL_NOT_SUPPORTED")
    );
    assert_eq!(fields(&status), ["model"]);
    let calls = gateway.simulator().calls();
    assert_eq!(calls.len(), 1);
    assert_eq!(calls[0].body["model"], "voyage-9000");
}

#[tokio::test]
async fn texts_are_taken_exactly_as_they_are() {
    let long = "A sentence about nothing in particular. ".repeat(900);
    assert!(long.len() > 35_000);
    let odd = [
        long.as_str(),
        "a",
        "a ",
        " a",
        "a\n",
        "a\r\n",
        "A",
        "   ",
        "\t",
        "\0",
        "nul\0inside",
        "\u{feff}bom",
        "🦀🧬👩‍👩‍👧‍👦",
        "مرحبا بالعالم",
        "e\u{301}",
        "\u{e9}",
        "\u{202e}turned",
        "\"quoted\" \\ and {braced}",
    ];
    let gateway = Gateway::start().await;
    let reply = gateway.embed(texts(&odd)).await.unwrap().into_inner();
    assert_vectors(&reply, &odd);
    assert!(statuses(&reply).iter().all(|status| *status == Miss), "two texts shared an entry");
    assert_eq!(gateway.sent(), [odd]);
    let again = gateway.embed(texts(&odd)).await.unwrap().into_inner();
    assert_vectors(&again, &odd);
    assert!(statuses(&again).iter().all(|status| *status == Hit));
}

#[tokio::test]
async fn duplicates_within_a_request_are_sent_once() {
    let gateway = Gateway::start().await;
    let inputs = ["a", "b", "a", "c", "a", "b"];
    let reply = gateway.embed(texts(&inputs)).await.unwrap().into_inner();
    assert_vectors(&reply, &inputs);
    assert_eq!(statuses(&reply), [Miss, Miss, Coalesced, Miss, Coalesced, Coalesced]);
    assert_eq!(gateway.sent(), [["a", "b", "c"]]);
    let cache = reply.cache.unwrap();
    assert_eq!((cache.hits, cache.misses, cache.coalesced), (0, 3, 3));
}

#[tokio::test]
async fn hits_and_misses_are_put_back_by_position() {
    let gateway = Gateway::start().await;
    gateway.embed(texts(&["b", "d"])).await.unwrap();
    // The reply's own order must not matter either.
    gateway.simulator().script().always(voyage_gateway::simulator::Fault::ShuffledIndex);
    let inputs = ["a", "b", "c", "d", "e", "a"];
    let reply = gateway.embed(texts(&inputs)).await.unwrap().into_inner();
    assert_vectors(&reply, &inputs);
    assert_eq!(statuses(&reply), [Miss, Hit, Miss, Hit, Miss, Coalesced]);
    assert_eq!(gateway.sent()[1], ["a", "c", "e"]);
}

#[tokio::test]
async fn usage_is_what_voyage_billed() {
    let gateway = Gateway::start().await;
    let inputs = ["some words", "a few more words than that", "some words"];
    let tokens = count_tokens(inputs[0]) + count_tokens(inputs[1]);
    let usage = gateway.embed(texts(&inputs)).await.unwrap().into_inner().usage.unwrap();
    assert_eq!(u64::try_from(usage.total_tokens), Ok(tokens));
    assert_eq!((usage.estimated, usage.upstream_requests), (false, 1));

    let usage = gateway.embed(texts(&inputs)).await.unwrap().into_inner().usage.unwrap();
    assert_eq!((usage.total_tokens, usage.estimated, usage.upstream_requests), (0, false, 0));
}

#[tokio::test]
async fn more_inputs_than_voyage_takes_are_split_and_put_together() {
    for (count, calls) in [(1_000, 1), (1_001, 2), (2_500, 3)] {
        let gateway = Gateway::start().await;
        let inputs = numbered(0..count);
        let request = EmbedRequest { output_dimension: 256, ..texts(&inputs) };
        let reply = gateway.embed(request).await.unwrap().into_inner();
        assert_eq!(reply.embeddings.len(), count);
        let shape = Shape { dimension: 256, ..USUAL };
        for (place, (embedding, text)) in reply.embeddings.iter().zip(&inputs).enumerate() {
            assert_eq!(usize::try_from(embedding.index), Ok(place));
            assert!(embedding.values == vector(text, &shape), "vector {place} of {count}");
        }
        let sent = gateway.sent();
        assert_eq!(sent.len(), calls);
        assert!(sent.iter().all(|inputs| inputs.len() <= 1_000));
        let usage = reply.usage.unwrap();
        assert_eq!(usize::try_from(usage.upstream_requests), Ok(calls));
        let billed: u64 = gateway.simulator().calls().iter().map(|call| call.tokens).sum();
        assert_eq!(u64::try_from(usage.total_tokens), Ok(billed));
        assert!(!usage.estimated);
    }
}

/// Checks the vectors of a request to `model` and returns the tokens it was billed.
async fn embed_with(gateway: &Gateway, model: &str, inputs: &[String]) -> i32 {
    let request = EmbedRequest { model: model.to_owned(), ..texts(inputs) };
    let reply = gateway.embed(request).await.unwrap().into_inner();
    let shape = Shape { model, ..USUAL };
    assert_eq!(reply.embeddings.len(), inputs.len());
    for (embedding, text) in reply.embeddings.iter().zip(inputs) {
        assert!(embedding.values == vector(text, &shape));
    }
    reply.usage.unwrap().total_tokens
}

#[tokio::test]
async fn a_request_over_the_models_token_cap_is_split_and_answered() {
    // Every mark is a token: five texts of 30,000 are beyond the 120,000 of voyage-4-large.
    let inputs: Vec<String> = ["!", "?", "+", "=", "%"].map(|mark| mark.repeat(30_000)).into();
    let gateway = Gateway::start().await;
    assert_eq!(embed_with(&gateway, "voyage-4-large", &inputs).await, 150_000);
    let calls = gateway.simulator().calls();
    assert!(calls.len() > 1);
    assert!(calls.iter().all(|call| call.status == Some(200)), "the estimate was too low");
    assert_eq!(gateway.sent().concat().len(), inputs.len());
}

#[tokio::test]
async fn a_token_cap_that_was_not_foreseen_splits_and_goes_on() {
    // The simulator counts every letter here as a word of its own, which no tokenizer does.
    let word = "a\u{44f}";
    let inputs: Vec<String> =
        (0..6).map(|number| format!("{number} {}", word.repeat(15_000))).collect();
    let gateway = Gateway::start().await;
    let tokens = embed_with(&gateway, "voyage-4-large", &inputs).await;
    let counted: u64 = inputs.iter().map(|text| count_tokens(text)).sum();
    assert_eq!(u64::try_from(tokens), Ok(counted));
    let calls = gateway.simulator().calls();
    assert_eq!(calls[0].status, Some(400), "the estimate was high enough");
    let answered = calls.iter().filter(|call| call.status == Some(200));
    let answered: usize = answered.map(|call| call.inputs.len()).sum();
    assert_eq!(answered, inputs.len());

    // The refusal has updated the estimate.
    let refused = calls.iter().filter(|call| call.status == Some(400)).count();
    let others: Vec<String> = inputs.iter().map(|text| format!("other {text}")).collect();
    embed_with(&gateway, "voyage-4-large", &others).await;
    let calls = gateway.simulator().calls();
    let refused_now = calls.iter().filter(|call| call.status == Some(400)).count();
    assert_eq!(refused_now, refused);
}
