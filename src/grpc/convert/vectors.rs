//! The fields that every RPC with vectors has, and the size of replies with vectors.

use super::Violations;
use crate::{
    caller,
    error::Error,
    grpc::{
        status::MAX_ITEM_ERROR_BYTES,
        v1::{InputType as ProtoInputType, OutputDtype as ProtoDtype, VectorEncoding},
    },
    item::{InputType, VectorParameters},
    model::{Dtype, MAX_DIMENSION, Model},
    pipeline::Response,
};

/// Everything in a reply but its items.
const REPLY_OVERHEAD: u64 = 256;

/// Field tags, lengths, index, cache status and the mark of a truncated input, of one embedding or document.
const ITEM_OVERHEAD: u64 = 16;

/// The fields of a request that shape its vectors, as sent.
#[derive(Clone, Copy, Debug)]
pub(super) struct VectorFields {
    pub(super) input_type: i32,
    pub(super) output_dimension: i32,
    pub(super) output_dtype: i32,
    pub(super) vector_encoding: i32,
}

/// The same fields, checked.
#[derive(Clone, Copy, Debug)]
pub(super) struct VectorRequest {
    pub(super) parameters: VectorParameters,
    pub(super) encoding: VectorEncoding,
}

impl VectorFields {
    /// Checks the fields against a listed model.
    pub(super) fn read(
        self,
        listed: Option<&'static Model>,
        violations: &mut Violations,
    ) -> VectorRequest {
        let input_type = input_type(self.input_type, violations);
        let dimension = dimension(self.output_dimension, listed, violations);
        let dtype = dtype(self.output_dtype, listed, violations);
        let encoding = encoding(self.vector_encoding, violations);
        VectorRequest { parameters: VectorParameters { input_type, dimension, dtype }, encoding }
    }
}

impl VectorRequest {
    /// Returns the priority of requests that name none: documents are usually indexed in bulk, and a user waits for a
    /// query.
    pub(super) fn usual_priority(&self) -> caller::Priority {
        match self.parameters.input_type {
            Some(InputType::Document) => caller::Priority::Batch,
            _ => caller::Priority::Interactive,
        }
    }
}

/// How the reply to a request will look.
#[derive(Clone, Copy, Debug)]
pub(in crate::grpc) struct ReplyShape {
    pub(in crate::grpc) dtype: Dtype,
    pub(in crate::grpc) encoding: VectorEncoding,
    /// `None` for an unlisted model: only the answers have it.
    pub(super) dimension: Option<u32>,
    pub(super) allow_partial: bool,
    /// Bytes the caller can receive.
    pub(super) max_bytes: u64,
}

impl ReplyShape {
    /// Returns the dimension to predict a size with.
    pub(super) fn predicted_dimension(&self) -> u32 {
        self.dimension.unwrap_or(MAX_DIMENSION)
    }

    /// Returns the predicted bytes of a reply with one vector of this dimension for each input, or an error if the caller
    /// cannot receive it.
    pub(super) fn check_size(&self, dimension: u32, inputs: usize) -> Result<u64, Error> {
        let item = self.item(self.embedding(dimension));
        let predicted = inputs as u64 * item + REPLY_OVERHEAD;
        self.check(predicted, self.max_bytes.saturating_sub(REPLY_OVERHEAD) / item)
    }

    /// Returns the predicted bytes of a reply with vectors of this dimension for each document, or an error if the caller
    /// cannot receive it. `documents` are the bytes of texts and the number of vectors of each document.
    pub(super) fn check_documents(
        &self,
        dimension: u32,
        documents: impl ExactSizeIterator<Item = DocumentSize>,
    ) -> Result<u64, Error> {
        let (count, embedding) = (documents.len() as u64, self.embedding(dimension));
        let items = documents.map(|document| {
            let vectors = document.vectors as u64;
            self.item(ITEM_OVERHEAD + vectors * embedding + document.text_bytes as u64)
        });
        let predicted = items.sum::<u64>() + REPLY_OVERHEAD;
        self.check(predicted, self.max_bytes.saturating_mul(count) / predicted)
    }

    fn check(&self, predicted: u64, max_inputs: u64) -> Result<u64, Error> {
        if predicted <= self.max_bytes {
            return Ok(predicted);
        }
        Err(Error::ResponseTooLarge { predicted, limit: self.max_bytes, max_inputs })
    }

    /// Returns the bytes of one embedding.
    fn embedding(&self, dimension: u32) -> u64 {
        let bytes = self.dtype.vector_bytes(dimension) as u64;
        // A varint beyond ±63 has two bytes.
        let integers = self.encoding != VectorEncoding::Bytes && self.dtype != Dtype::Float;
        bytes * if integers { 2 } else { 1 } + ITEM_OVERHEAD
    }

    /// Returns the most bytes of an item, which may be an error instead.
    fn item(&self, bytes: u64) -> u64 {
        if self.allow_partial { bytes.max(MAX_ITEM_ERROR_BYTES as u64) } else { bytes }
    }

    /// Returns the bytes of a reply beyond the prediction, or an error if the caller cannot receive them. Only vectors of
    /// an unlisted model may be larger than predicted.
    pub(in crate::grpc) fn check_answers(&self, response: &Response) -> Result<usize, Error> {
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

/// What a document adds to the size of a reply.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct DocumentSize {
    pub(super) vectors: usize,
    pub(super) text_bytes: usize,
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

fn join(words: impl Iterator<Item = String>) -> String {
    words.collect::<Vec<_>>().join(", ")
}
