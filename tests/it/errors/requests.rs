//! Rows 30 to 32, 36 and 40: refusals of the gateway itself, before any tokens are spent.

use prost_types::Duration as Wait;
use tonic::Code;
use voyage_gateway::{
    grpc::v1::{CacheStatus, EmbedRequest, OutputDtype, RequestOptions},
    units::Size,
};

use super::{check_discretion, pushback};
use crate::support::{
    Gateway, details, fields, metadata, numbered, reason, statuses, texts, with_options,
};

/// The violation of one field of a request that is otherwise valid.
struct Wrong {
    field: &'static str,
    reason: &'static str,
    request: EmbedRequest,
}

fn wrong(field: &'static str, reason: &'static str, request: EmbedRequest) -> Wrong {
    Wrong { field, reason, request }
}

fn good() -> EmbedRequest {
    texts(&["text number 1"])
}

fn wrong_fields() -> Vec<Wrong> {
    let model = |name: &str| EmbedRequest { model: name.to_owned(), ..good() };
    let dimension = |dimension| EmbedRequest { output_dimension: dimension, ..good() };
    vec![
        wrong("inputs", "EMPTY_LIST", EmbedRequest::default()),
        wrong("inputs[1]", "EMPTY_TEXT", texts(&["a", "", "b"])),
        wrong("inputs", "TOO_MANY_INPUTS", texts(&numbered(0..16_385))),
        wrong("model", "INVALID_MODEL", model("voyage 4")),
        wrong("model", "INVALID_MODEL", model("voyage-ü")),
        wrong("model", "INVALID_MODEL", model("voyage\n4")),
        wrong("model", "INVALID_MODEL", model(&"v".repeat(129))),
        wrong("output_dimension", "DIMENSION_NOT_OFFERED", dimension(7)),
        wrong("output_dimension", "DIMENSION_NOT_OFFERED", dimension(i32::MAX)),
        wrong("output_dimension", "NEGATIVE", dimension(-1)),
        wrong(
            "output_dtype",
            "DTYPE_NOT_OFFERED",
            EmbedRequest { output_dtype: OutputDtype::Int8 as i32, ..model("voyage-3") },
        ),
        wrong("output_dtype", "UNKNOWN_ENUM_VALUE", EmbedRequest { output_dtype: 99, ..good() }),
        wrong("input_type", "UNKNOWN_ENUM_VALUE", EmbedRequest { input_type: -1, ..good() }),
        wrong(
            "vector_encoding",
            "UNKNOWN_ENUM_VALUE",
            EmbedRequest { vector_encoding: 3, ..good() },
        ),
    ]
}

fn wrong_options() -> Vec<Wrong> {
    let options = |options| with_options(good(), options);
    let wait = |wait| RequestOptions { max_queue_wait: Some(wait), ..RequestOptions::default() };
    vec![
        wrong(
            "options.cache_mode",
            "UNKNOWN_ENUM_VALUE",
            options(RequestOptions { cache_mode: 6, ..RequestOptions::default() }),
        ),
        wrong(
            "options.priority",
            "UNKNOWN_ENUM_VALUE",
            options(RequestOptions { priority: 3, ..RequestOptions::default() }),
        ),
        wrong(
            "options.max_response_bytes",
            "NEGATIVE",
            options(RequestOptions { max_response_bytes: -1, ..RequestOptions::default() }),
        ),
        wrong(
            "options.max_queue_wait",
            "INVALID_DURATION",
            options(wait(Wait { seconds: -1, nanos: 0 })),
        ),
    ]
}

#[tokio::test]
async fn a_wrong_field_is_named() {
    let gateway = Gateway::start().await;
    for Wrong { field, reason, request } in wrong_fields().into_iter().chain(wrong_options()) {
        let Err(status) = gateway.embed(request).await else { panic!("{field} {reason} passed") };
        assert_eq!(status.code(), Code::InvalidArgument, "{field} {reason}");
        assert_eq!(crate::support::reason(&status), "INVALID_REQUEST", "{field} {reason}");
        assert_eq!(fields(&status), [field], "{reason}");
        let details = details(&status);
        assert_eq!(details.error_info().unwrap().domain, "voyage-gateway");
        let violation = &details.bad_request().unwrap().field_violations[0];
        assert_eq!(violation.reason, reason);
        assert!(violation.description.starts_with("must "), "{}", violation.description);
        assert!(details.retry_info().is_none());
        assert_eq!(pushback(&status), None);
        check_discretion(field, &status);
    }
    assert_eq!(gateway.simulator().calls().len(), 0);
}

#[tokio::test]
async fn all_that_is_wrong_is_said_at_once_and_inputs_last() {
    let gateway = Gateway::start().await;
    let request = EmbedRequest {
        model: "a b".to_owned(),
        input_type: 9,
        output_dimension: -3,
        output_dtype: 9,
        vector_encoding: 9,
        options: Some(RequestOptions {
            cache_mode: 9,
            priority: 9,
            allow_partial: false,
            max_response_bytes: -1,
            max_queue_wait: Some(Wait { seconds: -1, nanos: 0 }),
            invalid_text: 9,
        }),
        ..texts(&["", "fine", ""])
    };
    let status = gateway.embed(request).await.err().unwrap();
    let expected = [
        "model",
        "input_type",
        "output_dimension",
        "output_dtype",
        "vector_encoding",
        "options.cache_mode",
        "options.priority",
        "options.max_queue_wait",
        "options.max_response_bytes",
        "options.invalid_text",
        "inputs[0]",
        "inputs[2]",
    ];
    assert_eq!(fields(&status), expected);
}

#[tokio::test]
async fn details_stay_small_however_much_is_wrong() {
    let gateway = Gateway::start().await;
    let request = EmbedRequest { input_type: 9, ..texts(&vec![""; 16_000]) };
    let status = gateway.embed(request).await.err().unwrap();
    let fields = fields(&status);
    assert_eq!(fields.len(), 16);
    assert_eq!((fields[0].as_str(), fields[15].as_str()), ("input_type", "inputs[14]"));
    check_discretion("16,000 violations", &status);
}

#[tokio::test]
async fn a_request_that_is_too_large() {
    let gateway =
        Gateway::with(|config, _| config.server.max_request_bytes = Size::from_kib(4)).await;
    let mut client = gateway.client().await;
    let status = client.embed(texts(&["x".repeat(5_000)])).await.err().unwrap();
    assert_eq!(status.code(), Code::ResourceExhausted);
    assert_eq!(reason(&status), "REQUEST_TOO_LARGE");
    assert_eq!(details(&status).error_info().unwrap().domain, "voyage-gateway");
    assert_eq!(metadata(&status, "maxRequestBytes").as_deref(), Some("4096"));
    assert!(details(&status).retry_info().is_none());
    assert_eq!(pushback(&status), None);
    // The connection lives on.
    let reply = client.embed(texts(&["x".repeat(3_000)])).await.unwrap().into_inner();
    assert_eq!(statuses(&reply), [CacheStatus::Miss]);
    assert_eq!(gateway.simulator().calls().len(), 1);
}
