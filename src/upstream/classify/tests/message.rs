//! Messages of 400 and 429, with Voyage's own texts (`tests/fixtures/voyage`).

use serde_json::{Value, json};

use super::*;

macro_rules! fixture {
    ($name:literal) => {
        include_bytes!(concat!("../../../../tests/fixtures/voyage/", $name, ".json")).as_slice()
    };
}

fn text_of(body: &[u8]) -> String {
    let body: Value = serde_json::from_slice(body).unwrap();
    body["detail"].as_str().unwrap().to_owned()
}

/// The part of a 400's `detail` that is passed on.
fn passed_on(detail: impl Into<Value>) -> Option<String> {
    match fault(400, &[], json!({ "detail": detail.into() }).to_string().as_bytes()) {
        Fault::InvalidRequest { detail, .. } => detail,
        other => panic!("{other:?}"),
    }
}

fn field_of(text: &str) -> Option<&'static str> {
    match fault(400, &[], json!({ "detail": text }).to_string().as_bytes()) {
        Fault::InvalidRequest { field, .. } => field,
        other => panic!("{other:?}"),
    }
}

#[test]
fn too_many_tokens_are_recognised_with_their_numbers() {
    let expected = Fault::TooManyTokens { limit: Some(120_000), actual: Some(126_899) };
    let body = fixture!("error_too_many_tokens");
    assert_eq!(fault(400, &[], body), expected);
    assert_eq!(fault(422, &[], body), expected);
    // Older replies had no code, and newer ones may change their words.
    let wordy = json!({ "detail": text_of(body) }).to_string();
    assert_eq!(fault(400, &[], wordy.as_bytes()), expected);
    let coded = br#"{"detail":"Too much.","error_code":"TOO_MANY_TOKENS_IN_BATCH"}"#;
    assert_eq!(fault(400, &[], coded), Fault::TooManyTokens { limit: None, actual: None });
    let bare = br#"{"error_code":"TOO_MANY_TOKENS_IN_BATCH"}"#;
    assert_eq!(fault(400, &[], bare), Fault::TooManyTokens { limit: None, actual: None });
}

#[test]
fn a_number_that_is_too_large_is_ignored() {
    let body =
        br#"{"detail":"The max allowed tokens per submitted batch is 99999999999999999999999."}"#;
    assert_eq!(fault(400, &[], body), Fault::TooManyTokens { limit: None, actual: None });
}

#[test]
fn an_input_that_is_too_long_is_named() {
    let short = Fault::InputTooLong { index: 0, limit: Some(4000) };
    assert_eq!(fault(400, &[], fixture!("error_input_too_long")), short);
    let chunk = Fault::InputTooLong { index: 17, limit: Some(32_000) };
    assert_eq!(fault(400, &[], fixture!("error_chunk_too_long")), chunk);
}

#[test]
fn a_context_message_that_names_no_input_is_an_invalid_request() {
    for text in [
        "The example does not fit into the model's context window of 4000 tokens.",
        "The example at index -1 does not fit into the model's context window of 4000 tokens.",
        "The example at index 99999999999999999999999 does not fit into the context window.",
    ] {
        assert_eq!(passed_on(text).as_deref(), Some(text));
    }
}

#[test]
fn an_unsupported_model_is_recognised() {
    assert_eq!(fault(400, &[], fixture!("error_model_not_supported")), Fault::ModelNotSupported);
    assert_eq!(fault(410, &[], b""), Fault::ModelNotSupported);
}

#[test]
fn the_recorded_argument_errors_pass_voyages_words_on() {
    let cases = [
        (fixture!("error_unknown_argument"), Some("request")),
        (fixture!("error_missing_argument"), Some("request")),
        (fixture!("error_invalid_json"), Some("request")),
        (fixture!("error_empty_input"), Some("inputs")),
        (fixture!("error_encoding_format"), Some("request")),
    ];
    for (body, field) in cases {
        let detail = Some(text_of(body));
        assert_eq!(fault(400, &[], body), Fault::InvalidRequest { detail, field });
    }
}

#[test]
fn a_named_argument_is_the_callers_own_field() {
    for (argument, field) in [
        ("input", Some("inputs")),
        ("model", Some("model")),
        ("input_type", Some("input_type")),
        ("truncation", Some("truncation")),
        ("output_dimension", Some("output_dimension")),
        ("output_dtype", Some("output_dtype")),
        ("encoding_format", Some("request")),
        ("inputs", Some("request")),
        ("", Some("request")),
    ] {
        for text in [
            format!("Error for argument '{argument}': Value error"),
            format!("Value '7' supplied for argument '{argument}' is not valid"),
            format!("Argument '{argument}' is not supported by our API"),
        ] {
            assert_eq!(field_of(&text), field, "{text}");
        }
    }
    assert_eq!(field_of("Argument 'model"), None);
    assert_eq!(field_of("the model is sad"), None);
}

#[test]
fn nothing_of_the_body_of_a_401_403_429_or_5xx_is_kept() {
    assert_eq!(fault(401, &[], fixture!("error_invalid_key")), Fault::Unauthenticated);
    assert_eq!(fault(401, &[], fixture!("error_no_key")), Fault::Unauthenticated);
    for status in [401, 402, 403, 404, 409, 413, 429, 500, 503] {
        let shown = format!("{:?}", fault(status, &[], br#"{"detail":"unspeakable"}"#));
        assert!(!shown.contains("unspeakable"), "{shown}");
    }
}

#[test]
fn the_free_tier_is_recognised() {
    let limited = |free_tier| Fault::RateLimited { retry_after: None, free_tier };
    assert_eq!(fault(429, &[], fixture!("error_free_tier")), limited(true));
    for other in [&b"{\"detail\":\"Rate limit exceeded.\"}"[..], b"", b"\xff", b"<html>"] {
        assert_eq!(fault(429, &[], other), limited(false));
    }
}

#[test]
fn a_detail_of_another_type_is_passed_on_as_json() {
    let list = json!([{"loc": ["body", "input"], "msg": "field required"}]);
    assert_eq!(passed_on(list.clone()), Some(list.to_string()));
    assert_eq!(passed_on(json!({"a": 1})).as_deref(), Some(r#"{"a":1}"#));
    assert_eq!(passed_on(json!(7)).as_deref(), Some("7"));
    assert_eq!(passed_on(Value::Null), None);
}

#[test]
fn an_error_code_of_another_type_does_not_cost_the_detail() {
    let body = br#"{"detail":"Something is wrong.","error_code":17}"#;
    let detail = Some("Something is wrong.".to_owned());
    assert_eq!(fault(400, &[], body), Fault::InvalidRequest { detail, field: None });
}

#[test]
fn a_body_that_is_not_voyages_json_is_not_passed_on() {
    for body in [
        &b"<html><body>Bad Request</body></html>"[..],
        b"",
        b"\xff\xfe",
        b"{\"detail\":\"cut",
        b"[]",
        b"\"text\"",
        b"{}",
    ] {
        assert_eq!(fault(400, &[], body), Fault::InvalidRequest { detail: None, field: None });
    }
}

#[test]
fn passed_on_text_is_cut_at_512_bytes_between_characters() {
    assert_eq!(passed_on("x".repeat(512)), Some("x".repeat(512)));
    assert_eq!(passed_on("x".repeat(513)), Some("x".repeat(512)));
    // Four bytes each, the first shifted by one: the 128th would end at byte 513.
    let emoji = format!("x{}", "😀".repeat(200));
    assert_eq!(passed_on(emoji), Some(format!("x{}", "😀".repeat(127))));
}

#[test]
fn passed_on_text_is_one_line() {
    let text = "a\r\nb\tc\u{0}d\u{1b}[31m\u{85}e";
    assert_eq!(passed_on(text).as_deref(), Some("a  b c d [31m e"));
}

#[test]
fn the_key_is_scrubbed_before_the_cut() {
    let echoed = format!("key {KEY} and {KEY}.");
    assert_eq!(passed_on(echoed).as_deref(), Some("key [redacted] and [redacted]."));
    // Half of a key at the very end is half of a secret.
    let late = format!("{}{KEY}", "x".repeat(500));
    let shown = passed_on(late).unwrap();
    assert!(shown.ends_with("x[redacted]") && !shown.contains("pa-"), "{shown}");
    let nested = passed_on(json!([{"input": KEY}])).unwrap();
    assert!(!nested.contains(KEY), "{nested}");
}
