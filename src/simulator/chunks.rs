//! `POST /v1/contextualizedembeddings`.

use serde_json::Value;

use super::{
    entries::{Accepted, Chunk, Entries},
    error_reply::ErrorReply,
    request::{self, Reader},
    tokens::count_tokens,
    vectors::{Shape, vector, vectors_in_context},
};
use crate::{
    item::InputType,
    model::{Kind, Model},
};

const FIELDS: &[&str] = &[
    "inputs",
    "model",
    "input_type",
    "output_dimension",
    "output_dtype",
    "encoding_format",
    "enable_auto_chunking",
    "chunk_size",
    "chunk_overlap",
];

/// The most chunks of a request.
const MAX_CHUNKS: usize = 16_000;

/// The largest chunk in tokens.
const MAX_CHUNK_SIZE: u64 = 32_000;

const DEFAULT_CHUNK_SIZE: u64 = 512;

/// A request for documents of chunks.
pub(super) struct Documents {
    pub(super) model: &'static Model,
    inputs: Vec<Vec<String>>,
    shape: Shape<'static>,
    base64: bool,
    division: Option<Division>,
}

/// How the provider divides documents.
#[derive(Clone, Copy)]
struct Division {
    size: u64,
    overlap: u64,
}

impl Documents {
    pub(super) fn read(mut reader: Reader<'_>) -> Result<Self, ErrorReply> {
        let flag = "Input should be a valid boolean";
        let divides =
            reader.optional_as("enable_auto_chunking", Value::as_bool, flag).unwrap_or(false);
        let name = reader.model_name();
        let vectors = reader.vectors();
        let base64 = reader.base64("encoding_format");
        let is_query = vectors.input_type == Some(InputType::Query);
        check_inputs(&mut reader, divides || is_query);
        let inputs = request::list(reader.fields.get("inputs").unwrap_or(&Value::Null));
        let inputs: Vec<_> = inputs.iter().map(request::strings).collect();
        if (divides || is_query) && inputs.iter().any(|document| document.len() > 1) {
            reader.wrong("inputs", "Value error, Each input must be a single string");
        }
        let division = read_division(&mut reader, divides);
        if divides && vectors.input_type != Some(InputType::Document) {
            let problem = "Value error, Auto-chunking requires input_type 'document'";
            reader.wrong("enable_auto_chunking", problem);
        }
        reader.finish(FIELDS)?;
        let model = request::model(name, Kind::Contextualized)?;
        Ok(Self { model, inputs, shape: vectors.shape(model)?, base64, division })
    }

    /// Refuses documents that are too long, which are never cut.
    pub(super) fn accept(&self) -> Result<Accepted, ErrorReply> {
        let Self { model, inputs, shape, base64, division } = self;
        let mut total = 0;
        for (index, document) in inputs.iter().enumerate() {
            let tokens: u64 = document.iter().map(|chunk| count_tokens(chunk)).sum();
            if division.is_none() && tokens > u64::from(model.context_tokens) {
                return Err(ErrorReply::document_too_long(model, index));
            }
            total += tokens;
        }
        if total > u64::from(model.max_request_tokens) {
            return Err(ErrorReply::batch_too_large(model, total));
        }
        let entries = inputs.iter().map(|document| match division {
            None => chunks(document, shape, false),
            Some(division) => chunks(&division.divide(&document[0]), shape, true),
        });
        let entries = Entries::Documents(entries.collect());
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

/// Returns the chunks of a document with their vectors. A document of one chunk has no context.
fn chunks(document: &[String], shape: &Shape<'_>, shows_texts: bool) -> Vec<Chunk> {
    let vectors = match document {
        [only] => vec![vector(only, shape)],
        _ => vectors_in_context(document, shape),
    };
    let chunk = |(vector, text): (Vec<u8>, &String)| Chunk {
        vector,
        text: shows_texts.then(|| text.clone()),
    };
    vectors.into_iter().zip(document).map(chunk).collect()
}

fn check_inputs(reader: &mut Reader<'_>, takes_texts: bool) {
    let Some(inputs) = reader.fields.get("inputs") else {
        return reader.missing();
    };
    let inputs = inputs.as_array().map(Vec::as_slice).unwrap_or_default();
    let is_chunks =
        |input: &Value| input.as_array().is_some_and(|chunks| chunks.iter().all(Value::is_string));
    let chunks: usize = inputs.iter().map(|input| request::list(input).len()).sum();
    let is_empty = |input: &Value| {
        request::list(input).is_empty() || request::list(input).iter().any(|text| text == "")
    };
    if !inputs.iter().all(|input| is_chunks(input) || (takes_texts && input.is_string())) {
        reader.wrong("inputs", "Input should be a valid list of lists of strings");
    } else if inputs.is_empty() || inputs.iter().any(is_empty) {
        reader.wrong("inputs", "Value error, Input cannot contain empty strings or empty lists");
    } else if chunks > MAX_CHUNKS {
        let problem = format!(
            "Value error, The limit of chunks in a request is {MAX_CHUNKS}. Your request has {chunks}."
        );
        reader.wrong("inputs", &problem);
    } else {
        reader.check_count("inputs", inputs.len());
    }
}

fn read_division(reader: &mut Reader<'_>, divides: bool) -> Option<Division> {
    let number = "Input should be a valid integer";
    let size = reader.optional_as("chunk_size", Value::as_u64, number);
    let overlap = reader.optional_as("chunk_overlap", Value::as_u64, number);
    if !divides {
        if size.is_some() || overlap.is_some() {
            reader.wrong("chunk_size", "Value error, Only valid with enable_auto_chunking");
        }
        return None;
    }
    if size.is_some_and(|size| !(1..=MAX_CHUNK_SIZE).contains(&size)) {
        reader.wrong("chunk_size", "Input should be between 1 and 32000");
    }
    if overlap.is_some() && size.is_none() {
        reader.wrong("chunk_overlap", "Value error, chunk_overlap requires chunk_size");
    }
    let (size, overlap) = (size.unwrap_or(DEFAULT_CHUNK_SIZE), overlap.unwrap_or(0));
    if overlap > 0 && overlap >= size {
        reader.wrong("chunk_overlap", "Value error, chunk_overlap must be less than chunk_size");
    }
    Some(Division { size, overlap })
}

impl Division {
    /// Divides a text between words. A word longer than a chunk is a chunk of its own.
    fn divide(self, text: &str) -> Vec<String> {
        let words: Vec<&str> = text.split_inclusive(char::is_whitespace).collect();
        let tokens: Vec<u64> = words.iter().map(|word| count_tokens(word)).collect();
        let (mut chunks, mut from) = (Vec::new(), 0);
        while from < words.len() {
            let (mut to, mut sum) = (from + 1, tokens[from]);
            while to < words.len() && sum + tokens[to] <= self.size {
                sum += tokens[to];
                to += 1;
            }
            chunks.push(words[from..to].concat());
            if to == words.len() {
                break;
            }
            // The overlap never reaches back to the chunk's own first word.
            let mut shared = 0;
            let mut next = to;
            while next > from + 1 && shared + tokens[next - 1] <= self.overlap {
                next -= 1;
                shared += tokens[next];
            }
            from = next;
        }
        chunks
    }
}
