//! The gateway's end with all kinds of peers connected.

use prost::Message as _;
use tokio::{io::AsyncWriteExt as _, net::TcpStream, task::JoinSet};
use tonic::{Code, Streaming};
use tonic_health::pb::{
    HealthCheckRequest, HealthCheckResponse, health_check_response::ServingStatus,
    health_client::HealthClient,
};
use voyage_gateway::{grpc::v1::EmbedRequest, units::TimeSpan};

use super::frames::{PREFACE, Peer};
use crate::{
    raw::{EMBED, framed},
    support::{
        Gateway, assert_vectors, connect, details, eventually, numbered, pass, reason, sample,
        texts,
    },
};

/// Longer than any test: a test that waits for its end fails.
const FOR_EVER: TimeSpan = TimeSpan::from_secs(3_600);

/// Watches the gateway's health; returns the stream behind the first status, which is good.
async fn watch(address: std::net::SocketAddr) -> Streaming<HealthCheckResponse> {
    let mut client = HealthClient::new(connect(address).await);
    let request = HealthCheckRequest { service: String::new() };
    let mut statuses = client.watch(request).await.unwrap().into_inner();
    let first = statuses.message().await.unwrap().unwrap();
    assert_eq!(first.status(), ServingStatus::Serving);
    statuses
}

async fn assert_not_serving_and_ended(mut statuses: Streaming<HealthCheckResponse>) {
    let last = statuses.message().await.unwrap().unwrap();
    assert_eq!(last.status(), ServingStatus::NotServing);
    let end = statuses.message().await.unwrap_err();
    assert_eq!((end.code(), reason(&end).as_str()), (Code::Unavailable, "DRAINING"));
    assert!(!details(&end).request_info().unwrap().request_id.is_empty());
}

#[tokio::test]
async fn health_watches_do_not_delay_the_end() {
    for delay in [TimeSpan::from_secs(0), TimeSpan::from_millis(50)] {
        let gateway = Gateway::with(|config, _| {
            config.drain.delay = delay;
            config.drain.grace = FOR_EVER;
        })
        .await;
        let watched = [watch(gateway.grpc()).await, watch(gateway.admin()).await];
        gateway.ended().await;
        for statuses in watched {
            assert_not_serving_and_ended(statuses).await;
        }
    }
}

#[tokio::test]
async fn health_watches_get_the_status_first_and_stay_for_the_delay() {
    let mut gateway = Gateway::with(|config, _| config.drain.delay = FOR_EVER).await;
    let mut statuses = watch(gateway.grpc()).await;
    gateway.stop();
    let reported = statuses.message().await.unwrap().unwrap();
    assert_eq!(reported.status(), ServingStatus::NotServing);
    // It still serves, and goes on watching.
    gateway.embed(texts(&["a text"])).await.unwrap();
    let next = statuses.message();
    tokio::select! {
        biased;
        ended = next => panic!("{ended:?}"),
        () = async {} => {}
    }
    let labels = [("rpc_method", "grpc.health.v1.Health/Watch")];
    assert_eq!(sample(&gateway.metrics().await, "voyage_gateway_rpcs_total", &labels), 0);
    gateway.hurry();
    gateway.ended().await;
}

#[tokio::test]
async fn no_call_is_taken_and_then_lost() {
    let mut gateway = Gateway::with(|config, _| config.drain.grace = FOR_EVER).await;
    let mut callers = JoinSet::new();
    for caller in 0..8 {
        let mut client = gateway.client().await;
        callers.spawn(async move {
            let mut answered = Vec::new();
            loop {
                let text = format!("text {} of caller {caller}", answered.len());
                match client.embed(texts(&[&text])).await {
                    Ok(_) => answered.push(text),
                    Err(status) => return (answered, status),
                }
            }
        });
    }
    eventually(async || gateway.simulator().calls().len() > 20).await;
    gateway.stop();
    let mut all = Vec::new();
    while let Some(caller) = callers.join_next().await {
        let (answered, status) = caller.unwrap();
        assert_eq!(status.code(), Code::Unavailable, "{status:?}");
        all.extend(answered);
    }
    // The call that had been sent was answered.
    let mut sent = gateway.sent().concat();
    sent.sort_unstable();
    all.sort_unstable();
    assert_eq!(sent, all);
    gateway.ended().await;
}

/// A peer that requests more than the system's buffers hold, and reads nothing.
async fn stuffed(gateway: &Gateway) -> Peer<TcpStream> {
    let mut peer = Peer::mute(TcpStream::connect(gateway.grpc()).await.unwrap()).await;
    let request = EmbedRequest { output_dimension: 2048, ..texts(&numbered(0..450)) };
    let request = framed(&request.encode_to_vec());
    for number in 0..16 {
        peer.request(2 * number + 1, EMBED, &request).await;
    }
    peer
}

#[tokio::test]
async fn hostile_peers_are_cut_when_the_grace_is_over() {
    let mut gateway = Gateway::with(|config, _| config.drain.grace = FOR_EVER).await;
    let stuffed = stuffed(&gateway).await;
    let mut silent = Vec::new();
    for port in [gateway.grpc(), gateway.admin()] {
        for said in [b"".as_slice(), &PREFACE[..23], b"GET / HT"] {
            let mut peer = TcpStream::connect(port).await.unwrap();
            peer.write_all(said).await.unwrap();
            silent.push(peer);
        }
    }
    // These answer no PING, and so cannot be seen off.
    let mute = Peer::mute(TcpStream::connect(gateway.grpc()).await.unwrap()).await;
    let mute_prober = Peer::mute(TcpStream::connect(gateway.admin()).await.unwrap()).await;
    let watching = watch(gateway.grpc()).await;
    let polite = gateway.embed(texts(&["a text"])).await.unwrap();
    assert_vectors(polite.get_ref(), &["a text"]);
    eventually(async || {
        let metrics = gateway.metrics().await;
        let open = |port| sample(&metrics, "voyage_gateway_connections", &[("port", port)]);
        open("grpc") >= 4 && open("admin") >= 3
    })
    .await;

    gateway.stop();
    assert_not_serving_and_ended(watching).await;
    pass(FOR_EVER.get()).await;
    gateway.ended().await;
    assert_eq!(mute.until_end().await.len(), 1);
    assert_eq!(mute_prober.until_end().await.len(), 1);
    drop((stuffed, silent));
}

#[tokio::test]
async fn a_second_signal_ends_the_delay() {
    let mut gateway = Gateway::with(|config, _| config.drain.delay = FOR_EVER).await;
    gateway.stop();
    eventually(async || gateway.page("GET", "/readyz").await.0 == 503).await;
    gateway.embed(texts(&["still served"])).await.unwrap();
    gateway.hurry();
    gateway.ended().await;
}

#[tokio::test]
async fn a_second_signal_ends_the_grace() {
    let mut gateway = Gateway::holding(|config, _| config.drain.grace = FOR_EVER).await;
    let call = gateway.spawn(texts(&["for ever"])).await;
    gateway.until_calls(1).await;
    gateway.stop();
    let port = gateway.grpc();
    eventually(async || TcpStream::connect(port).await.is_err()).await;
    assert!(!call.is_finished());
    gateway.hurry();
    gateway.ended().await;
    assert!(call.await.unwrap().is_err());
}

#[tokio::test]
async fn a_second_signal_in_the_delay_ends_the_grace_as_well() {
    let mut gateway = Gateway::holding(|config, _| {
        config.drain.delay = FOR_EVER;
        config.drain.grace = FOR_EVER;
    })
    .await;
    let call = gateway.spawn(texts(&["for ever"])).await;
    gateway.until_calls(1).await;
    gateway.stop();
    eventually(async || gateway.page("GET", "/readyz").await.0 == 503).await;
    gateway.hurry();
    gateway.ended().await;
    assert!(call.await.unwrap().is_err());
}
