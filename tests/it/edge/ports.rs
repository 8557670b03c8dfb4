//! The gateway's own ports under the settings that bound connections.

use std::time::Duration;

use prost::Message as _;
use tokio::net::TcpStream;
use voyage_gateway::units::TimeSpan;

use super::frames::{
    ANY_STREAM, DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, NO_ERROR, Peer, SETTINGS, put,
    request_headers,
};
use crate::{
    raw::{Connection, EMBED, framed},
    support::{Gateway, assert_vectors, eventually, pass, sample, texts},
};

async fn open(gateway: &Gateway, port: &str) -> u64 {
    sample(&gateway.metrics().await, "voyage_gateway_connections", &[("port", port)])
}

#[tokio::test]
async fn connections_beyond_the_limit_wait() {
    let gateway = Gateway::with(|config, _| config.server.max_connections = 2).await;
    let first = Connection::open(gateway.grpc()).await;
    first.clone().embed(&[], &texts(&["first"])).await.unwrap();
    let second = Connection::open(gateway.grpc()).await;
    eventually(async || open(&gateway, "grpc").await == 2).await;

    // The system takes its connection and its bytes; the gateway does not.
    let mut third = Peer::polite(TcpStream::connect(gateway.grpc()).await.unwrap()).await;
    third.request(1, EMBED, &framed(&texts(&["third"]).encode_to_vec())).await;
    first.clone().embed(&[], &texts(&["second"])).await.unwrap();
    assert_eq!(open(&gateway, "grpc").await, 2);
    assert_eq!(gateway.sent(), [["first"], ["second"]]);
    // Probes are not callers.
    assert_eq!(gateway.page("GET", "/livez").await.0, 200);
    assert_eq!(gateway.page("GET", "/readyz").await.0, 200);

    drop(second);
    third.until(|frame| frame.kind == SETTINGS).await;
    third.until(|frame| frame.ends(1)).await;
    assert_eq!(open(&gateway, "grpc").await, 2);
    let limit = [("port", "grpc")];
    assert_eq!(sample(&gateway.metrics().await, "voyage_gateway_max_connections", &limit), 2);
}

#[tokio::test]
async fn the_admin_port_has_a_limit_of_its_own() {
    let gateway = Gateway::start().await;
    let mut silent = Vec::new();
    for _ in 0..200 {
        silent.push(TcpStream::connect(gateway.admin()).await.unwrap());
    }
    // Callers are not probes.
    let reply = gateway.embed(texts(&["a text"])).await.unwrap();
    assert_vectors(reply.get_ref(), &["a text"]);
    drop(silent);
    let metrics = gateway.metrics().await;
    let limit = sample(&metrics, "voyage_gateway_max_connections", &[("port", "admin")]);
    assert_eq!(limit, 64);
    eventually(async || open(&gateway, "admin").await == 1).await;
}

#[tokio::test]
async fn an_aged_connection_gets_goaway_and_its_call_finishes() {
    let gateway = Gateway::holding(|config, _| {
        config.server.connection_age = TimeSpan::from_millis(50);
        config.server.connection_age_grace = TimeSpan::from_secs(600);
    })
    .await;
    let mut peer = Peer::polite(TcpStream::connect(gateway.grpc()).await.unwrap()).await;
    peer.request(1, EMBED, &framed(&texts(&["in flight"]).encode_to_vec())).await;
    gateway.until_calls(1).await;
    let reported = peer.until(|frame| frame.kind == GOAWAY).await;
    assert_eq!(reported.goaway(), Some((ANY_STREAM, NO_ERROR)));
    let reported = peer.until(|frame| frame.kind == GOAWAY).await;
    assert_eq!(reported.goaway(), Some((1, NO_ERROR)));

    gateway.release();
    let data = peer.until(|frame| frame.kind == DATA).await;
    assert_eq!((data.stream, data.flags & END_STREAM), (1, 0));
    peer.until(|frame| frame.ends(1)).await;
    assert_eq!(peer.until_end().await, []);
    // Others come anew.
    gateway.embed(texts(&["in flight"])).await.unwrap();
}

#[tokio::test]
async fn an_aged_connection_is_cut_after_its_grace() {
    let gateway = Gateway::holding(|config, _| {
        config.server.connection_age = TimeSpan::from_millis(50);
        config.server.connection_age_grace = TimeSpan::from_secs(600);
        // The call must not end before.
        config.server.default_deadline = TimeSpan::from_secs(3_600);
        config.server.max_deadline = TimeSpan::from_secs(3_600);
    })
    .await;
    let mut peer = Peer::polite(TcpStream::connect(gateway.grpc()).await.unwrap()).await;
    peer.request(1, EMBED, &framed(&texts(&["for ever"]).encode_to_vec())).await;
    for last in [ANY_STREAM, 1] {
        let goaway = peer.until(|frame| frame.kind == GOAWAY).await;
        assert_eq!(goaway.goaway(), Some((last, NO_ERROR)));
    }
    pass(Duration::from_mins(10)).await;
    assert_eq!(peer.until_end().await, []);
    let metrics = gateway.metrics().await;
    let labels = [("port", "grpc"), ("reason", "cut_at_age")];
    assert_eq!(sample(&metrics, "voyage_gateway_connection_failures_total", &labels), 1);
    // Its call ends with it.
    gateway.until_in_flight(0).await;
}

/// Without the limit each stream could hold 4 MiB for as long as its connection lasts.
#[tokio::test]
async fn a_long_question_is_refused_by_its_length_on_both_ports() {
    let gateway = Gateway::start().await;
    let services = ["health.v1.Health/Check", "health.v1.Health/Watch"];
    let reflection = ["reflection.v1", "reflection.v1alpha"]
        .map(|version| format!("{version}.ServerReflection/ServerReflectionInfo"));
    for port in [gateway.grpc(), gateway.admin()] {
        for service in services.iter().copied().chain(reflection.iter().map(String::as_str)) {
            let mut peer = Peer::polite(TcpStream::connect(port).await.unwrap()).await;
            let mut frames = Vec::new();
            let path = format!("/grpc.{service}");
            put(&mut frames, HEADERS, END_HEADERS, 1, &request_headers(&path));
            // The length of a message of 5000 bytes that does not come.
            put(&mut frames, DATA, 0, 1, &[0, 0, 0, 0x13, 0x88]);
            peer.write(&frames).await;
            peer.until(|frame| frame.ends(1)).await;
        }
    }
}
