//! The predicted size of a reply: exact at its edge, and never less than the real one.

use proptest::prelude::*;
use prost::Message as _;

use super::*;
use crate::{
    error::{Fault, Upstream},
    grpc::v1::EmbedResponse,
    item::{self, Answer, Vector},
    pipeline::{ItemResult, Response, Source},
};

fn request(
    count: usize,
    dimension: u32,
    dtype: OutputDtype,
    encoding: VectorEncoding,
) -> EmbedRequest {
    EmbedRequest {
        inputs: vec!["a".to_owned(); count],
        output_dimension: to_i32(dimension),
        output_dtype: dtype as i32,
        vector_encoding: encoding as i32,
        ..EmbedRequest::default()
    }
}

/// Predicted bytes, the limit and the inputs that fit, of a request that is refused.
fn refused(request: EmbedRequest) -> (u64, u64, u64) {
    match convert(request) {
        Err(Error::ResponseTooLarge { predicted, limit, max_inputs }) => {
            (predicted, limit, max_inputs)
        }
        other => panic!("expected a refusal, not {other:?}"),
    }
}

#[test]
fn just_as_many_inputs_as_are_said_to_fit_do() {
    use OutputDtype::{Binary, Float, Int8, Ubinary, Uint8};
    use VectorEncoding::{Bytes, Values};
    let rows = [
        (256, Float, Values, 4_032),
        (512, Float, Values, 2_032),
        (1024, Float, Values, 1_019),
        (2048, Float, Values, 510),
        (2048, Float, Bytes, 510),
        (1024, Int8, Bytes, 4_032),
        (1024, Uint8, Bytes, 4_032),
        // A number beyond ±63 takes two bytes as a varint.
        (1024, Int8, Values, 2_032),
        (1024, Uint8, Values, 2_032),
        (1024, Binary, Values, 15_419),
        (1024, Ubinary, Values, 15_419),
    ];
    for (dimension, dtype, encoding, fitting) in rows {
        let of = |count| request(count, dimension, dtype, encoding);
        assert!(convert(of(fitting)).is_ok(), "{dimension} {dtype:?} {encoding:?}");
        let (predicted, limit, max_inputs) = refused(of(fitting + 1));
        assert_eq!(limit, 4_194_304);
        assert!(predicted > limit);
        assert_eq!(max_inputs, fitting as u64, "{dimension} {dtype:?} {encoding:?}");
    }
    // 1024 bits as bytes: the number of inputs is the only bound.
    assert!(convert(request(MAX_INPUTS, 1024, Binary, Bytes)).is_ok());
}

#[test]
fn the_prediction_is_the_documented_sum() {
    let (predicted, _, _) =
        refused(request(2000, 1024, OutputDtype::Float, VectorEncoding::Values));
    assert_eq!(predicted, 2000 * (4 * 1024 + 16) + 256);
    let (predicted, _, _) = refused(request(3000, 1024, OutputDtype::Int8, VectorEncoding::Values));
    assert_eq!(predicted, 3000 * (2 * 1024 + 16) + 256);
}

#[test]
fn the_callers_own_limit_counts() {
    let with_limit = |count, max_response_bytes| EmbedRequest {
        options: Some(RequestOptions { max_response_bytes, ..RequestOptions::default() }),
        ..request(count, 256, OutputDtype::Float, VectorEncoding::Values)
    };
    assert!(convert(with_limit(3, 3 * 1040 + 256)).is_ok());
    assert_eq!(refused(with_limit(3, 3 * 1040 + 255)), (3376, 3375, 2));
    assert_eq!(refused(with_limit(1, 1)), (1296, 1, 0));
    assert!(convert(with_limit(16_384, 32 << 20)).is_ok());
}

#[test]
fn a_default_dimension_counts_and_an_unlisted_models_is_assumed_to_be_the_largest() {
    let named = |model: &str, count| EmbedRequest {
        model: model.to_owned(),
        ..request(count, 0, OutputDtype::Float, VectorEncoding::Values)
    };
    for (model, fitting) in [("", 1_019), ("voyage-3-lite", 2_032), ("voyage-9", 510)] {
        assert!(convert(named(model, fitting)).is_ok(), "{model}");
        assert_eq!(refused(named(model, fitting + 1)).2, fitting as u64, "{model}");
    }
}

/// With the largest numbers that the dtype has as varints.
fn worst_vector(dtype: Dtype, dimension: u32) -> Vector {
    let byte = if matches!(dtype, Dtype::Int8 | Dtype::Binary) { 0x80 } else { 0xff };
    Vector::new(vec![byte; dtype.vector_bytes(dimension)].into())
}

/// The reply to `count` inputs with everything in it as large as it gets.
fn worst_reply(count: usize, dimension: u32, shape: ReplyShape) -> EmbedResponse {
    let vector = worst_vector(shape.dtype, dimension);
    let answer = Answer::Vector(vector).of_truncated_input();
    let outcome = || ItemResult { result: Ok(answer.clone()), source: Source::Bypassed };
    let response = Response {
        items: std::iter::repeat_with(outcome).take(count).collect(),
        usage: item::Usage::of_tokens(u64::MAX),
        estimated: true,
        calls: Vec::new(),
        upstream_time: std::time::Duration::ZERO,
    };
    let mut reply = embed_response(response, shape, &"m".repeat(128));
    reply.usage.as_mut().unwrap().upstream_requests = i32::MAX;
    for embedding in &mut reply.embeddings {
        embedding.index += to_i32(MAX_INPUTS - count);
        assert!(embedding.truncated);
    }
    reply
}

fn predicted(count: usize, dimension: u32, shape: ReplyShape, partial: bool) -> u64 {
    let shape = ReplyShape { allow_partial: partial, max_bytes: 0, ..shape };
    match shape.check_size(dimension, count) {
        Err(Error::ResponseTooLarge { predicted, .. }) => predicted,
        other => panic!("expected a refusal, not {other:?}"),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn no_reply_is_larger_than_predicted(
        count in prop_oneof![1..200_usize, Just(16_384)],
        dimension in prop::sample::select(vec![8_u32, 256, 512, 1024, 2048]),
        dtype in prop::sample::select(vec![Dtype::Float, Dtype::Int8, Dtype::Uint8, Dtype::Binary, Dtype::Ubinary]),
        encoding in prop::sample::select(vec![VectorEncoding::Values, VectorEncoding::Bytes]),
    ) {
        // The largest numbers of inputs only with vectors that are quick to write.
        let count = if dimension > 256 || dtype == Dtype::Float { count.min(200) } else { count };
        let shape = ReplyShape { dtype, encoding, dimension: None, allow_partial: false, max_bytes: 0 };
        let real = worst_reply(count, dimension, shape).encoded_len() as u64;
        let predicted = predicted(count, dimension, shape, false);
        prop_assert!(real <= predicted, "{} > {}", real, predicted);
        // And not by far, or callers would be refused for nothing.
        prop_assert!(predicted - real <= 256 + 8 * count as u64, "{} << {}", real, predicted);
    }
}

#[test]
fn a_reply_of_errors_only_is_not_larger_than_predicted() {
    let fault = Fault::InvalidRequest { detail: Some("ä".repeat(256)), field: Some("inputs") };
    let error = Error::Upstream(Arc::new(Upstream {
        fault,
        endpoint: crate::item::Endpoint::Embeddings,
        model: "voyage-9".into(),
        status: Some(400),
        attempts: 1,
        request_id: None,
        key: "default".into(),
        tokens: 0,
    }));
    let outcome = || ItemResult { result: Err(error.clone()), source: Source::Miss };
    let count = MAX_INPUTS;
    let response = Response {
        items: std::iter::repeat_with(outcome).take(count).collect(),
        usage: item::Usage::default(),
        estimated: false,
        calls: Vec::new(),
        upstream_time: std::time::Duration::ZERO,
    };
    let (dtype, encoding) = (Dtype::Binary, VectorEncoding::Bytes);
    let shape = ReplyShape { dtype, encoding, dimension: None, allow_partial: false, max_bytes: 0 };
    let real = embed_response(response, shape, "voyage-9").encoded_len() as u64;
    assert!(real <= predicted(count, 256, shape, true), "{real}");
}
