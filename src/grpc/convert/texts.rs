//! `Embed`: texts.

use super::{
    CallTerms, Options, ReplyShape, Violations, check_count, model_name, refuse_or_add,
    reply::{self, OTHER_ENDPOINT},
    vectors::{VectorFields, VectorRequest},
};
use crate::{
    error::Error,
    grpc::{
        RequestModels, status,
        v1::{EmbedRequest, EmbedResponse},
    },
    item::{Answer, Input, Parameters, TextParameters, Vector},
    model::Kind,
    pipeline::{Request, Response},
};

/// Name of the RPC in the rules of callers.
pub(super) const RPC: &str = "Embed";

/// Converts a request; an error lists all of its violations.
pub(in crate::grpc) fn embed_request(
    request: EmbedRequest,
    models: &RequestModels,
    terms: CallTerms,
) -> Result<(Request, ReplyShape), Error> {
    let mut violations = Violations::default();
    let model = model_name(&request.model, Kind::Text, models, &mut violations);
    let fields = VectorFields {
        input_type: request.input_type,
        output_dimension: request.output_dimension,
        output_dtype: request.output_dtype,
        vector_encoding: request.vector_encoding,
    };
    let vector = fields.read(model.listed_as(Kind::Text), &mut violations);
    let options = Options::read(request.options, vector.usual_priority(), &mut violations);
    let count = request.inputs.len();
    let inputs = inputs(request.inputs, options.allow_partial, &mut violations);
    violations.into_result()?;
    terms.check(RPC, &model)?;

    let VectorRequest { parameters: vector, encoding } = vector;
    let truncation = request.truncation.unwrap_or(true);
    let parameters = Parameters::texts(model, TextParameters { vector, truncation });
    let shape = ReplyShape {
        dtype: vector.dtype,
        encoding,
        dimension: parameters.expected_dimension(),
        allow_partial: options.allow_partial,
        max_bytes: options.max_bytes,
    };
    let reply_bytes = shape.check_size(shape.predicted_dimension(), count)?;
    Ok((options.request(parameters, inputs, reply_bytes, terms), shape))
}

/// An empty text is a violation of the request, or with `allow_partial` an error of this input.
fn inputs(
    texts: Vec<String>,
    allow_partial: bool,
    violations: &mut Violations,
) -> Vec<Result<Input, Error>> {
    if !check_count("inputs", "text", texts.len(), violations) {
        return Vec::new();
    }
    let mut inputs = Vec::with_capacity(texts.len());
    for (index, text) in texts.into_iter().enumerate() {
        if !text.is_empty() {
            inputs.push(Ok(Input::Text(text)));
            continue;
        }
        let error = Error::violation(format!("inputs[{index}]"), "EMPTY_TEXT", "must not be empty");
        inputs.push(refuse_or_add(error, allow_partial, violations));
    }
    inputs
}

/// Builds the reply to an `Embed`.
pub(in crate::grpc) fn embed_response(
    response: Response,
    shape: ReplyShape,
    model: &str,
) -> EmbedResponse {
    let mut reply = EmbedResponse {
        model: model.to_owned(),
        output_dtype: reply::output_dtype(shape.dtype) as i32,
        usage: Some(reply::usage(&response)),
        cache: Some(reply::cache_summary(&response)),
        embeddings: Vec::with_capacity(response.items.len()),
        ..EmbedResponse::default()
    };
    for (index, outcome) in response.items.into_iter().enumerate() {
        let index = reply::to_i32(index);
        match outcome.result.and_then(vector_of) {
            Ok(vector) => {
                if let Some(dimension) = shape.dtype.dimension_of(vector.bytes().len()) {
                    reply.dimension = reply::to_i32(dimension);
                }
                reply.embeddings.push(reply::embedding(index, vector, outcome.source, shape));
            }
            Err(error) => {
                reply::log(&error);
                reply.errors.push(status::item_error(index, &error));
            }
        }
    }
    reply
}

fn vector_of(answer: Answer) -> Result<Vector, Error> {
    let Answer::Vector(vector) = answer else {
        return Err(Error::Internal { cause: OTHER_ENDPOINT });
    };
    Ok(vector)
}
