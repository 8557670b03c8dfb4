//! `EmbedChunks`: documents of chunks.

use std::sync::Arc;

use super::{
    CallTerms, Options, ReplyShape, Violations, check_count, model_name, refuse_or_add,
    reply::{self, OTHER_ENDPOINT},
    vectors::{DocumentSize, VectorFields, VectorRequest},
};
use crate::{
    error::Error,
    grpc::{
        RequestModels, status,
        v1::{self, DocumentEmbeddings, EmbedChunksRequest, EmbedChunksResponse},
    },
    item::{
        Answer, AutoChunking, ChunkParameters, Chunks, DEFAULT_CHUNK_SIZE, Document, Endpoint,
        EndpointParameters, Input, InputType, Parameters,
    },
    model::Kind,
    pipeline::{Request, Response, Source},
};

/// Name of the RPC in the rules of callers.
pub(super) const RPC: &str = "EmbedChunks";

/// Limit of chunks in a request.
pub(in crate::grpc) const MAX_CHUNKS: usize = 32_768;

/// The most tokens of a chunk that Voyage makes.
const MAX_CHUNK_SIZE: u32 = 32_000;

/// How the reply to a request for chunks will look.
#[derive(Clone, Copy, Debug)]
pub(in crate::grpc) struct ChunksShape {
    shape: ReplyShape,
    predicted: u64,
    /// Whether Voyage divides the documents, so that only the answers have the number of chunks.
    is_divided: bool,
}

/// Converts a request; an error lists all of its violations.
pub(in crate::grpc) fn embed_chunks_request(
    request: EmbedChunksRequest,
    models: &RequestModels,
    terms: CallTerms,
) -> Result<(Request, ChunksShape), Error> {
    let mut violations = Violations::default();
    let model = model_name(&request.model, Kind::Contextualized, models, &mut violations);
    let fields = VectorFields {
        input_type: request.input_type,
        output_dimension: request.output_dimension,
        output_dtype: request.output_dtype,
        vector_encoding: request.vector_encoding,
    };
    let listed = model.listed_as(Kind::Contextualized);
    let vector = fields.read(listed, &mut violations);
    let VectorRequest { parameters, encoding } = vector;
    let auto_chunking =
        auto_chunking(request.auto_chunking, parameters.input_type, &mut violations);
    let options = Options::read(request.options, vector.usual_priority(), &mut violations);
    let rules = ChunkRules {
        is_divided: auto_chunking.is_some(),
        is_query: parameters.input_type == Some(InputType::Query),
        allow_partial: options.allow_partial,
    };
    let inputs = rules.inputs(request.documents, &mut violations);
    violations.into_result()?;
    terms.check(RPC, &model)?;

    let of = ChunkParameters { vector: parameters, auto_chunking };
    let parameters = Parameters::new(model, EndpointParameters::Chunks(of));
    let shape = ReplyShape {
        dtype: of.vector.dtype,
        encoding,
        dimension: parameters.expected_dimension(),
        allow_partial: options.allow_partial,
        max_bytes: options.max_bytes,
    };
    let sizes = inputs.iter().map(|input| match input {
        Ok(Input::Chunks(chunks)) => expected_size(chunks, &of),
        _ => DocumentSize::default(),
    });
    // The number of chunks that Voyage makes is not known: a guess does not refuse the request.
    let limit = if rules.is_divided { u64::MAX } else { shape.max_bytes };
    let predicted = ReplyShape { max_bytes: limit, ..shape }
        .check_documents(shape.predicted_dimension(), sizes)?;
    let shape = ChunksShape { shape, predicted, is_divided: rules.is_divided };
    Ok((options.request(parameters, inputs, predicted.min(shape.shape.max_bytes), terms), shape))
}

/// Returns what the answer to a document is expected to add to the reply.
fn expected_size(chunks: &Chunks, of: &ChunkParameters) -> DocumentSize {
    /// Bytes of a token of prose.
    const TOKEN: usize = 4;
    match of.auto_chunking {
        None => DocumentSize { vectors: chunks.len(), text_bytes: 0 },
        Some(_) => DocumentSize {
            vectors: of.most_chunks(chunks).div_ceil(TOKEN),
            text_bytes: chunks.bytes(),
        },
    }
}

fn auto_chunking(
    auto: Option<v1::AutoChunking>,
    input_type: Option<InputType>,
    violations: &mut Violations,
) -> Option<AutoChunking> {
    let v1::AutoChunking { chunk_size, chunk_overlap } = auto?;
    if input_type != Some(InputType::Document) {
        let description = "must be INPUT_TYPE_DOCUMENT with auto_chunking";
        violations.add("input_type", "DOCUMENT_REQUIRED", description);
    }
    let size = u32::try_from(chunk_size).ok().filter(|size| *size <= MAX_CHUNK_SIZE);
    if size.is_none() {
        let description =
            format!("must be 1 to {MAX_CHUNK_SIZE} tokens, or 0 for {DEFAULT_CHUNK_SIZE}");
        violations.add("auto_chunking.chunk_size", "OUT_OF_RANGE", description);
    }
    let size = size.filter(|size| *size > 0).unwrap_or(DEFAULT_CHUNK_SIZE);
    let overlap = u32::try_from(chunk_overlap).ok().filter(|overlap| *overlap < size);
    if overlap.is_none() {
        let description = format!("must be 0 or more and less than chunk_size ({size})");
        violations.add("auto_chunking.chunk_overlap", "OUT_OF_RANGE", description);
    }
    // The default has one form, so that both share cache entries and calls.
    let chunk_size = Some(size).filter(|size| *size != DEFAULT_CHUNK_SIZE);
    Some(AutoChunking { chunk_size, chunk_overlap: overlap.unwrap_or_default() })
}

/// The rules for the documents of a request.
#[derive(Clone, Copy, Debug)]
struct ChunkRules {
    is_divided: bool,
    is_query: bool,
    allow_partial: bool,
}

impl ChunkRules {
    fn inputs(
        self,
        documents: Vec<v1::ChunkedDocument>,
        violations: &mut Violations,
    ) -> Vec<Result<Input, Error>> {
        if !check_count("documents", "document", documents.len(), violations) {
            return Vec::new();
        }
        let chunks: usize = documents.iter().map(|document| document.chunks.len()).sum();
        if chunks > MAX_CHUNKS {
            let description = format!("must have at most {MAX_CHUNKS} chunks; use several calls");
            violations.add("documents", "TOO_MANY_CHUNKS", description);
            return Vec::new();
        }
        let documents = documents.into_iter().enumerate();
        let inputs = documents.map(|(index, document)| {
            let wrong = self.violation(index, &document.chunks);
            match wrong {
                None => Ok(Input::Chunks(Chunks::new(document.chunks))),
                Some(error) => refuse_or_add(error, self.allow_partial, violations),
            }
        });
        inputs.collect()
    }

    /// Returns the violation of a document.
    fn violation(self, index: usize, chunks: &[String]) -> Option<Error> {
        let field = format!("documents[{index}].chunks");
        let most = usize::try_from(Endpoint::Contextualized.bounds().chunks).unwrap_or(usize::MAX);
        if chunks.is_empty() {
            return Some(Error::violation(field, "EMPTY_LIST", "must have at least one chunk"));
        }
        if let Some(empty) = chunks.iter().position(String::is_empty) {
            let field = format!("{field}[{empty}]");
            return Some(Error::violation(field, "EMPTY_TEXT", "must not be empty"));
        }
        if self.is_divided && chunks.len() > 1 {
            let description = "must be one text with auto_chunking";
            return Some(Error::violation(field, "TOO_MANY_CHUNKS", description));
        }
        if self.is_query && chunks.len() > 1 {
            let description = "must be one text with INPUT_TYPE_QUERY";
            return Some(Error::violation(field, "TOO_MANY_CHUNKS", description));
        }
        if chunks.len() > most {
            let description = format!("must have at most {most} chunks");
            return Some(Error::violation(field, "TOO_MANY_CHUNKS", description));
        }
        None
    }
}

impl ChunksShape {
    /// Returns the bytes of a reply beyond the prediction, or an error if the caller cannot receive them. The answers
    /// stay cached.
    pub(in crate::grpc) fn check_answers(&self, response: &Response) -> Result<usize, Error> {
        let Self { shape, predicted, is_divided } = *self;
        if !is_divided && shape.dimension.is_some() {
            return Ok(0);
        }
        let sizes = response.items.iter().map(|outcome| match &outcome.result {
            Ok(Answer::Document(document)) => {
                DocumentSize { vectors: document.vectors.len(), text_bytes: document.text_bytes() }
            }
            _ => DocumentSize::default(),
        });
        let answers = response.items.iter().filter_map(|outcome| outcome.result.as_ref().ok());
        let widest = answers.filter_map(|answer| self.dimension_of(answer)).max();
        let taken = shape.check_documents(widest.unwrap_or_default(), sizes)?;
        Ok(usize::try_from(taken.saturating_sub(predicted)).unwrap_or(usize::MAX))
    }

    fn dimension_of(&self, answer: &Answer) -> Option<u32> {
        let Answer::Document(document) = answer else { return None };
        self.shape.dtype.dimension_of(document.vectors.first()?.bytes().len())
    }
}

/// Builds the reply to an `EmbedChunks`.
pub(in crate::grpc) fn embed_chunks_response(
    response: Response,
    shape: ChunksShape,
    model: &str,
) -> EmbedChunksResponse {
    let ChunksShape { shape, .. } = shape;
    let mut reply = EmbedChunksResponse {
        model: model.to_owned(),
        output_dtype: reply::output_dtype(shape.dtype) as i32,
        usage: Some(reply::usage(&response)),
        cache: Some(reply::cache_summary(&response)),
        ..EmbedChunksResponse::default()
    };
    for (index, outcome) in response.items.into_iter().enumerate() {
        let index = reply::to_i32(index);
        match outcome.result.and_then(document_of) {
            Ok(document) => {
                let first = document.vectors.first();
                let dimension =
                    first.and_then(|vector| shape.dtype.dimension_of(vector.bytes().len()));
                reply.dimension = dimension.map_or(reply.dimension, reply::to_i32);
                if let Some(version) = &document.chunker_version {
                    version.as_ref().clone_into(&mut reply.chunker_version);
                }
                reply.documents.push(embeddings(index, &document, outcome.source, shape));
            }
            Err(error) => {
                reply::log(&error);
                reply.errors.push(status::item_error(index, &error));
            }
        }
    }
    reply
}

fn embeddings(
    index: i32,
    document: &Document,
    source: Source,
    shape: ReplyShape,
) -> DocumentEmbeddings {
    let vectors = document.vectors.iter().cloned().enumerate();
    let embedding = |(chunk, vector)| reply::embedding(reply::to_i32(chunk), vector, source, shape);
    DocumentEmbeddings {
        index,
        embeddings: vectors.map(embedding).collect(),
        chunks: document.texts.clone().unwrap_or_default(),
    }
}

fn document_of(answer: Answer) -> Result<Arc<Document>, Error> {
    let Answer::Document(document) = answer else {
        return Err(Error::Internal { cause: OTHER_ENDPOINT });
    };
    Ok(document)
}
