//! Texts that are not well-formed UTF-8: refused by name, or repaired.

use std::io::Write as _;

use bytes::{BufMut as _, Bytes, BytesMut};
use flate2::{Compression, write::GzEncoder};
use prost::{
    Message as _,
    encoding::{WireType, encode_key, encode_varint},
};
use tonic::{Code, Status};
use voyage_gateway::{
    grpc::v1::{CacheStatus, CountTokensResponse, EmbedChunksResponse, RerankResponse},
    units::Size,
};

use crate::{
    raw::{Connection, EMBED, framed},
    support::{
        Gateway, assert_vectors, details, eventually, fields, metadata, reason, sample, statuses,
        texts,
    },
};

/// Bytes of a text, and the text after its repair.
const BROKEN: &[u8] = b"caf\xe9 \xf0\x9f\xa6";
const REPAIRED: &str = "caf\u{fffd} \u{fffd}";

/// `options.invalid_text`: refuse, and replace.
const REFUSE: &[u8] = b"\x7a\x02\x30\x01";
const REPLACE: &[u8] = b"\x7a\x02\x30\x02";

/// Encodes a string or a message of any bytes.
fn field(number: u32, content: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    encode_key(number, WireType::LengthDelimited, &mut out);
    encode_varint(content.len() as u64, &mut out);
    out.extend_from_slice(content);
    out
}

/// Sends a message to a method; returns the message of the reply.
async fn call(connection: &Connection, method: &str, message: &[u8]) -> Result<Bytes, Status> {
    let path = format!("/voyage.gateway.v1.{method}");
    let headers = [("content-type", "application/grpc"), ("te", "trailers")];
    let reply = connection.clone().send(&path, &headers, framed(message)).await;
    let status = reply.grpc_status();
    if status.code() == Code::Ok { Ok(reply.body().slice(5..)) } else { Err(status) }
}

#[tokio::test]
async fn an_invalid_text_is_refused_by_its_name() {
    let gateway = Gateway::start().await;
    let connection = Connection::open(gateway.grpc()).await;
    let document = field(1, &[field(1, b"fine"), field(1, BROKEN)].concat());
    let image = field(1, &field(3, &field(1, BROKEN)));
    let content = field(1, &[image, field(1, &field(1, BROKEN))].concat());
    for (method, message, field) in [
        ("EmbeddingService/Embed", [field(1, b"fine"), field(1, BROKEN)].concat(), "inputs[1]"),
        ("EmbeddingService/Embed", [field(1, BROKEN), REFUSE.to_vec()].concat(), "inputs[0]"),
        ("EmbeddingService/EmbedChunks", document.repeat(2), "documents[0].chunks[1]"),
        ("EmbeddingService/EmbedMultimodal", content, "inputs[0].content[1].text"),
        ("RerankService/Rerank", [field(1, BROKEN), field(2, b"fine")].concat(), "query"),
        ("TokenService/CountTokens", field(1, BROKEN), "inputs[0]"),
    ] {
        let status = call(&connection, method, &message).await.unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument, "{method}");
        assert_eq!(reason(&status), "INVALID_REQUEST");
        assert_eq!(fields(&status)[0], field, "{method}");
        let details = details(&status);
        let violation = &details.bad_request().unwrap().field_violations[0];
        assert_eq!(violation.reason, "INVALID_UTF8");
        assert!(violation.description.contains("INVALID_TEXT_REPLACE"), "{violation:?}");
    }
    assert!(gateway.simulator().calls().is_empty());
}

#[tokio::test]
async fn a_repaired_text_is_what_is_sent_and_cached() {
    let gateway = Gateway::start().await;
    let connection = Connection::open(gateway.grpc()).await;
    let message = [REPLACE, &field(1, b"fine"), &field(1, BROKEN)].concat();
    let reply = connection.call(&[], framed(&message)).await.unwrap();
    assert_vectors(&reply, &["fine", REPAIRED]);
    assert_eq!(gateway.simulator().calls()[0].inputs, ["fine", REPAIRED]);
    // A client that sends the same as UTF-8 finds it.
    let reply = gateway.embed(texts(&[REPAIRED])).await.unwrap().into_inner();
    assert_eq!(statuses(&reply), [CacheStatus::Hit]);
    // The repair is part of its RPC.
    let embeds = [("rpc_method", "voyage.gateway.v1.EmbeddingService/Embed")];
    let counted = async || sample(&gateway.metrics().await, "voyage_gateway_rpcs_total", &embeds);
    eventually(async || counted().await == 2).await;
}

#[tokio::test]
async fn texts_of_every_rpc_are_repaired() {
    let gateway = Gateway::start().await;
    let connection = Connection::open(gateway.grpc()).await;
    let document = field(1, &[field(1, BROKEN), field(1, b"fine")].concat());
    let message = [&document, REPLACE].concat();
    let reply = call(&connection, "EmbeddingService/EmbedChunks", &message).await.unwrap();
    let reply = EmbedChunksResponse::decode(reply).unwrap();
    assert_eq!(reply.documents[0].embeddings.len(), 2);

    let message = [field(1, BROKEN), field(2, BROKEN), b"\x28\x01".to_vec(), REPLACE.to_vec()];
    let reply = call(&connection, "RerankService/Rerank", &message.concat()).await.unwrap();
    assert_eq!(RerankResponse::decode(reply).unwrap().results[0].document, REPAIRED);

    let message = [&field(1, BROKEN), REPLACE].concat();
    let reply = call(&connection, "TokenService/CountTokens", &message).await.unwrap();
    assert!(CountTokensResponse::decode(reply).unwrap().total_tokens > 0);

    let message = [&field(1, &field(1, &field(1, BROKEN))), REPLACE].concat();
    call(&connection, "EmbeddingService/EmbedMultimodal", &message).await.unwrap();
    let sent: Vec<_> = gateway.simulator().calls().into_iter().map(|call| call.inputs).collect();
    assert_eq!(sent.len(), 3);
    assert!(sent.iter().all(|inputs| inputs.concat().contains(REPAIRED)), "{sent:?}");
}

#[tokio::test]
async fn a_compressed_message_is_repaired_too() {
    let gateway = Gateway::start().await;
    let connection = Connection::open(gateway.grpc()).await;
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(&[&field(1, BROKEN), REPLACE].concat()).unwrap();
    let compressed = encoder.finish().unwrap();
    let mut frame = BytesMut::new();
    frame.put_u8(1);
    frame.put_u32(u32::try_from(compressed.len()).unwrap());
    frame.put_slice(&compressed);
    let headers = [("grpc-encoding", "gzip")];
    let reply = connection.call(&headers, frame.freeze()).await.unwrap();
    assert_vectors(&reply, &[REPAIRED]);
}

#[tokio::test]
async fn a_large_message_is_repaired() {
    let gateway = Gateway::start().await;
    let connection = Connection::open(gateway.grpc()).await;
    let broken: Vec<Vec<u8>> =
        (0..500).map(|number| [format!("{number} ").as_bytes(), BROKEN].concat()).collect();
    let padding = field(1, &[b"x".repeat(300_000).as_slice(), BROKEN].concat());
    let inputs = broken.iter().map(|text| field(1, text)).collect::<Vec<_>>().concat();
    let reply = connection.call(&[], framed(&[&inputs, &padding, REPLACE].concat())).await.unwrap();
    assert_eq!(reply.embeddings.len(), 501);
    let repaired: Vec<_> = (0..500).map(|number| format!("{number} {REPAIRED}")).collect();
    let reply = gateway.embed(texts(&repaired)).await.unwrap().into_inner();
    assert!(statuses(&reply).iter().all(|status| *status == CacheStatus::Hit));
}

#[tokio::test]
async fn a_repaired_message_stays_within_the_limit() {
    let gateway =
        Gateway::with(|config, _| config.server.max_request_bytes = Size::from_kib(4)).await;
    let connection = Connection::open(gateway.grpc()).await;
    let of = |bytes: usize| framed(&[&field(1, &b"\xff".repeat(bytes)), REPLACE].concat());
    let reply = connection.clone().call(&[], of(1_300)).await.unwrap();
    assert_vectors(&reply, &["\u{fffd}".repeat(1_300)]);
    let status = connection.call(&[], of(1_400)).await.unwrap_err();
    assert_eq!((status.code(), &*reason(&status)), (Code::ResourceExhausted, "REQUEST_TOO_LARGE"));
    assert_eq!(metadata(&status, "maxRequestBytes").as_deref(), Some("4096"));
    assert_eq!(gateway.simulator().calls().len(), 1);
}

#[tokio::test]
async fn a_repaired_message_may_still_be_wrong() {
    let gateway = Gateway::start().await;
    let connection = Connection::open(gateway.grpc()).await;
    for (message, field) in [
        // The model, an empty text, a field of another type.
        ([field(2, BROKEN), field(1, b"fine")].concat(), "model"),
        ([field(1, BROKEN), field(1, b"")].concat(), "inputs[1]"),
        ([field(1, BROKEN), b"\x08\x01".to_vec()].concat(), "request"),
        ([field(1, BROKEN), b"\x0a\x20abc".to_vec()].concat(), "request"),
    ] {
        let message = [REPLACE, &message].concat();
        let status = call(&connection, EMBED.trim_start_matches("/voyage.gateway.v1."), &message);
        let status = status.await.unwrap_err();
        assert_eq!(
            (status.code(), fields(&status)),
            (Code::InvalidArgument, vec![field.to_owned()])
        );
    }
    assert!(gateway.simulator().calls().is_empty());
}
