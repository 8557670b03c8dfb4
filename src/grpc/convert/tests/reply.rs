//! The reply, field by field.

use super::*;
use crate::{
    grpc::v1::{CacheStatus, CacheSummary, EmbedResponse, Usage},
    item::{self, Answer, Vector},
    pipeline::{ItemResult, Response, Source},
};

fn outcome(bytes: &[u8], source: Source) -> ItemResult {
    ItemResult { result: Ok(Answer::Vector(Vector::new(bytes.to_vec().into()))), source }
}

fn response(outcomes: Vec<ItemResult>) -> Response {
    Response {
        items: outcomes,
        usage: item::Usage::default(),
        estimated: false,
        calls: Vec::new(),
        upstream_time: std::time::Duration::ZERO,
    }
}

fn shape_of(dtype: Dtype, encoding: VectorEncoding) -> ReplyShape {
    let max_bytes = DEFAULT_MAX_RESPONSE_BYTES;
    ReplyShape { dtype, encoding, dimension: None, allow_partial: false, max_bytes }
}

fn reply(outcomes: Vec<ItemResult>, dtype: Dtype, encoding: VectorEncoding) -> EmbedResponse {
    let shape = shape_of(dtype, encoding);
    embed_response(response(outcomes), shape, "voyage-4")
}

#[test]
fn a_vector_goes_into_the_one_field_of_its_dtype_and_encoding() {
    let bytes = [0x00, 0x01, 0x80, 0x7f, 0xff, 0x3f, 0x80, 0x00];
    let signed = [0, 1, -128, 127, -1, 63, -128, 0];
    let unsigned = [0, 1, 128, 127, 255, 63, 128, 0];
    let integers: [(Dtype, &[i32], i32); 4] = [
        (Dtype::Int8, &signed, 8),
        (Dtype::Uint8, &unsigned, 8),
        (Dtype::Binary, &signed, 64),
        (Dtype::Ubinary, &unsigned, 64),
    ];
    for (dtype, expected, dimension) in integers {
        let reply = reply(vec![outcome(&bytes, Source::Hit)], dtype, VectorEncoding::Values);
        let embedding = &reply.embeddings[0];
        assert_eq!(embedding.int_values, expected, "{dtype:?}");
        assert!(embedding.values.is_empty() && embedding.data.is_empty(), "{dtype:?}");
        assert_eq!(reply.dimension, dimension, "{dtype:?}");
        assert_eq!(reply.output_dtype, output_dtype(dtype) as i32);
    }

    let floats = reply(vec![outcome(&bytes, Source::Hit)], Dtype::Float, VectorEncoding::Values);
    assert_eq!(floats.embeddings[0].values, bytes[..]);
    assert!(floats.embeddings[0].int_values.is_empty() && floats.embeddings[0].data.is_empty());
    assert_eq!((floats.dimension, floats.output_dtype), (2, OutputDtype::Float as i32));

    for dtype in [Dtype::Float, Dtype::Int8, Dtype::Uint8, Dtype::Binary, Dtype::Ubinary] {
        let reply = reply(vec![outcome(&bytes, Source::Hit)], dtype, VectorEncoding::Bytes);
        let embedding = &reply.embeddings[0];
        assert_eq!(embedding.data, bytes[..], "{dtype:?}");
        assert!(embedding.values.is_empty() && embedding.int_values.is_empty(), "{dtype:?}");
    }
}

#[test]
fn dtypes_are_named_back() {
    for (dtype, named) in [
        (Dtype::Float, OutputDtype::Float),
        (Dtype::Int8, OutputDtype::Int8),
        (Dtype::Uint8, OutputDtype::Uint8),
        (Dtype::Binary, OutputDtype::Binary),
        (Dtype::Ubinary, OutputDtype::Ubinary),
    ] {
        assert_eq!(output_dtype(dtype), named);
    }
}

#[test]
fn failures_are_listed_beside_the_vectors_that_worked() {
    let lost = ItemResult {
        result: Err(Error::violation("inputs[1]", "EMPTY_TEXT", "expected a text")),
        source: Source::Refused,
    };
    let outcomes = vec![outcome(&[1], Source::Miss), lost, outcome(&[2], Source::Hit)];
    let reply = reply(outcomes, Dtype::Uint8, VectorEncoding::Values);
    let places: Vec<_> = reply
        .embeddings
        .iter()
        .map(|embedding| (embedding.index, &*embedding.int_values))
        .collect();
    assert_eq!(places, [(0, &[1][..]), (2, &[2][..])]);
    let [error] = &*reply.errors else { panic!("one error, not {:?}", reply.errors) };
    assert_eq!((error.index, error.code), (1, tonic::Code::InvalidArgument as i32));
    assert_eq!(error.reason, "INVALID_REQUEST");
}

#[test]
fn a_reply_without_a_vector_has_no_dimension() {
    let lost = ItemResult { result: Err(Error::CacheMiss { misses: 1 }), source: Source::Miss };
    let reply = reply(vec![lost], Dtype::Float, VectorEncoding::Values);
    assert_eq!((reply.dimension, reply.embeddings.len(), reply.errors.len()), (0, 0, 1));
    assert_eq!((&*reply.model, reply.output_dtype), ("voyage-4", OutputDtype::Float as i32));
}

#[test]
fn sources_are_reported_and_counted() {
    let sources = [
        (Source::Hit, CacheStatus::Hit),
        (Source::Hit, CacheStatus::Hit),
        (Source::Miss, CacheStatus::Miss),
        (Source::Coalesced, CacheStatus::Coalesced),
        (Source::Bypassed, CacheStatus::Bypassed),
    ];
    let outcomes = sources.iter().map(|(source, _)| outcome(&[1], *source)).collect();
    let reply = reply(outcomes, Dtype::Uint8, VectorEncoding::Values);
    for (embedding, (source, status)) in reply.embeddings.iter().zip(sources) {
        assert_eq!(embedding.cache_status, status as i32, "{source:?}");
    }
    assert_eq!(reply.cache, Some(CacheSummary { hits: 2, misses: 2, coalesced: 1 }));
}

#[test]
fn usage_is_reported_and_clamped() {
    let response =
        Response { usage: item::Usage::of_tokens(37), estimated: true, ..response(Vec::new()) };
    let shape = shape_of(Dtype::Float, VectorEncoding::Values);
    let expected = Usage { total_tokens: 37, estimated: true, ..Usage::default() };
    assert_eq!(embed_response(response, shape, "voyage-4").usage, Some(expected));
    assert_eq!(to_i32(u64::MAX), i32::MAX);
    assert_eq!(to_i32(7_usize), 7);
}

/// The bytes of a cached vector are sent, not copied.
#[test]
fn a_vector_is_not_copied() {
    let bytes = bytes::Bytes::from(vec![0; 8]);
    let answer = Answer::Vector(Vector::new(bytes.clone()));
    let outcomes = vec![ItemResult { result: Ok(answer), source: Source::Hit }];
    let reply = reply(outcomes, Dtype::Float, VectorEncoding::Values);
    assert_eq!(reply.embeddings[0].values.as_ptr(), bytes.as_ptr());
}

#[test]
fn vectors_that_are_wider_than_predicted_are_weighed_again() {
    let wide = |count: usize, numbers: usize| {
        response((0..count).map(|_| outcome(&vec![0; numbers * 4], Source::Hit)).collect())
    };
    let shape = shape_of(Dtype::Float, VectorEncoding::Values);
    assert_eq!(shape.check_answers(&wide(2, 16)), Ok(0));
    assert_eq!(shape.check_answers(&wide(2, 2048)), Ok(0));
    assert_eq!(shape.check_answers(&wide(2, 4096)), Ok(2 * 2048 * 4));
    let Err(Error::ResponseTooLarge { predicted, limit, max_inputs }) =
        shape.check_answers(&wide(300, 4096))
    else {
        panic!("expected a refusal");
    };
    assert_eq!((limit, max_inputs), (DEFAULT_MAX_RESPONSE_BYTES, 255));
    assert_eq!(predicted, 300 * (4096 * 4 + 16) + 256);
    // A width that was known has been checked.
    let known = ReplyShape { dimension: Some(1024), ..shape };
    assert_eq!(known.check_answers(&wide(300, 4096)), Ok(0));
}
