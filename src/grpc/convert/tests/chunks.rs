//! Requests for chunks: the rules for documents, and the size of their replies.

use prost::Message as _;

use super::{super::chunks, *};
use crate::{
    grpc::v1::{AutoChunking, ChunkedDocument, EmbedChunksRequest},
    item::{self, Answer, Chunks, Document, EndpointParameters, Vector},
    pipeline::{ItemResult, Response, Source},
};

fn document(chunks: &[&str]) -> ChunkedDocument {
    ChunkedDocument { chunks: chunks.iter().map(|chunk| (*chunk).to_owned()).collect() }
}

fn documents(documents: &[&[&str]]) -> EmbedChunksRequest {
    let documents = documents.iter().map(|chunks| document(chunks)).collect();
    EmbedChunksRequest { documents, ..EmbedChunksRequest::default() }
}

/// A request that Voyage divides.
fn divided(chunk_size: i32, chunk_overlap: i32) -> EmbedChunksRequest {
    EmbedChunksRequest {
        input_type: 2,
        auto_chunking: Some(AutoChunking { chunk_size, chunk_overlap }),
        ..documents(&[&["a whole text"]])
    }
}

fn convert(request: EmbedChunksRequest) -> Result<(Request, chunks::ChunksShape), Error> {
    let terms = CallTerms { caller: Caller::anonymous(), deadline: Instant::now() };
    embed_chunks_request(request, &RequestModels::usual(), terms)
}

fn found(request: EmbedChunksRequest) -> Vec<(String, &'static str)> {
    let Err(Error::InvalidRequest(violations)) = convert(request) else { panic!("no violation") };
    violations.iter().map(|violation| (violation.field.clone(), violation.reason)).collect()
}

fn one(field: &str, reason: &'static str) -> Vec<(String, &'static str)> {
    vec![(field.to_owned(), reason)]
}

fn auto(request: EmbedChunksRequest) -> Option<item::AutoChunking> {
    let (request, _) = convert(request).unwrap();
    let EndpointParameters::Chunks(of) = &request.parameters.of else { panic!("no chunks") };
    of.auto_chunking
}

#[test]
fn only_documents_are_required() {
    let (request, _) = convert(documents(&[&["a", "b"], &["c"]])).unwrap();
    let expected =
        item::ChunkParameters { vector: item::VectorParameters::default(), auto_chunking: None };
    assert_eq!(
        *request.parameters,
        Parameters::new("voyage-context-4", EndpointParameters::Chunks(expected))
    );
    let of = |chunks: &[&str]| {
        Ok(Input::Chunks(Chunks::new(chunks.iter().map(|chunk| (*chunk).to_owned()).collect())))
    };
    assert_eq!(request.inputs, [of(&["a", "b"]), of(&["c"])]);
}

#[test]
fn a_bad_document_is_named() {
    assert_eq!(found(documents(&[])), one("documents", "EMPTY_LIST"));
    let empty = documents(&[&["a"], &[]]);
    assert_eq!(found(empty), one("documents[1].chunks", "EMPTY_LIST"));
    let blank = documents(&[&["a"], &["b", ""]]);
    assert_eq!(found(blank.clone()), one("documents[1].chunks[1]", "EMPTY_TEXT"));
    let query = EmbedChunksRequest { input_type: 1, ..documents(&[&["a", "b"]]) };
    assert_eq!(found(query), one("documents[0].chunks", "TOO_MANY_CHUNKS"));
    let many = |count| EmbedChunksRequest {
        documents: vec![ChunkedDocument { chunks: vec!["a".to_owned(); count] }],
        ..EmbedChunksRequest::default()
    };
    let sized = |request| EmbedChunksRequest {
        options: Some(RequestOptions { max_response_bytes: i32::MAX, ..RequestOptions::default() }),
        ..request
    };
    assert!(convert(sized(many(16_000))).is_ok());
    assert_eq!(found(sized(many(16_001))), one("documents[0].chunks", "TOO_MANY_CHUNKS"));
    assert_eq!(found(many(chunks::MAX_CHUNKS + 1)), one("documents", "TOO_MANY_CHUNKS"));

    let partial = RequestOptions { allow_partial: true, ..RequestOptions::default() };
    let (request, _) = convert(EmbedChunksRequest { options: Some(partial), ..blank }).unwrap();
    assert!(request.inputs[0].is_ok() && request.inputs[1].is_err());
}

#[test]
fn auto_chunking_is_checked() {
    let size = |size| one("auto_chunking.chunk_size", size);
    assert_eq!(found(divided(-1, 0)), size("OUT_OF_RANGE"));
    assert_eq!(found(divided(32_001, 0)), size("OUT_OF_RANGE"));
    for (chunk_size, chunk_overlap) in [(100, 100), (100, 101), (100, -1), (0, 512)] {
        let found = found(divided(chunk_size, chunk_overlap));
        assert_eq!(found, one("auto_chunking.chunk_overlap", "OUT_OF_RANGE"));
    }
    for input_type in [0, 1] {
        let request = EmbedChunksRequest { input_type, ..divided(0, 0) };
        assert_eq!(found(request), one("input_type", "DOCUMENT_REQUIRED"));
    }
    let two = EmbedChunksRequest { documents: vec![document(&["a", "b"])], ..divided(0, 0) };
    assert_eq!(found(two), one("documents[0].chunks", "TOO_MANY_CHUNKS"));
}

#[test]
fn the_default_chunk_size_has_one_form() {
    let default = item::AutoChunking { chunk_size: None, chunk_overlap: 7 };
    assert_eq!(auto(divided(0, 7)), Some(default));
    assert_eq!(auto(divided(512, 7)), Some(default));
    assert_eq!(auto(divided(511, 7)).unwrap().chunk_size, Some(511));
    assert_eq!(auto(documents(&[&["a"]])), None);
}

fn response(document: Document) -> Response {
    Response {
        items: vec![ItemResult {
            result: Ok(Answer::Document(Arc::new(document))),
            source: Source::Miss,
        }],
        usage: item::Usage::default(),
        estimated: false,
        calls: Vec::new(),
        upstream_time: std::time::Duration::ZERO,
    }
}

fn answer(vectors: usize, text: usize) -> Document {
    Document {
        vectors: vec![Vector::new(vec![0; 4096].into()); vectors],
        texts: (text > 0).then(|| vec!["x".repeat(text); vectors]),
        chunker_version: Some("1.0.0".into()),
    }
}

#[test]
fn the_reply_is_not_larger_than_predicted() {
    for count in [1, 7, 300] {
        let chunks = vec!["a"; count];
        let (request, shape) = convert(documents(&[&chunks])).unwrap();
        let reply = embed_chunks_response(response(answer(count, 0)), shape, "voyage-context-4");
        assert!(reply.encoded_len() <= request.reply_bytes);
        assert_eq!(shape.check_answers(&response(answer(count, 0))), Ok(0));
    }
    let chunks = vec!["a"; 2_000];
    assert!(matches!(convert(documents(&[&chunks])), Err(Error::ResponseTooLarge { .. })));
}

#[test]
fn what_voyage_divided_is_checked_after_the_call() {
    let (request, shape) = convert(divided(0, 0)).unwrap();
    let large = response(answer(100, 1_000));
    let more = shape.check_answers(&large).unwrap();
    let reply = embed_chunks_response(large, shape, "voyage-context-4");
    assert!(reply.encoded_len() <= request.reply_bytes + more);
    assert_eq!(reply.documents[0].chunks.len(), 100);
    assert_eq!(reply.chunker_version, "1.0.0");
    assert_eq!(reply.dimension, 1024);
    let too_large = shape.check_answers(&response(answer(2_000, 1)));
    assert!(matches!(too_large, Err(Error::ResponseTooLarge { .. })));
}
