//! Refusals by size: replies beyond a client's limit, requests beyond a replica's.

use tonic::Code;
use voyage_gateway::{
    grpc::v1::{EmbedRequest, OutputDtype, RequestOptions, VectorEncoding},
    units::Size,
};

use crate::support::{
    Gateway, assert_vectors, details, eventually, metadata, numbered, reason, sample, texts,
    with_options,
};

/// Requests 2048 numbers a text, so that the reply to 1,000 texts exceeds the limit of clients.
fn wide(count: usize) -> EmbedRequest {
    EmbedRequest { output_dimension: 2048, ..texts(&numbered(0..count)) }
}

#[tokio::test]
async fn a_reply_that_no_client_takes_is_refused_before_it_costs_anything() {
    let gateway = Gateway::start().await;
    let status = gateway.embed(wide(1_000)).await.err().unwrap();
    assert_eq!(status.code(), Code::InvalidArgument);
    assert_eq!(reason(&status), "RESPONSE_TOO_LARGE");
    assert_eq!(details(&status).error_info().unwrap().domain, "voyage-gateway");
    assert_eq!(metadata(&status, "maxResponseBytes").as_deref(), Some("4194304"));
    let number = |name| metadata(&status, name).unwrap().parse::<usize>().unwrap();
    assert_eq!(number("predictedBytes"), 1_000 * (2048 * 4 + 16) + 256);
    assert_eq!(gateway.simulator().calls().len(), 0);

    // A stock client takes as many as `maxInputs`, and one more is refused.
    let most = number("maxInputs");
    assert!(gateway.embed(wide(most + 1)).await.is_err());
    let stock = gateway.channel().await;
    let mut stock =
        voyage_gateway::grpc::v1::embedding_service_client::EmbeddingServiceClient::new(stock);
    let reply = stock.embed(wide(most)).await.unwrap().into_inner();
    assert_eq!(reply.embeddings.len(), most);
}

#[tokio::test]
async fn max_response_bytes_raises_the_limit() {
    let gateway = Gateway::start().await;
    let limited = |bytes| {
        let options = RequestOptions { max_response_bytes: bytes, ..RequestOptions::default() };
        gateway.embed(with_options(wide(1_000), options))
    };
    assert_eq!(limited(16 << 20).await.unwrap().into_inner().embeddings.len(), 1_000);
    let status = limited(8_000_000).await.err().unwrap();
    assert_eq!(metadata(&status, "maxResponseBytes").as_deref(), Some("8000000"));
}

#[tokio::test]
async fn the_prediction_knows_dtypes_and_encodings() {
    use VectorEncoding::{Bytes, Values};
    let gateway = Gateway::start().await;
    let predicted = async |dtype: OutputDtype, encoding: VectorEncoding| {
        let request = EmbedRequest {
            output_dtype: dtype as i32,
            vector_encoding: encoding as i32,
            options: Some(RequestOptions { max_response_bytes: 1, ..RequestOptions::default() }),
            ..texts(&["a text"])
        };
        let status = gateway.embed(request).await.err().unwrap();
        metadata(&status, "predictedBytes").unwrap().parse::<usize>().unwrap() - 256 - 16
    };
    assert_eq!(predicted(OutputDtype::Float, Values).await, 4096);
    assert_eq!(predicted(OutputDtype::Float, Bytes).await, 4096);
    assert_eq!(predicted(OutputDtype::Int8, Bytes).await, 1024);
    assert_eq!(predicted(OutputDtype::Int8, Values).await, 2048);
    assert_eq!(predicted(OutputDtype::Ubinary, Bytes).await, 128);
    assert_eq!(predicted(OutputDtype::Ubinary, Values).await, 256);
}

#[tokio::test]
async fn a_full_replica_sends_callers_elsewhere() {
    let gateway = Gateway::holding(|config, _| config.admission.max_in_flight = 1).await;
    let first = gateway.spawn(texts(&["first"])).await;
    gateway.until_calls(1).await;

    let status = gateway.embed(texts(&["second"])).await.err().unwrap();
    assert_eq!((status.code(), reason(&status).as_str()), (Code::Unavailable, "OVERLOADED"));
    let details = details(&status);
    assert_eq!(details.error_info().unwrap().domain, "voyage-gateway");
    let delay = details.retry_info().unwrap().retry_delay.unwrap();
    let pushback = status.metadata().get("grpc-retry-pushback-ms").unwrap();
    assert_eq!(pushback.to_str().unwrap(), delay.as_millis().to_string());
    assert_eq!(sample(&gateway.metrics().await, "voyage_gateway_shed_total", &[]), 1);

    // The permit is free as soon as its caller leaves, although the upstream call goes on.
    first.abort();
    gateway.until_in_flight(0).await;
    let third = gateway.spawn(texts(&["third"])).await;
    gateway.until_calls(2).await;
    gateway.release();
    assert_vectors(third.await.unwrap().unwrap().get_ref(), &["third"]);
    assert_eq!(gateway.sent(), [["first"], ["third"]]);
}

#[tokio::test]
async fn bytes_in_flight_are_bounded_too() {
    let gateway =
        Gateway::holding(|config, _| config.admission.max_bytes = Size::from_kib(20)).await;
    let first = gateway.spawn(texts(&["x".repeat(8_000)])).await;
    gateway.until_calls(1).await;
    let status = gateway.embed(texts(&["y".repeat(8_000)])).await.err().unwrap();
    assert_eq!((status.code(), reason(&status).as_str()), (Code::Unavailable, "OVERLOADED"));
    let small = gateway.spawn(texts(&["z"])).await;
    gateway.until_in_flight(2).await;
    gateway.release();
    assert!(first.await.unwrap().is_ok());
    assert!(small.await.unwrap().is_ok());
    eventually(async || gateway.embed(texts(&["y".repeat(8_000)])).await.is_ok()).await;
}
