//! Proto ↔ domain.

mod chunks;
mod fields;
mod reply;
mod rerank;
mod rules;
mod size;

use std::sync::Arc;

use prost_types::Duration;
use tokio::time::Instant;

use super::{options::DEFAULT_MAX_RESPONSE_BYTES, *};
use crate::{
    caller::Caller,
    error::FieldViolation,
    grpc::{
        RequestModels,
        v1::{EmbedRequest, OutputDtype, Priority, RequestOptions, VectorEncoding},
    },
    item::{InputType, Parameters, TextParameters},
    model::Dtype,
    pipeline::{CacheMode, Request},
};

/// A request for one text, otherwise as it comes.
fn hi() -> EmbedRequest {
    EmbedRequest { inputs: vec!["hi".to_owned()], ..EmbedRequest::default() }
}

fn with_options(options: RequestOptions) -> EmbedRequest {
    EmbedRequest { options: Some(options), ..hi() }
}

fn convert(request: EmbedRequest) -> Result<(Request, ReplyShape), Error> {
    embed_request(
        request,
        &RequestModels::usual(),
        CallTerms { caller: Caller::anonymous(), deadline: Instant::now() },
    )
}

fn parameters(request: EmbedRequest) -> Parameters {
    convert(request).unwrap().0.parameters.as_ref().clone()
}

fn violations(request: EmbedRequest) -> Vec<FieldViolation> {
    match convert(request) {
        Err(Error::InvalidRequest(violations)) => violations.to_vec(),
        other => panic!("expected violations, not {other:?}"),
    }
}

/// The fields and reasons of all violations.
fn found(request: EmbedRequest) -> Vec<(String, &'static str)> {
    violations(request).into_iter().map(|violation| (violation.field, violation.reason)).collect()
}

/// The field and reason of the only violation.
fn only(request: EmbedRequest) -> (String, &'static str) {
    let mut found = found(request);
    assert_eq!(found.len(), 1, "{found:?}");
    found.remove(0)
}
