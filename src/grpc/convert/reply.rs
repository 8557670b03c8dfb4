//! Domain → proto: the parts that replies share.

use bytes::Bytes;

use super::ReplyShape;
use crate::{
    error::Error,
    grpc::{
        v1::{CacheStatus, CacheSummary, OutputDtype, Usage, VectorEncoding},
        wire::Embedding,
    },
    item::Vector,
    model::Dtype,
    pipeline::{Response, Source},
};

/// The cause of an error that the types do not exclude: each key names its endpoint.
pub(super) const OTHER_ENDPOINT: &str = "an answer is of another endpoint";

pub(super) fn log(error: &Error) {
    if let Error::Internal { cause } = error {
        tracing::error!(cause, "an input failed with an internal error");
    }
}

pub(super) fn embedding(
    index: i32,
    vector: Vector,
    source: Source,
    shape: ReplyShape,
) -> Embedding {
    let mut embedding = Embedding {
        index,
        cache_status: cache_status(source) as i32,
        truncated: vector.is_truncated(),
        ..Embedding::default()
    };
    let bytes = vector.into_bytes();
    match (shape.encoding, shape.dtype) {
        (VectorEncoding::Bytes, _) => embedding.data = bytes,
        (_, Dtype::Float) => embedding.values = bytes,
        (_, Dtype::Int8 | Dtype::Binary) => {
            embedding.int_values = integers(&bytes, |byte| i32::from(byte.cast_signed()));
        }
        (_, Dtype::Uint8 | Dtype::Ubinary) => embedding.int_values = integers(&bytes, i32::from),
    }
    embedding
}

fn integers(bytes: &Bytes, integer: impl Fn(u8) -> i32) -> Vec<i32> {
    bytes.iter().map(|byte| integer(*byte)).collect()
}

pub(super) fn usage(response: &Response) -> Usage {
    Usage {
        total_tokens: to_i32(response.usage.tokens),
        estimated: response.estimated,
        text_tokens: to_i32(response.usage.text_tokens),
        image_pixels: to_i64(response.usage.image_pixels),
        video_pixels: to_i64(response.usage.video_pixels),
        upstream_requests: to_i32(response.upstream_requests()),
    }
}

pub(super) fn cache_summary(response: &Response) -> CacheSummary {
    CacheSummary {
        hits: to_i32(response.count(Source::Hit)),
        misses: to_i32(response.count(Source::Miss) + response.count(Source::Bypassed)),
        coalesced: to_i32(response.count(Source::Coalesced)),
    }
}

pub(super) fn cache_status(source: Source) -> CacheStatus {
    match source {
        Source::Hit => CacheStatus::Hit,
        Source::Miss => CacheStatus::Miss,
        Source::Coalesced => CacheStatus::Coalesced,
        Source::Bypassed => CacheStatus::Bypassed,
        Source::Refused => CacheStatus::Unspecified,
    }
}

/// Returns the proto's value of an output type.
pub(crate) fn output_dtype(dtype: Dtype) -> OutputDtype {
    match dtype {
        Dtype::Float => OutputDtype::Float,
        Dtype::Int8 => OutputDtype::Int8,
        Dtype::Uint8 => OutputDtype::Uint8,
        Dtype::Binary => OutputDtype::Binary,
        Dtype::Ubinary => OutputDtype::Ubinary,
    }
}

/// Clamps a number to the range of the proto.
pub(crate) fn to_i32(number: impl TryInto<i32>) -> i32 {
    number.try_into().unwrap_or(i32::MAX)
}

pub(crate) fn to_i64(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
