//! `EmbedChunks` over real gRPC: documents are cached, joined, split and refused as a whole.

use tonic::{Code, Response, Status};
use voyage_gateway::{
    grpc::v1::{
        AutoChunking, CacheStatus, ChunkedDocument, EmbedChunksRequest, EmbedChunksResponse,
        InputType, OutputDtype, RequestOptions, VectorEncoding,
    },
    simulator::Fault,
};

use crate::support::{Gateway, fields, reason};

impl Gateway {
    async fn chunks(&self, request: EmbedChunksRequest) -> Result<EmbedChunksResponse, Status> {
        self.client().await.embed_chunks(request).await.map(Response::into_inner)
    }
}

fn documents(documents: &[&[&str]]) -> EmbedChunksRequest {
    let document = |chunks: &&[&str]| ChunkedDocument {
        chunks: chunks.iter().map(|chunk| (*chunk).to_owned()).collect(),
    };
    EmbedChunksRequest {
        documents: documents.iter().map(document).collect(),
        ..EmbedChunksRequest::default()
    }
}

fn divided(texts: &[&str]) -> EmbedChunksRequest {
    let texts: Vec<_> = texts.iter().map(std::slice::from_ref).collect();
    EmbedChunksRequest {
        input_type: InputType::Document.into(),
        auto_chunking: Some(AutoChunking { chunk_size: 8, chunk_overlap: 2 }),
        ..documents(&texts)
    }
}

fn statuses(reply: &EmbedChunksResponse) -> Vec<Vec<CacheStatus>> {
    let document = |document: &voyage_gateway::grpc::v1::DocumentEmbeddings| {
        document
            .embeddings
            .iter()
            .map(voyage_gateway::grpc::wire::Embedding::cache_status)
            .collect()
    };
    reply.documents.iter().map(document).collect()
}

#[tokio::test]
async fn a_document_is_cached_as_a_whole() {
    let gateway = Gateway::start().await;
    let first = gateway.chunks(documents(&[&["a", "b"], &["a", "c"]])).await.unwrap();
    assert_eq!((first.model.as_str(), first.dimension), ("voyage-context-4", 1024));
    assert!(first.documents[0].embeddings[0].values != first.documents[1].embeddings[0].values);
    assert_eq!(first.usage.unwrap().total_tokens, 4);

    let again = gateway.chunks(documents(&[&["a", "c"], &["b", "a"], &["a", "b"]])).await.unwrap();
    let (hit, miss) = (vec![CacheStatus::Hit; 2], vec![CacheStatus::Miss; 2]);
    assert_eq!(statuses(&again), [hit.clone(), miss, hit]);
    let values = |reply: &EmbedChunksResponse, document: usize| -> Vec<_> {
        let embeddings = &reply.documents[document].embeddings;
        embeddings.iter().map(|embedding| embedding.values.clone()).collect()
    };
    assert!(values(&again, 0) == values(&first, 1) && values(&again, 2) == values(&first, 0));
    let calls = gateway.simulator().calls();
    assert_eq!(calls.len(), 2);
    assert_eq!(calls[1].body["inputs"], serde_json::json!([["b", "a"]]));
    assert_eq!(calls[1].path, "/v1/contextualizedembeddings");
    let cache = again.cache.unwrap();
    assert_eq!((cache.hits, cache.misses), (2, 1));
}

#[tokio::test]
async fn every_dtype_and_encoding_arrives() {
    let gateway = Gateway::start().await;
    for dtype in 1..=5 {
        for encoding in [VectorEncoding::Values, VectorEncoding::Bytes] {
            let request = EmbedChunksRequest {
                output_dtype: dtype,
                output_dimension: 256,
                vector_encoding: encoding.into(),
                ..documents(&[&["one", "two"]])
            };
            let reply = gateway.chunks(request).await.unwrap();
            assert_eq!((reply.output_dtype, reply.dimension), (dtype, 256));
            for embedding in &reply.documents[0].embeddings {
                let bytes = embedding.values.len() + embedding.data.len();
                let numbers = embedding.int_values.len();
                let expected = match OutputDtype::try_from(dtype).unwrap() {
                    OutputDtype::Float => 1024,
                    OutputDtype::Int8 | OutputDtype::Uint8 => 256,
                    _ => 32,
                };
                assert_eq!(bytes + numbers, expected, "{dtype} {encoding:?}");
                assert_eq!(numbers > 0, encoding == VectorEncoding::Values && dtype > 1);
            }
        }
    }
}

#[tokio::test]
async fn voyage_divides_a_document_and_its_texts_are_cached_with_it() {
    let gateway = Gateway::start().await;
    let text = "one two three four five six seven eight nine ten eleven twelve";
    for expected in [CacheStatus::Miss, CacheStatus::Hit] {
        let reply = gateway.chunks(divided(&[text, "short"])).await.unwrap();
        let [long, short] = reply.documents.as_slice() else { panic!("two documents") };
        assert!(long.chunks.len() > 1);
        assert_eq!(long.chunks.len(), long.embeddings.len());
        assert!(long.chunks[0].starts_with("one two") && long.chunks[1].contains("twelve"));
        assert_eq!(short.chunks, ["short"]);
        assert_eq!(reply.chunker_version, "1.0.0");
        assert_eq!(short.embeddings[0].cache_status(), expected);
    }
    let calls = gateway.simulator().calls();
    assert_eq!(calls.len(), 1);
    assert_eq!(calls[0].body["chunk_size"], 8);
    assert_eq!(calls[0].body["chunk_overlap"], 2);
}

#[tokio::test]
async fn a_document_that_is_too_long_fails_alone_and_is_named() {
    let gateway = Gateway::start().await;
    let long = "word ".repeat(40_000);
    let mut request = documents(&[&["a"], &[&long], &["b", "c"]]);
    let status = gateway.chunks(request.clone()).await.unwrap_err();
    assert_eq!(
        (status.code(), reason(&status).as_str()),
        (Code::InvalidArgument, "INPUT_TOO_LONG")
    );
    assert_eq!(fields(&status), ["documents[1]"]);
    assert!(status.message().contains("auto_chunking"), "{}", status.message());

    request.options = Some(RequestOptions { allow_partial: true, ..RequestOptions::default() });
    let reply = gateway.chunks(request).await.unwrap();
    let indices: Vec<_> = reply.documents.iter().map(|document| document.index).collect();
    assert_eq!(indices, [0, 2]);
    assert_eq!((reply.errors[0].index, reply.errors[0].reason.as_str()), (1, "INPUT_TOO_LONG"));
}

/// Whether an index counts documents or chunks is not known, so a short document is not believed to be too long.
#[tokio::test]
async fn a_misnamed_document_gets_its_vectors() {
    let gateway = Gateway::start().await;
    gateway.simulator().script().next_calls(1, Fault::TooLong);
    let reply = gateway.chunks(documents(&[&["a", "b"], &["c"]])).await.unwrap();
    assert_eq!(reply.documents.len(), 2);
    assert_eq!(gateway.simulator().calls().len(), 3, "one call, and its halves");
}

#[tokio::test]
async fn many_documents_are_split_by_voyages_bounds() {
    let gateway = Gateway::start().await;
    let large = vec!["w"; 9_000];
    let request = EmbedChunksRequest {
        options: Some(RequestOptions { max_response_bytes: i32::MAX, ..RequestOptions::default() }),
        output_dimension: 256,
        output_dtype: OutputDtype::Ubinary.into(),
        ..documents(&[&large, &large[1..], &["a"]])
    };
    let reply = gateway.chunks(request).await.unwrap();
    let counts: Vec<_> = reply.documents.iter().map(|document| document.embeddings.len()).collect();
    assert_eq!(counts, [9_000, 8_999, 1]);
    for call in gateway.simulator().calls() {
        assert_eq!(call.status, Some(200), "no call exceeds 16,000 chunks");
    }
}

#[tokio::test]
async fn faulty_replies_fail_or_are_repeated() {
    for (fault, expected) in [
        (Fault::WrongCount(1), "UPSTREAM_BAD_RESPONSE"),
        (Fault::DuplicateIndex, "UPSTREAM_BAD_RESPONSE"),
        (Fault::NotANumber, "UPSTREAM_BAD_RESPONSE"),
        (Fault::status(403), "UPSTREAM_FORBIDDEN"),
    ] {
        let gateway = Gateway::start().await;
        gateway.simulator().script().always(fault.clone());
        let status = gateway.chunks(documents(&[&["a", "b"], &["c", "d"]])).await.unwrap_err();
        assert_eq!(reason(&status), expected, "{fault:?}");
    }
    let gateway = Gateway::start().await;
    gateway.simulator().script().next_calls(1, Fault::status(503));
    let reply = gateway.chunks(documents(&[&["a", "b"]])).await.unwrap();
    assert_eq!(reply.usage.unwrap().upstream_requests, 2);
}

#[tokio::test]
async fn bad_requests_are_refused_before_anything_is_sent() {
    let gateway = Gateway::start().await;
    let auto = |auto_chunking, input_type: InputType| EmbedChunksRequest {
        auto_chunking: Some(auto_chunking),
        input_type: input_type.into(),
        ..documents(&[&["a"]])
    };
    let overlap = AutoChunking { chunk_size: 10, chunk_overlap: 10 };
    let many = vec!["a"; 16_001];
    for (request, field) in [
        (documents(&[]), "documents"),
        (documents(&[&["a"], &[]]), "documents[1].chunks"),
        (documents(&[&many]), "documents[0].chunks"),
        (auto(overlap, InputType::Document), "auto_chunking.chunk_overlap"),
        (auto(AutoChunking::default(), InputType::Query), "input_type"),
    ] {
        let status = gateway.chunks(request).await.unwrap_err();
        assert_eq!(fields(&status), [field]);
    }
    assert!(gateway.simulator().calls().is_empty());
}
