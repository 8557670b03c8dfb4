//! How a gateway begins and ends.

use std::{io, process::Command};

use tokio::{
    io::AsyncWriteExt as _,
    net::{TcpListener, TcpStream},
};
use tonic::Code;
use voyage_gateway::{
    app::{self, BuildError},
    config::Config,
    secret::Secret,
    units::TimeSpan,
};

use crate::support::{Gateway, KEY, assert_vectors, eventually, texts};

/// The first bytes of every HTTP/2 connection.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

#[tokio::test]
async fn a_port_in_use_is_named_with_its_setting() {
    let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let taken = taken.local_addr().map(|address| (taken, address));
    let (_taken, address) = taken.unwrap();
    for setting in ["server.listen", "admin.listen"] {
        let mut config = Config::default();
        config.server.listen.set_port(0);
        config.admin.listen.set_port(0);
        match setting {
            "server.listen" => config.server.listen = address,
            _ => config.admin.listen = address,
        }
        let error =
            app::build(&config, Secret::new(KEY), app::Parts::default()).await.err().unwrap();
        let text = error.to_string();
        assert!(matches!(error, BuildError::System(_)), "{text}");
        assert!(text.contains(setting) && text.contains(&address.to_string()), "{text}");
    }
}

#[tokio::test]
async fn a_cache_key_file_must_hold_32_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let build = async |path: &std::path::Path| {
        let mut config = Config::default();
        config.server.listen.set_port(0);
        config.admin.listen.set_port(0);
        config.cache.key_file = Some(path.to_owned());
        app::build(&config, Secret::new(KEY), app::Parts::default()).await
    };
    for (name, secret) in [("missing", None), ("short", Some([b'k'; 31].as_slice()))] {
        let path = folder.path().join(name);
        if let Some(secret) = secret {
            std::fs::write(&path, secret).unwrap();
        }
        let error = build(&path).await.err().unwrap();
        assert!(matches!(error, BuildError::Config(_)), "{error}");
        let text = error.to_string();
        assert!(text.starts_with(&format!("cache.key_file {}: ", path.display())), "{text}");
        assert!(!text.contains(&"k".repeat(8)), "{text}");
    }
    let path = folder.path().join("long enough");
    std::fs::write(&path, [b'k'; 32]).unwrap();
    build(&path).await.unwrap();
}

#[tokio::test]
async fn a_key_that_no_header_can_carry_is_refused_and_not_shown() {
    let error = app::build(&Config::default(), Secret::new("pa-bad\nkey"), app::Parts::default())
        .await
        .err()
        .unwrap();
    assert!(!format!("{error} {error:?}").contains("pa-bad"));
}

#[tokio::test]
async fn the_addresses_are_the_real_ones() {
    let gateways = [Gateway::start().await, Gateway::start().await];
    let mut ports: Vec<_> =
        gateways.iter().flat_map(|one| [one.grpc().port(), one.admin().port()]).collect();
    assert!(!ports.contains(&0));
    ports.sort_unstable();
    ports.dedup();
    assert_eq!(ports.len(), 4);
    for gateway in &gateways {
        gateway.embed(texts(&["a text"])).await.unwrap();
        assert_eq!(gateway.page("GET", "/livez").await.0, 200);
        assert_eq!(gateway.simulator().calls().len(), 1, "each has its own Voyage");
    }
}

#[tokio::test]
async fn a_drain_lets_what_is_in_flight_finish() {
    let mut gateway = Gateway::holding(|_, _| ()).await;
    let call = gateway.spawn(texts(&["in flight"])).await;
    gateway.until_calls(1).await;
    gateway.stop();
    let port = gateway.grpc();
    eventually(async || TcpStream::connect(port).await.is_err()).await;
    // No new callers; the admin port answers to the end.
    assert_eq!(gateway.page("GET", "/livez").await.0, 200);
    assert_eq!(gateway.page("GET", "/readyz").await.0, 503);
    gateway.release();
    assert_vectors(call.await.unwrap().unwrap().get_ref(), &["in flight"]);
    let admin = gateway.admin();
    gateway.ended().await;
    assert!(TcpStream::connect(admin).await.is_err());
}

#[tokio::test]
async fn a_drain_ends_even_when_a_call_does_not() {
    let gateway =
        Gateway::holding(|config, _| config.drain.grace = TimeSpan::from_millis(100)).await;
    let call = gateway.spawn(texts(&["for ever"])).await;
    gateway.until_calls(1).await;
    gateway.ended().await;
    let status = call.await.unwrap().err().unwrap();
    assert!(
        matches!(status.code(), Code::Unavailable | Code::Cancelled | Code::Unknown),
        "{status:?}"
    );
}

#[tokio::test]
async fn silent_peers_do_not_keep_it_alive() {
    let gateway = Gateway::with(|config, _| config.drain.grace = TimeSpan::from_millis(100)).await;
    let mut peers = Vec::new();
    for port in [gateway.grpc(), gateway.admin()] {
        for said in [b"".as_slice(), &PREFACE[..7], PREFACE, b"GET / HT"] {
            let mut peer = TcpStream::connect(port).await.unwrap();
            peer.write_all(said).await.unwrap();
            peers.push(peer);
        }
    }
    // Others are served beside them.
    gateway.embed(texts(&["a text"])).await.unwrap();
    gateway.ended().await;
}

#[tokio::test]
async fn peers_that_send_nonsense_affect_no_other_caller() {
    let gateway = Gateway::start().await;
    for port in [gateway.grpc(), gateway.admin()] {
        for said in [b"\0\0\0\0\0\0\0\0".as_slice(), b"SSH-2.0-x\r\n", b"GET / HTTP/1.1\r\n\r\n"] {
            let mut peer = TcpStream::connect(port).await.unwrap();
            peer.write_all(said).await.unwrap();
        }
    }
    gateway.embed(texts(&["a text"])).await.unwrap();
    assert_eq!(gateway.page("GET", "/livez").await.0, 200);
}

#[tokio::test]
async fn an_idle_client_does_not_delay_the_end() {
    // Its connection gets GOAWAY, and ends within the grace and not after it.
    let gateway = Gateway::with(|config, _| config.drain.grace = TimeSpan::from_secs(600)).await;
    let mut client = gateway.client().await;
    client.embed(texts(&["a text"])).await.unwrap();
    gateway.ended().await;
    assert!(client.embed(texts(&["a text"])).await.is_err());
}

#[test]
fn a_closed_log_pipe_does_not_end_it() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let (reader, writer) = io::pipe().unwrap();
    drop(reader);
    // It logs where calls go, and then cannot have its port: an end of its own, and no abort.
    let status = Command::new(env!("CARGO_BIN_EXE_voyage-gateway"))
        .args(["serve", "--set", &format!("server.listen={}", taken.local_addr().unwrap())])
        .env_clear()
        .env("VOYAGE_API_KEY", KEY)
        .stderr(writer)
        .status()
        .unwrap();
    assert_eq!(status.code(), Some(1), "{status}");
}
