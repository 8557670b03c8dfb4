//! Metadata: ids, and the sources of answers.

use tonic::{
    Request, Response,
    metadata::{Ascii, MetadataMap, MetadataValue},
};
use voyage_gateway::{
    grpc::v1::{CacheMode, EmbedRequest},
    simulator::Fault,
};

use crate::support::{Gateway, details, in_mode, numbered, texts};

fn header<'a>(metadata: &'a MetadataMap, name: &str) -> Option<&'a str> {
    metadata.get(name).map(|value| value.to_str().expect("visible ASCII"))
}

async fn embed_as(gateway: &Gateway, id: MetadataValue<Ascii>) -> Response<impl Sized> {
    let mut request = Request::new(texts(&["a text"]));
    request.metadata_mut().insert("x-request-id", id);
    gateway.client().await.embed(request).await.unwrap()
}

#[tokio::test]
async fn a_request_id_is_made_when_there_is_none() {
    let gateway = Gateway::start().await;
    let mut ids = Vec::new();
    for _ in 0..2 {
        let reply = gateway.embed(texts(&["a text"])).await.unwrap();
        ids.push(header(reply.metadata(), "x-request-id").unwrap().to_owned());
    }
    assert!(ids.iter().all(|id| id.len() == 32 && id.bytes().all(|b| b.is_ascii_hexdigit())));
    assert_ne!(ids[0], ids[1]);
}

#[tokio::test]
async fn the_callers_request_id_comes_back() {
    let gateway = Gateway::start().await;
    for id in ["x", "order-4711/retry=2", &"i".repeat(128)] {
        let reply = embed_as(&gateway, id.parse().unwrap()).await;
        assert_eq!(header(reply.metadata(), "x-request-id"), Some(id));
    }
}

#[tokio::test]
async fn a_bad_request_id_is_replaced() {
    let gateway = Gateway::start().await;
    let too_long = "i".repeat(129);
    for id in [b"".as_slice(), b"two words", b"caf\xc3\xa9", too_long.as_bytes()] {
        let reply = embed_as(&gateway, MetadataValue::try_from(id).unwrap()).await;
        let made = header(reply.metadata(), "x-request-id").unwrap();
        assert!(made.len() == 32 && made.bytes().all(|b| b.is_ascii_hexdigit()));
    }
}

#[tokio::test]
async fn errors_carry_the_request_id_in_metadata_and_details() {
    let gateway = Gateway::start().await;
    let mut request = Request::new(EmbedRequest::default());
    request.metadata_mut().insert("x-request-id", "mine".parse().unwrap());
    let status = gateway.client().await.embed(request).await.err().unwrap();
    assert_eq!(header(status.metadata(), "x-request-id"), Some("mine"));
    assert_eq!(details(&status).request_info().unwrap().request_id, "mine");
}

#[tokio::test]
async fn replies_say_what_model_was_used_and_where_answers_came_from() {
    let gateway = Gateway::start().await;
    gateway.embed(texts(&["a"])).await.unwrap();
    let reply = gateway.embed(texts(&["a", "b", "b", "c"])).await.unwrap();
    assert_eq!(header(reply.metadata(), "x-model"), Some("voyage-4"));
    assert_eq!(header(reply.metadata(), "x-cache"), Some("hit=1,miss=2,coalesced=1"));

    let reply = gateway.embed(in_mode(texts(&["a", "b"]), CacheMode::Bypass)).await.unwrap();
    assert_eq!(header(reply.metadata(), "x-cache"), Some("hit=0,miss=2,coalesced=0"));
    let cache = reply.into_inner().cache.unwrap();
    assert_eq!((cache.hits, cache.misses, cache.coalesced), (0, 2, 0));
}

#[tokio::test]
async fn voyages_request_id_is_returned_after_exactly_one_call() {
    const NAME: &str = "x-voyage-request-id";
    let gateway = Gateway::start().await;
    let one = gateway.embed(texts(&["a"])).await.unwrap();
    assert_eq!(header(one.metadata(), NAME), Some("simulated-1"));

    let none = gateway.embed(texts(&["a"])).await.unwrap();
    assert_eq!(header(none.metadata(), NAME), None);

    let inputs = numbered(0..1_001);
    let request = EmbedRequest { output_dimension: 256, ..texts(&inputs) };
    let two = gateway.embed(request).await.unwrap();
    assert_eq!(header(two.metadata(), NAME), None);

    // Refused, taken apart and sent again: more than one call as well.
    gateway.simulator().script().next_calls(1, Fault::status(413));
    let split = gateway.embed(texts(&["x", "y"])).await.unwrap();
    assert_eq!(header(split.metadata(), NAME), None);
    assert_eq!(split.into_inner().usage.unwrap().upstream_requests, 3);
}

#[tokio::test]
async fn voyages_warnings_are_passed_on() {
    let gateway = Gateway::with(|_, simulator| {
        simulator.rpm = Some(3);
        simulator.tpm = Some(10_000);
    })
    .await;
    let reply = gateway.embed(texts(&["a"])).await.unwrap();
    let warning = header(reply.metadata(), "x-api-warning").unwrap();
    assert!(warning.contains("payment method"));
    let cached = gateway.embed(texts(&["a"])).await.unwrap();
    assert_eq!(header(cached.metadata(), "x-api-warning"), None);
}
