//! The provider's good behaviour: refusals word by word, credentials, limits, answers.

use std::time::Duration;

use serde_json::{Value, json};

use super::client::{CLOSE, JSON, KEY, exchange, post, post_bytes, request, simulator, texts};
use crate::{
    item::InputType,
    model::Dtype,
    simulator::{AcceptedKeys, Options, Shape, Simulator, vector},
};

const FRAME: &str = "The request body is not valid JSON, or some arguments were not specified properly. In particular, ";

const MISSING: &str = "Your request body was missing one or more required arguments.";

/// Posts each body and compares the message after the frame.
async fn assert_malformed(cases: &[(Value, &str)]) {
    let simulator = simulator().await;
    for (body, clauses) in cases {
        let reply = post(&simulator, body).await.unwrap();
        assert_eq!((reply.status, reply.detail()), (400, format!("{FRAME}{clauses}")));
        assert!(reply.header("x-request-id").is_some());
    }
}

/// A valid body but for one field.
fn with(field: &str, value: impl Into<Value>) -> Value {
    let mut body = json!({ "input": ["a"], "model": "voyage-4" });
    body[field] = value.into();
    body
}

#[tokio::test]
async fn bodies_of_the_wrong_form_are_refused_in_the_providers_words() {
    let twice = format!("{MISSING}; {MISSING}");
    assert_malformed(&[
        (json!({}), &twice),
        (json!({ "model": "voyage-4" }), MISSING),
        (json!({ "input": "a" }), MISSING),
        (
            json!(["a"]),
            "Error for argument 'body': Input should be a valid dictionary or object to extract \
             fields from",
        ),
        (with("zzz", 1), "Argument 'zzz' is not supported by our API"),
        (
            json!({ "input": "a", "model": "voyage-4", "dimensions": 256, "user": "me" }),
            "Argument 'dimensions' is not supported by our API; \
             Argument 'user' is not supported by our API",
        ),
    ])
    .await;

    let simulator = simulator().await;
    let reply = post_bytes(&simulator, b"{\"input\":").await.unwrap();
    let detail = format!("{FRAME}Error for argument '0': JSON decode error");
    assert_eq!((reply.status, reply.detail()), (400, detail));
}

#[tokio::test]
async fn wrong_inputs_are_refused_in_the_providers_words() {
    let empty = "Error for argument 'input': Value error, Input cannot contain empty strings or \
                 empty lists";
    let no_text = "Error for argument 'input': Input should be a valid string or a list of valid \
                   strings";
    let too_many = "Error for argument 'input': Value error, The batch size limit is 1000. Your \
                    batch size is 1001.";
    assert_malformed(&[
        (with("input", ""), empty),
        (with("input", json!([])), empty),
        (with("input", json!(["a", ""])), empty),
        (with("input", json!(["a", 1])), no_text),
        (with("input", Value::Null), no_text),
        (with("input", vec!["a"; 1_001]), too_many),
    ])
    .await;
}

#[tokio::test]
async fn wrong_values_are_refused_in_the_providers_words() {
    assert_malformed(&[
        (with("model", 4), "Error for argument 'model': Input should be a valid string"),
        (
            with("truncation", "true"),
            "Error for argument 'truncation': Input should be a valid boolean",
        ),
        (
            with("output_dimension", "256"),
            "Error for argument 'output_dimension': Input should be a valid integer",
        ),
        (
            with("encoding_format", "float"),
            "Value 'float' supplied for argument 'encoding_format' is not valid -- accepted \
             values are 'base64'",
        ),
        (
            with("input_type", "passage"),
            "Value 'passage' supplied for argument 'input_type' is not valid -- accepted values \
             are 'query' or 'document'",
        ),
        (
            with("output_dtype", "int4"),
            "Value 'int4' supplied for argument 'output_dtype' is not valid -- accepted values \
             are 'float', 'int8', 'uint8', 'binary' or 'ubinary'",
        ),
        (
            with("output_dimension", 300),
            "Value '300' supplied for argument 'output_dimension' is not valid -- accepted values \
             are '1024', '256', '512' or '2048'",
        ),
        (
            json!({ "input": "a", "model": "voyage-law-2", "output_dtype": "int8" }),
            "Value 'int8' supplied for argument 'output_dtype' is not valid -- accepted values \
             are 'float'",
        ),
    ])
    .await;
}

#[tokio::test]
async fn models_of_other_kinds_are_as_unknown_as_no_models() {
    let simulator = simulator().await;
    for name in ["voyage-5", "rerank-3", "voyage-context-4", ""] {
        let reply = post(&simulator, &json!({ "input": "a", "model": name })).await.unwrap();
        let beginning = format!(
            "Model {name} is not supported. Supported models are ['voyage-4-large', 'voyage-4', "
        );
        assert_eq!(reply.status, 400);
        assert!(reply.detail().starts_with(&beginning), "{}", reply.detail());
        assert!(!reply.detail().contains("'rerank") && !reply.detail().contains("'voyage-context"));
    }
}

#[tokio::test]
async fn the_body_is_checked_before_the_credential() {
    let simulator =
        Simulator::start(Options { keys: AcceptedKeys::only(["pa-key"]), ..Options::default() })
            .await
            .unwrap();
    let good = texts(&["a"]).to_string();
    let cases = [
        ("{}", vec![], 400, None),
        (good.as_str(), vec![], 401, Some("Unauthorized")),
        (good.as_str(), vec!["authorization: Bearer "], 401, Some("Unauthorized")),
        (
            good.as_str(),
            vec!["authorization: Bearer other"],
            401,
            Some("Provided API key is invalid."),
        ),
        (good.as_str(), vec![KEY], 200, None),
    ];
    for (body, headers, status, detail) in cases {
        let headers = [headers, vec![JSON, CLOSE]].concat();
        let reply =
            exchange(&simulator, &request("POST /v1/embeddings", &headers, body.as_bytes()))
                .await
                .unwrap();
        assert_eq!(reply.status, status);
        if let Some(detail) = detail {
            assert_eq!(reply.detail(), detail);
        }
    }
}

#[tokio::test]
async fn other_routes_and_content_types_are_refused() {
    let simulator = simulator().await;
    let good = texts(&["a"]).to_string();
    let cases = [
        ("POST /v1/models", JSON, 404, "Not Found"),
        ("POST /embeddings", JSON, 404, "Not Found"),
        ("GET /v1/embeddings", JSON, 405, "Method Not Allowed"),
    ];
    for (start, content_type, status, detail) in cases {
        let reply =
            exchange(&simulator, &request(start, &[KEY, content_type, CLOSE], good.as_bytes()))
                .await
                .unwrap();
        assert_eq!((reply.status, reply.detail().as_str()), (status, detail));
    }
    for content_type in ["application/x-www-form-urlencoded", "text/json", "application/jsonp", ";"]
    {
        let content_type = format!("content-type: {content_type}");
        let headers = [KEY, &content_type, CLOSE];
        let form = request("POST /v1/embeddings", &headers, good.as_bytes());
        let reply = exchange(&simulator, &form).await.unwrap();
        assert_eq!(reply.status, 400, "{content_type}");
    }
}

/// As in `FastAPI`: without a content type as well.
#[tokio::test]
async fn bodies_are_json_by_their_content_type() {
    let simulator = simulator().await;
    let body = texts(&["a", "b"]);
    let bytes = body.to_string();
    let vectors = post(&simulator, &body).await.unwrap().json();
    let suffix = "content-type: application/vnd.api+json";
    for content_type in
        [None, Some("content-type:"), Some("content-type: Application/JSON;"), Some(suffix)]
    {
        let headers: Vec<&str> = [KEY, CLOSE].into_iter().chain(content_type).collect();
        let request = request("POST /v1/embeddings", &headers, bytes.as_bytes());
        let reply = exchange(&simulator, &request).await.unwrap();
        assert_eq!(reply.status, 200, "{content_type:?}");
        assert_eq!(reply.json(), vectors, "{content_type:?}");
    }
}

#[tokio::test]
async fn texts_over_the_context_are_cut_or_refused() {
    let simulator = simulator().await;
    let long = "word ".repeat(4_001);
    let mut body = json!({ "input": ["a", long], "model": "voyage-2", "truncation": false });
    let reply = post(&simulator, &body).await.unwrap();
    assert_eq!(reply.status, 400);
    assert_eq!(
        reply.detail(),
        "Request to model 'voyage-2' failed. The example at index 1 in your batch has too many tokens and does not \
         fit into the model's context window of 4000 tokens. Please lower the number of tokens in the listed \
         example(s) or use truncation."
    );

    body["truncation"] = json!(true);
    let cut = post(&simulator, &body).await.unwrap().json();
    assert_eq!(cut["usage"]["total_tokens"], 4_001);
    body["input"][1] = json!(long[..long.len() - 5]);
    let whole = post(&simulator, &body).await.unwrap().json();
    assert_eq!(cut["usage"], whole["usage"]);
    assert_eq!(
        cut["data"][1]["embedding"], whole["data"][1]["embedding"],
        "the vector is of the text that was cut"
    );
}

#[tokio::test]
async fn too_many_tokens_in_a_batch_are_counted_for_the_caller() {
    let simulator = simulator().await;
    let inputs = vec!["word ".repeat(31_000); 4];
    let reply =
        post(&simulator, &json!({ "input": inputs, "model": "voyage-4-large" })).await.unwrap();
    assert_eq!(reply.status, 400);
    assert_eq!(
        reply.json(),
        json!({
            "detail": "Request to model 'voyage-4-large' failed. The max allowed tokens per submitted batch is 120000. \
                       Your batch has 124000 tokens after truncation. Please lower the number of tokens in the batch.",
            "error_code": "TOO_MANY_TOKENS_IN_BATCH",
        })
    );
}

#[tokio::test]
async fn answers_carry_the_same_vectors_in_either_encoding() {
    let simulator = simulator().await;
    for (name, dtype) in
        [("float", Dtype::Float), ("int8", Dtype::Int8), ("ubinary", Dtype::Ubinary)]
    {
        let mut body = json!({
            "input": "a loaf", "model": "voyage-4", "input_type": "query", "truncation": null,
            "output_dimension": 256, "output_dtype": name, "encoding_format": null,
        });
        let shape =
            Shape { model: "voyage-4", input_type: Some(InputType::Query), dimension: 256, dtype };
        let expected = vector("a loaf", &shape);

        let list = post(&simulator, &body).await.unwrap().json();
        let numbers = list["data"][0]["embedding"].as_array().unwrap();
        let bytes: Vec<u8> = numbers.iter().flat_map(|number| bytes_of(number, dtype)).collect();
        assert_eq!(bytes, expected);

        body["encoding_format"] = json!("base64");
        let reply = post(&simulator, &body).await.unwrap().json();
        let base64 = base64_simd::STANDARD.encode_to_string(&expected);
        assert_eq!(
            reply,
            json!({
                "object": "list", "data": [{ "object": "embedding", "embedding": base64, "index": 0 }],
                "model": "voyage-4", "usage": { "total_tokens": 2 },
            })
        );
    }
}

#[expect(clippy::cast_possible_truncation, reason = "widening to f64 kept the value")]
fn bytes_of(number: &Value, dtype: Dtype) -> Vec<u8> {
    match dtype {
        Dtype::Float => (number.as_f64().unwrap() as f32).to_le_bytes().to_vec(),
        Dtype::Int8 | Dtype::Binary => {
            vec![i8::try_from(number.as_i64().unwrap()).unwrap().cast_unsigned()]
        }
        Dtype::Uint8 | Dtype::Ubinary => vec![u8::try_from(number.as_u64().unwrap()).unwrap()],
    }
}

#[tokio::test(start_paused = true)]
async fn requests_are_limited_over_a_sliding_minute() {
    let options = Options { rpm: Some(2), ..Options::default() };
    let simulator = Simulator::start(options).await.unwrap();
    let status = async || post(&simulator, &texts(&["a"])).await.unwrap().status;
    assert_eq!(status().await, 200);
    tokio::time::advance(Duration::from_secs(30)).await;
    assert_eq!(status().await, 200);
    let refused = post(&simulator, &texts(&["a"])).await.unwrap();
    assert_eq!((refused.status, refused.header("retry-after")), (429, None));
    assert!(refused.detail().starts_with("Rate limit reached"));
    let other_model = json!({ "input": "a", "model": "voyage-4-lite" });
    assert_eq!(
        post(&simulator, &other_model).await.unwrap().status,
        200,
        "each model has its own window"
    );

    tokio::time::advance(Duration::from_secs(30)).await;
    assert_eq!(
        status().await,
        200,
        "the first call has left the window, the refused one never entered"
    );
    assert_eq!(status().await, 429);
}

#[tokio::test(start_paused = true)]
async fn the_free_tier_limits_tokens_and_warns() {
    let options = Options { rpm: Some(3), tpm: Some(10_000), ..Options::default() };
    let simulator = Simulator::start(options).await.unwrap();
    let warning = "You have not yet added your payment method in the billing page and will have reduced rate limits \
                   of 3 RPM and 10K TPM. To unlock our standard rate limits, please add a payment method";
    let nine_thousand = texts(&[&"word ".repeat(9_000)]);

    let reply = post(&simulator, &nine_thousand).await.unwrap();
    assert_eq!(reply.status, 200);
    assert!(reply.header("x-api-warning").unwrap().starts_with(warning));
    let refused = post(&simulator, &nine_thousand).await.unwrap();
    assert_eq!(refused.status, 429);
    assert!(refused.detail().starts_with(warning));
    tokio::time::advance(Duration::from_mins(1)).await;
    assert_eq!(post(&simulator, &nine_thousand).await.unwrap().status, 200);
}

/// Posts a text with this key; returns the status.
async fn status_with(simulator: &Simulator, key: &str) -> u16 {
    let authorization = format!("authorization: Bearer {key}");
    let body = texts(&["a"]).to_string();
    let headers = [authorization.as_str(), JSON, CLOSE];
    let request = request("POST /v1/embeddings", &headers, body.as_bytes());
    exchange(simulator, &request).await.unwrap().status
}

#[tokio::test]
async fn the_accepted_keys_change_at_any_time() {
    let simulator = simulator().await;
    assert_eq!(status_with(&simulator, "pa-a").await, 200);
    simulator.keys().accept_only(["pa-b", "pa-c"]);
    assert_eq!(status_with(&simulator, "pa-a").await, 401);
    assert_eq!(status_with(&simulator, "pa-c").await, 200);
    simulator.keys().accept_only(["pa-a"]);
    assert_eq!(status_with(&simulator, "pa-a").await, 200);
    assert_eq!(status_with(&simulator, "pa-b").await, 401);
    let shown = format!("{:?} {:?}", simulator.keys(), AcceptedKeys::default());
    assert_eq!(shown, "AcceptedKeys(1) AcceptedKeys(any)");
}

#[tokio::test(start_paused = true)]
async fn every_key_has_a_window_of_its_own() {
    let keys = AcceptedKeys::default();
    keys.limit("pa-large", Some(3), None);
    let options = Options { rpm: Some(1), keys, ..Options::default() };
    let simulator = Simulator::start(options).await.unwrap();
    for (key, statuses) in [
        ("pa-a", &[200, 429][..]),
        ("pa-b", &[200, 429]),
        ("pa-large", &[200, 200, 200, 429]),
        ("pa-a", &[429]),
    ] {
        for status in statuses {
            assert_eq!(status_with(&simulator, key).await, *status, "{key}");
        }
    }
}
