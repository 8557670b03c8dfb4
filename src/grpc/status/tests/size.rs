//! Details stay small at the worst: a client's header limit would turn them into another error.

use super::*;
use crate::caller::Caller;
use crate::grpc::{
    convert,
    v1::{EmbedRequest, OutputDtype, RequestOptions},
};

/// The limit of every client, less the other headers.
const LIMIT: usize = 4096;

/// The bytes an error takes: its details, and its message as the trailer carries it.
fn size(error: &Error) -> usize {
    let status = status(error, &"i".repeat(128));
    let details = status.details().len();
    let response = status.into_http::<tonic::body::Body>();
    details + response.headers()["grpc-message"].len()
}

/// A failure with everything about the call as long as it can be.
fn worst(fault: Fault) -> Error {
    Error::Upstream(Arc::new(Upstream {
        fault,
        endpoint: Endpoint::Embeddings,
        model: "m".repeat(128).into(),
        status: Some(599),
        attempts: u32::MAX,
        request_id: Some("r".repeat(4000).into()),
        key: "k".repeat(64).into(),
        tokens: 0,
    }))
}

/// The violations of requests with everything wrong.
fn violations() -> Vec<FieldViolation> {
    let longest_wrong = |model: &str, output_dimension, dtype| EmbedRequest {
        inputs: vec![String::new(); 16_384],
        model: model.to_owned(),
        input_type: 9,
        truncation: None,
        output_dimension,
        output_dtype: dtype,
        vector_encoding: 9,
        options: Some(RequestOptions {
            cache_mode: 9,
            priority: 9,
            allow_partial: false,
            max_response_bytes: -1,
            max_queue_wait: Some(prost_types::Duration { seconds: -1, nanos: 0 }),
            invalid_text: 9,
        }),
    };
    let mut all = Vec::new();
    let int8 = OutputDtype::Int8 as i32;
    for (model, dimension, dtype) in
        [("voyage-large-2-instruct", 7, int8), ("voyage-3.5-lite", 7, 9), ("voyage-9 ", -1, 9)]
    {
        let request = longest_wrong(model, dimension, dtype);
        let now = tokio::time::Instant::now();
        let Err(error) = convert::embed_request(
            request,
            &crate::grpc::RequestModels::usual(),
            convert::CallTerms { caller: Caller::anonymous(), deadline: now },
        ) else {
            panic!("the request was converted");
        };
        assert!(size(&error) < LIMIT, "{model}: {}", size(&error));
        let Error::InvalidRequest(violations) = error else { panic!("{error}") };
        assert_eq!(violations.len(), 16);
        all.extend(violations.iter().cloned());
    }
    all
}

#[test]
fn sixteen_of_the_longest_violation_fit() {
    let length = |violation: &FieldViolation| {
        violation.field.len() + violation.reason.len() + violation.description.len()
    };
    let longest = violations().into_iter().max_by_key(length).unwrap();
    let error = Error::InvalidRequest(vec![longest; 16].into());
    assert!(size(&error) < LIMIT, "{}", size(&error));
}

#[test]
fn voyages_longest_words_fit() {
    for detail in ["x".repeat(512), "😀".repeat(128), "%".repeat(512), "\u{e9}".repeat(256)] {
        assert_eq!(detail.len(), 512);
        for field in [None, Some("output_dimension")] {
            let error = worst(Fault::InvalidRequest { detail: Some(detail.clone()), field });
            assert!(size(&error) < LIMIT, "{}", size(&error));
        }
    }
}

#[test]
fn every_other_failure_fits_at_its_longest() {
    let long = || Some("h".repeat(4000));
    let why = "the body is longer than any answer to the request";
    let retry_after = Some(Duration::from_mins(1));
    for fault in [
        Fault::TooManyTokens { limit: Some(u64::MAX), actual: Some(u64::MAX) },
        Fault::InputTooLong { index: usize::MAX, limit: Some(u64::MAX) },
        Fault::ModelNotSupported,
        Fault::Unauthenticated,
        Fault::Forbidden,
        Fault::PaymentRequired,
        Fault::NotFound { host: long() },
        Fault::PayloadTooLarge { request_bytes: u64::MAX },
        Fault::RateLimited { retry_after, free_tier: true },
        Fault::TlsRejected,
        Fault::BadResponse(BadResponse { why, expected: Some(u64::MAX), got: Some(u64::MAX) }),
        Fault::Redirect { location: long() },
    ] {
        let error = worst(fault);
        assert!(size(&error) < LIMIT, "{error}: {}", size(&error));
    }
}

#[test]
fn values_of_the_metadata_are_at_most_128_bytes() {
    for location in ["h".repeat(4000), format!("h{}", "😀".repeat(200))] {
        let error = worst(Fault::Redirect { location: Some(location) });
        let metadata = status(&error, "the-id").get_details_error_info().unwrap().metadata;
        for (key, value) in &metadata {
            assert!(value.len() <= 128, "{key}: {}", value.len());
        }
        assert_eq!(metadata["model"].len(), 128);
        assert_eq!(metadata["upstreamRequestId"].len(), 128);
        assert!(metadata["location"].len() > 124);
    }
}
