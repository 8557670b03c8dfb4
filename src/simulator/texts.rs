//! `POST /v1/embeddings`.

use serde_json::Value;

use super::{
    entries::{Accepted, Entries},
    error_reply::ErrorReply,
    request::{self, Reader},
    tokens::cut,
    vectors::{Shape, vector},
};
use crate::model::{Kind, Model};

const FIELDS: &[&str] = &[
    "input",
    "model",
    "input_type",
    "truncation",
    "output_dimension",
    "output_dtype",
    "encoding_format",
];

/// A request for texts.
pub(super) struct Texts {
    pub(super) model: &'static Model,
    input: Vec<String>,
    shape: Shape<'static>,
    truncation: bool,
    base64: bool,
}

impl Texts {
    pub(super) fn read(mut reader: Reader<'_>) -> Result<Self, ErrorReply> {
        check_input(&mut reader);
        let input = request::strings(&reader.fields.get("input").cloned().unwrap_or_default());
        let name = reader.model_name();
        let vectors = reader.vectors();
        let truncation = reader.truncation();
        let base64 = reader.base64("encoding_format");
        reader.finish(FIELDS)?;
        let model = request::model(name, Kind::Text)?;
        Ok(Self { model, input, shape: vectors.shape(model)?, truncation, base64 })
    }

    /// Cuts the texts at the model's context, or refuses the first that is longer.
    pub(super) fn accept(&self) -> Result<Accepted, ErrorReply> {
        let Self { model, input, shape, truncation, base64 } = self;
        let mut vectors = Vec::with_capacity(input.len());
        let mut total = 0;
        let mut fitting = Vec::with_capacity(input.len());
        for (index, text) in input.iter().enumerate() {
            let (text_cut, tokens) = cut(text, u64::from(model.context_tokens));
            if !truncation && text_cut.len() < text.len() {
                return Err(ErrorReply::example_too_long(model, index));
            }
            fitting.push(text_cut);
            total += tokens;
        }
        if total > u64::from(model.max_request_tokens) {
            return Err(ErrorReply::batch_too_large(model, total));
        }
        vectors.extend(fitting.into_iter().map(|text| vector(text, shape)));
        let entries = Entries::Vectors(vectors);
        Ok(Accepted {
            model,
            tokens: total,
            pixels: None,
            dtype: shape.dtype,
            base64: *base64,
            entries,
        })
    }
}

fn check_input(reader: &mut Reader<'_>) {
    let Some(input) = reader.fields.get("input") else {
        return reader.missing();
    };
    let list = match input {
        Value::Array(list) => list.as_slice(),
        one => std::slice::from_ref(one),
    };
    if !list.iter().all(Value::is_string) {
        reader.wrong("input", "Input should be a valid string or a list of valid strings");
    } else if list.is_empty() || list.iter().any(|text| text == "") {
        reader.wrong("input", "Value error, Input cannot contain empty strings or empty lists");
    } else {
        reader.check_count("input", list.len());
    }
}
