//! The begin of connections, and peers that send nothing.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::*;
use crate::edge::frames::{NO_ERROR, PING, PREFACE};

/// Reads to any end; returns the received bytes.
async fn heard(mut peer: DuplexStream) -> Vec<u8> {
    let mut heard = Vec::new();
    let _ = peer.read_to_end(&mut heard).await;
    heard
}

#[tokio::test(start_paused = true)]
async fn a_connection_without_first_bytes_is_closed_in_time() {
    for protocol in [Protocol::Http2, Protocol::Any] {
        for said in [&PREFACE[..0], &PREFACE[..7], &PREFACE[..23]] {
            let edge = Edge::serve(protocol);
            let mut peer = edge.connect(1024);
            peer.write_all(said).await.unwrap();
            assert_eq!(takes(HANDSHAKE, heard(peer)).await, b"");
            assert_eq!(edge.failures(ConnectionFailure::HandshakeTimeout), 1);
            assert_eq!((edge.all_failures(), edge.until_empty().await), (1, Duration::ZERO));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_drop_now_and_then_buys_no_time() {
    let edge = Edge::serve(Protocol::Http2);
    let peer = edge.connect(1024);
    let (reader, mut writer) = tokio::io::split(peer);
    let dripping = async {
        for byte in PREFACE {
            sleep(Duration::from_secs(1)).await;
            if writer.write_all(&[*byte]).await.is_err() {
                break;
            }
        }
    };
    let mut reader = reader;
    let mut heard = [0];
    tokio::select! {
        read = takes(HANDSHAKE, reader.read(&mut heard)) => assert_eq!(read.unwrap(), 0),
        () = dripping => panic!("it was listened to"),
    }
}

#[tokio::test(start_paused = true)]
async fn another_protocol_is_closed_at_once() {
    for said in [b"GET / HTTP/1.1\r\nhost: x\r\n\r\n".as_slice(), b"\x16\x03\x01\x02\x00", b"\0"] {
        let edge = Edge::serve(Protocol::Http2);
        let mut peer = edge.connect(1024);
        peer.write_all(said).await.unwrap();
        takes(Duration::ZERO, heard(peer)).await;
        assert_eq!(edge.failures(ConnectionFailure::Handshake), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_only_knocks_is_no_failure() {
    let edge = Edge::serve(Protocol::Http2);
    drop(edge.connect(1024));
    edge.polite().await.request(1, "/", b"").await;
    sleep(HANDSHAKE * 2).await;
    assert_eq!((edge.open(), edge.all_failures()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn slow_handshakes_delay_no_other_connection() {
    let edge = Edge::serve(Protocol::Http2);
    let _silent: Vec<_> = (0..50).map(|_| edge.connect(1024)).collect();
    let mut peer = edge.polite().await;
    peer.request(1, "/", b"").await;
    takes(Duration::ZERO, peer.until(|frame| frame.ends(1))).await;
    assert_eq!(edge.open(), 51);
}

#[tokio::test(start_paused = true)]
async fn a_header_in_http1_must_come_in_time() {
    let edge = Edge::serve(Protocol::Any);
    let mut peer = edge.connect(1024);
    peer.write_all(b"GET / HTTP/1.1\r\nho").await.unwrap();
    takes(HANDSHAKE, heard(peer)).await;
    assert_eq!(edge.failures(ConnectionFailure::Unresponsive), 1);
}

#[tokio::test(start_paused = true)]
async fn http1_is_for_one_answer() {
    let edge = Edge::serve(Protocol::Any);
    let mut peer = edge.connect(1024);
    // Shorter than HTTP/2's first bytes.
    peer.write_all(b"GET / HTTP/1.0\r\n\r\n").await.unwrap();
    let answer = takes(Duration::ZERO, heard(peer)).await;
    assert!(answer.starts_with(b"HTTP/1.0 200 OK\r\n"), "{answer:?}");
    assert_eq!(edge.all_failures(), 0);
}

#[tokio::test(start_paused = true)]
async fn http1_does_not_last() {
    let edge = Edge::with(Protocol::Any, |port| port.timing.age_grace = Duration::from_secs(7));
    let mut peer = edge.connect(1024);
    peer.write_all(b"GET /slow HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    takes(Duration::from_secs(30 + 7), heard(peer)).await;
    assert_eq!(edge.failures(ConnectionFailure::CutAtAge), 1);
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_does_not_answer_is_asked_and_closed() {
    let edge = Edge::serve(Protocol::Http2);
    let mut peer = edge.mute().await;
    let asked = peer.until(|frame| frame.kind == PING);
    takes(Duration::from_secs(30), asked).await;
    let goaways = takes(Duration::from_secs(10), peer.until_end()).await;
    assert_eq!(goaways.iter().map(|(_, code)| *code).collect::<Vec<_>>(), [NO_ERROR]);
    assert_eq!(edge.failures(ConnectionFailure::Unresponsive), 1);
    assert_eq!(edge.all_failures(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_answers_stays() {
    let edge = Edge::serve(Protocol::Http2);
    let peer = edge.polite().await;
    assert!(timeout(AGE / 2, peer.until_end()).await.is_err());
    assert_eq!((edge.open(), edge.all_failures()), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_takes_nothing_is_closed() {
    // Neither PING nor GOAWAY gets through to it.
    let edge = Edge::serve(Protocol::Http2);
    let mut peer = Peer::polite(edge.connect(512)).await;
    peer.request(1, LARGE, b"").await;
    edge.until_open().await;
    let until_empty = edge.until_empty().await;
    assert!(until_empty <= KEEPALIVE + Duration::from_secs(1), "{until_empty:?}");
    assert_eq!(edge.failures(ConnectionFailure::Unresponsive), 1);
    drop(peer);

    let edge = Edge::serve(Protocol::Any);
    let mut peer = edge.connect(512);
    peer.write_all(b"GET /large HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    edge.until_open().await;
    let until_empty = edge.until_empty().await;
    assert!(until_empty <= KEEPALIVE + Duration::from_secs(1), "{until_empty:?}");
    assert_eq!(edge.failures(ConnectionFailure::Unresponsive), 1);
}
