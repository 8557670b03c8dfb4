//! A full replica: refused and served calls.

use tonic::Code;
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};
use tonic_reflection::pb::v1::{
    ServerReflectionRequest, server_reflection_client::ServerReflectionClient,
    server_reflection_request::MessageRequest,
};
use voyage_gateway::{
    grpc::v1::{EmbedRequest, ListModelsRequest, Priority, RequestOptions},
    units::Size,
};

use super::{IN_FLIGHT, SHED};
use crate::support::{
    Gateway, assert_vectors, details, eventually, numbered, reason, texts, with_options,
};

fn with_priority(request: EmbedRequest, priority: Priority) -> EmbedRequest {
    let options = RequestOptions { priority: priority as i32, ..RequestOptions::default() };
    with_options(request, options)
}

async fn assert_refused(gateway: &Gateway, request: EmbedRequest) {
    let status = gateway.embed(request).await.err().unwrap();
    assert_eq!((status.code(), reason(&status).as_str()), (Code::Unavailable, "OVERLOADED"));
    let delay = details(&status).retry_info().unwrap().retry_delay.unwrap();
    let pushback = status.metadata().get("grpc-retry-pushback-ms").unwrap();
    assert_eq!(pushback.to_str().unwrap(), delay.as_millis().to_string());
}

#[tokio::test]
async fn a_full_replica_refuses_at_once_finishes_what_it_has_and_answers_probes() {
    const ROOM: usize = 10;
    let gateway = Gateway::holding(|config, _| config.admission.max_in_flight = 10).await;
    let inputs = numbered(0..ROOM);
    let mut held = Vec::new();
    for input in &inputs {
        held.push(gateway.spawn(texts(&[input])).await);
        gateway.until_in_flight(held.len() as u64).await;
    }
    // As many again, each of them while all the others wait.
    for excess in numbered(ROOM..2 * ROOM) {
        assert_refused(&gateway, texts(&[excess])).await;
    }
    assert_eq!(gateway.counts(SHED).await, ROOM as u64);
    assert_eq!(gateway.counts(IN_FLIGHT).await, ROOM as u64);

    let channel = gateway.channel().await;
    let question = HealthCheckRequest { service: String::new() };
    let health = HealthClient::new(channel.clone()).check(question).await.unwrap();
    assert_eq!(health.into_inner().status, 1);
    let question = ServerReflectionRequest {
        host: String::new(),
        message_request: Some(MessageRequest::ListServices(String::new())),
    };
    let question = futures_util::stream::iter([question]);
    let services = ServerReflectionClient::new(channel).server_reflection_info(question).await;
    assert!(services.unwrap().into_inner().message().await.unwrap().is_some());
    // Calls that cost nothing are answered too.
    gateway.models().await.list_models(ListModelsRequest::default()).await.unwrap();

    gateway.release();
    for (held, input) in held.into_iter().zip(&inputs) {
        assert_vectors(held.await.unwrap().unwrap().get_ref(), &[input]);
    }
    eventually(async || gateway.counts(IN_FLIGHT).await == 0).await;
    assert!(gateway.embed(texts(&["there is room again"])).await.is_ok());
    let sent: usize = gateway.sent().iter().map(Vec::len).sum();
    assert_eq!(sent, ROOM + 1);
}

#[tokio::test]
async fn batch_requests_leave_a_fifth_of_the_places_to_interactive_ones() {
    let gateway = Gateway::holding(|config, _| config.admission.max_in_flight = 10).await;
    let mut held = Vec::new();
    for input in numbered(0..8) {
        held.push(gateway.spawn(with_priority(texts(&[input]), Priority::Batch)).await);
        gateway.until_in_flight(held.len() as u64).await;
    }
    assert_refused(&gateway, with_priority(texts(&["more"]), Priority::Batch)).await;
    for input in ["first who waits", "second who waits"] {
        held.push(gateway.spawn(with_priority(texts(&[input]), Priority::Interactive)).await);
        gateway.until_in_flight(held.len() as u64).await;
    }
    assert_refused(&gateway, texts(&["third who waits"])).await;
    gateway.release();
    for held in held {
        assert!(held.await.unwrap().is_ok());
    }
}

#[tokio::test]
async fn batch_requests_leave_a_fifth_of_the_bytes_to_interactive_ones() {
    let gateway =
        Gateway::holding(|config, _| config.admission.max_bytes = Size::from_kib(100)).await;
    let large = |letter: &str| texts(&[letter.repeat(60_000)]);
    let held = gateway.spawn(with_priority(large("a"), Priority::Batch)).await;
    gateway.until_in_flight(1).await;
    // 65 KB are taken; with 20 KB more it would be 83 % of the room.
    let further = |letter: &str| texts(&[letter.repeat(15_000)]);
    assert_refused(&gateway, with_priority(further("b"), Priority::Batch)).await;
    let interactive = gateway.spawn(with_priority(further("b"), Priority::Interactive)).await;
    gateway.until_in_flight(2).await;
    gateway.release();
    assert!(held.await.unwrap().is_ok());
    assert!(interactive.await.unwrap().is_ok());
}
