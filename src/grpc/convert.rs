//! Proto ↔ domain: all validation, and the shape of replies.
//!
//! An error lists every violation of a request, other fields before `inputs`. Then come the caller's permissions and the
//! predicted size of the reply, before any money is spent.

mod reply;
mod violations;

use std::{sync::Arc, time::Duration};

use tokio::time::Instant;

use super::status::MAX_ITEM_ERROR_BYTES;
use super::v1::{
    CacheMode as ProtoCacheMode, EmbedRequest, InputType as ProtoInputType,
    OutputDtype as ProtoDtype, Priority, RequestOptions, VectorEncoding,
};
use crate::{
    caller::{self, Caller},
    error::Error,
    item::{Input, InputType, Parameters, TextParameters, VectorParameters},
    model::Dtype,
    model::{self, Kind, MAX_DIMENSION, Model},
    pipeline::{CacheMode, Request, Response},
};
pub(super) use reply::{embed_response, output_dtype, to_i32};
pub(super) use violations::Violations;

/// Limit of inputs in a request.
pub const MAX_INPUTS: usize = 16_384;

/// The default receive limit of gRPC clients.
const DEFAULT_MAX_RESPONSE_BYTES: u64 = 4 * 1024 * 1024;

/// No model has a longer name, and error details have no room for one.
const MAX_MODEL_BYTES: usize = 128;

/// The longest `google.protobuf.Duration`: 10,000 years.
const MAX_DURATION_SECONDS: u64 = 315_576_000_000;

/// How the reply to a request will look.
#[derive(Clone, Copy, Debug)]
pub(super) struct ReplyShape {
    pub(super) dtype: Dtype,
    pub(super) encoding: VectorEncoding,
    /// `None` for an unlisted model: only the answers have it.
    dimension: Option<u32>,
    allow_partial: bool,
    /// Bytes the caller can receive.
    max_bytes: u64,
}

/// Name of the RPC in the rules of callers.
const EMBED: &str = "Embed";

/// Converts a request; an error lists all of its violations.
pub(super) fn embed_request(
    request: EmbedRequest,
    default_model: &Arc<str>,
    deadline: Instant,
    caller: Caller,
) -> Result<(Request, ReplyShape), Error> {
    let mut violations = Violations::default();
    let model = model_name(&request.model, default_model, &mut violations);
    let listed = model::find_kind(&model, Kind::Text);
    let input_type = input_type(request.input_type, &mut violations);
    let dimension = dimension(request.output_dimension, listed, &mut violations);
    let dtype = dtype(request.output_dtype, listed, &mut violations);
    let encoding = encoding(request.vector_encoding, &mut violations);
    let options = request.options.unwrap_or_default();
    let cache_mode = cache_mode(options.cache_mode, &mut violations);
    let priority = priority(options.priority, input_type, &mut violations);
    let max_queue_wait = max_queue_wait(&options, &mut violations);
    let max_bytes = max_response_bytes(&options, &mut violations);
    let count = request.inputs.len();
    let inputs = inputs(request.inputs, options.allow_partial, &mut violations);
    violations.into_result()?;
    caller.check_rpc(EMBED)?;
    caller.check_model(&model)?;

    let vector = VectorParameters { input_type, dimension, dtype };
    let truncation = request.truncation.unwrap_or(true);
    let parameters = Parameters::texts(model, TextParameters { vector, truncation });
    let dimension = parameters.expected_dimension();
    let allow_partial = options.allow_partial;
    let shape = ReplyShape { dtype, encoding, dimension, allow_partial, max_bytes };
    let reply_bytes = shape.check_size(dimension.unwrap_or(MAX_DIMENSION), count)?;
    let request = Request {
        parameters: Arc::new(parameters),
        inputs,
        cache_mode,
        allow_partial,
        deadline,
        max_queue_wait,
        priority: caller.clamp(priority),
        caller,
        reply_bytes: usize::try_from(reply_bytes).unwrap_or(usize::MAX),
    };
    Ok((request, shape))
}

impl ReplyShape {
    /// Returns the predicted bytes of a reply with vectors of this dimension, or an error if the caller cannot receive it.
    fn check_size(&self, dimension: u32, inputs: usize) -> Result<u64, Error> {
        /// Field tags, index, cache status and token count of one embedding.
        const ITEM_OVERHEAD: u64 = 16;
        /// Everything else in the reply.
        const REPLY_OVERHEAD: u64 = 256;

        let bytes = self.dtype.vector_bytes(dimension) as u64;
        // A varint beyond ±63 has two bytes.
        let integers = self.encoding != VectorEncoding::Bytes && self.dtype != Dtype::Float;
        let mut item = bytes * if integers { 2 } else { 1 } + ITEM_OVERHEAD;
        if self.allow_partial {
            // Any item may be an error instead.
            item = item.max(MAX_ITEM_ERROR_BYTES as u64);
        }
        let predicted = inputs as u64 * item + REPLY_OVERHEAD;
        if predicted <= self.max_bytes {
            return Ok(predicted);
        }
        let max_inputs = self.max_bytes.saturating_sub(REPLY_OVERHEAD) / item;
        Err(Error::ResponseTooLarge { predicted, limit: self.max_bytes, max_inputs })
    }

    /// Returns the bytes of a reply beyond the prediction, or an error if the caller cannot receive them. Only vectors of
    /// an unlisted model may be larger than predicted.
    pub(super) fn check_answers(&self, response: &Response) -> Result<usize, Error> {
        if self.dimension.is_some() {
            return Ok(0);
        }
        let answers = response.items.iter().filter_map(|outcome| outcome.result.as_ref().ok());
        let widest = answers.filter_map(|answer| self.dtype.dimension_of(answer.bytes())).max();
        let inputs = response.items.len();
        let predicted = self.check_size(MAX_DIMENSION, inputs)?;
        let taken = self.check_size(widest.unwrap_or_default().max(MAX_DIMENSION), inputs)?;
        Ok(usize::try_from(taken - predicted).unwrap_or(usize::MAX))
    }
}

fn model_name(name: &str, default: &Arc<str>, violations: &mut Violations) -> Arc<str> {
    if name.is_empty() {
        return Arc::clone(default);
    }
    // The name is sent back in a header.
    if name.len() > MAX_MODEL_BYTES || !name.bytes().all(|b| b.is_ascii_graphic()) {
        violations.add("model", "INVALID_MODEL", "must be at most 128 visible ASCII characters");
    }
    Arc::from(name)
}

fn input_type(number: i32, violations: &mut Violations) -> Option<InputType> {
    match violations.read_enum("input_type", number, ProtoInputType::as_str_name) {
        ProtoInputType::Unspecified => None,
        ProtoInputType::Query => Some(InputType::Query),
        ProtoInputType::Document => Some(InputType::Document),
    }
}

/// The model's default is returned as `None`, so that both share cache entries and calls.
fn dimension(
    number: i32,
    listed: Option<&'static Model>,
    violations: &mut Violations,
) -> Option<u32> {
    let Ok(dimension) = u32::try_from(number) else {
        violations.add("output_dimension", "NEGATIVE", "must be 0 (the model's default) or more");
        return None;
    };
    match (dimension, listed) {
        (0, _) => None,
        (dimension, None) => Some(dimension),
        (dimension, Some(model)) if !model.dimensions.contains(&dimension) => {
            let offered = join(model.dimensions.iter().map(u32::to_string));
            let description =
                format!("must be one of {offered}, or 0 for the default of {}", model.name);
            violations.add("output_dimension", "DIMENSION_NOT_OFFERED", description);
            None
        }
        (dimension, Some(model)) => {
            Some(dimension).filter(|_| model.default_dimension() != Some(dimension))
        }
    }
}

fn dtype(number: i32, listed: Option<&'static Model>, violations: &mut Violations) -> Dtype {
    let dtype = match violations.read_enum("output_dtype", number, ProtoDtype::as_str_name) {
        ProtoDtype::Unspecified | ProtoDtype::Float => Dtype::Float,
        ProtoDtype::Int8 => Dtype::Int8,
        ProtoDtype::Uint8 => Dtype::Uint8,
        ProtoDtype::Binary => Dtype::Binary,
        ProtoDtype::Ubinary => Dtype::Ubinary,
    };
    if let Some(model) = listed
        && !model.dtypes.contains(&dtype)
    {
        let offered = join(model.dtypes.iter().map(|dtype| dtype.as_str().to_owned()));
        let description = format!("must be one of {offered} for {}", model.name);
        violations.add("output_dtype", "DTYPE_NOT_OFFERED", description);
    }
    dtype
}

fn encoding(number: i32, violations: &mut Violations) -> VectorEncoding {
    match violations.read_enum("vector_encoding", number, VectorEncoding::as_str_name) {
        VectorEncoding::Unspecified | VectorEncoding::Values => VectorEncoding::Values,
        VectorEncoding::Bytes => VectorEncoding::Bytes,
    }
}

fn cache_mode(number: i32, violations: &mut Violations) -> CacheMode {
    match violations.read_enum("options.cache_mode", number, ProtoCacheMode::as_str_name) {
        ProtoCacheMode::Unspecified | ProtoCacheMode::ReadWrite => CacheMode::ReadWrite,
        ProtoCacheMode::ReadOnly => CacheMode::ReadOnly,
        ProtoCacheMode::Refresh => CacheMode::Refresh,
        ProtoCacheMode::Bypass => CacheMode::Bypass,
        ProtoCacheMode::OnlyIfCached => CacheMode::OnlyIfCached,
    }
}

/// Unset: documents are usually indexed in bulk, and a user waits for a query.
fn priority(
    number: i32,
    input_type: Option<InputType>,
    violations: &mut Violations,
) -> caller::Priority {
    match violations.read_enum("options.priority", number, Priority::as_str_name) {
        Priority::Batch => caller::Priority::Batch,
        Priority::Unspecified if input_type == Some(InputType::Document) => caller::Priority::Batch,
        Priority::Interactive | Priority::Unspecified => caller::Priority::Interactive,
    }
}

/// By hand: prost-types overflows on the most negative durations.
fn max_queue_wait(options: &RequestOptions, violations: &mut Violations) -> Option<Duration> {
    let wait = options.max_queue_wait?;
    if let Ok(seconds @ 0..=MAX_DURATION_SECONDS) = u64::try_from(wait.seconds)
        && let Ok(nanos @ 0..1_000_000_000) = u32::try_from(wait.nanos)
    {
        return Some(Duration::new(seconds, nanos));
    }
    let description = "must be a google.protobuf.Duration of 0 s or more";
    violations.add("options.max_queue_wait", "INVALID_DURATION", description);
    None
}

fn max_response_bytes(options: &RequestOptions, violations: &mut Violations) -> u64 {
    match u64::try_from(options.max_response_bytes) {
        Ok(0) => DEFAULT_MAX_RESPONSE_BYTES,
        Ok(bytes) => bytes,
        Err(_) => {
            violations.add("options.max_response_bytes", "NEGATIVE", "must be 0 (4 MiB) or more");
            DEFAULT_MAX_RESPONSE_BYTES
        }
    }
}

/// An empty text is a violation of the request, or with `allow_partial` an error of this input.
fn inputs(
    texts: Vec<String>,
    allow_partial: bool,
    violations: &mut Violations,
) -> Vec<Result<Input, Error>> {
    if texts.is_empty() {
        violations.add("inputs", "EMPTY_LIST", "must have at least one text");
    }
    if texts.len() > MAX_INPUTS {
        let description = format!("must have at most {MAX_INPUTS} texts; use several calls");
        violations.add("inputs", "TOO_MANY_INPUTS", description);
        return Vec::new();
    }
    let mut inputs = Vec::with_capacity(texts.len());
    for (index, text) in texts.into_iter().enumerate() {
        if !text.is_empty() {
            inputs.push(Ok(Input::Text(text)));
            continue;
        }
        let (field, reason) = (format!("inputs[{index}]"), "EMPTY_TEXT");
        let description = "must not be empty";
        if allow_partial {
            inputs.push(Err(Error::violation(field, reason, description)));
        } else {
            violations.add(field, reason, description);
        }
    }
    inputs
}

fn join(words: impl Iterator<Item = String>) -> String {
    words.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests;
