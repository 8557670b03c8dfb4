//! The accept loop: its limit, its errors, and the order of its end.

use super::*;
use crate::edge::frames::GOAWAY;

/// EMFILE: too many open files.
const EMFILE: i32 = 24;

#[tokio::test(start_paused = true)]
async fn a_loop_that_cannot_accept_does_not_spin() {
    let edge = Edge::serve(Protocol::Http2);
    for _ in 0..100 {
        edge.connect.send(Err(io::Error::from_raw_os_error(EMFILE))).unwrap();
    }
    sleep(Duration::from_millis(1010)).await;
    let asked = edge.asked.load(Ordering::Relaxed);
    assert!((20..=21).contains(&asked), "{asked} times in a second");
    assert_eq!(edge.failures(ConnectionFailure::Accept), u64::from(asked));
    // And goes on when it can again.
    sleep(Duration::from_secs(10)).await;
    assert_eq!(edge.failures(ConnectionFailure::Accept), 100);
    let mut peer = edge.polite().await;
    peer.request(1, "/", b"").await;
    peer.until(|frame| frame.ends(1)).await;
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_left_before_it_was_accepted_delays_no_other() {
    let edge = Edge::serve(Protocol::Http2);
    for _ in 0..100 {
        edge.connect.send(Err(io::ErrorKind::ConnectionAborted.into())).unwrap();
    }
    let mut peer = edge.polite().await;
    peer.request(1, "/", b"").await;
    takes(Duration::ZERO, peer.until(|frame| frame.ends(1))).await;
    assert_eq!(edge.all_failures(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_loop_that_cannot_accept_stops_at_the_drain() {
    let edge = Edge::serve(Protocol::Http2);
    edge.connect.send(Err(io::Error::from_raw_os_error(EMFILE))).unwrap();
    sleep(Duration::from_millis(1)).await;
    edge.states.send_replace(PortState::Draining);
    takes(Duration::ZERO, edge.ended).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn connections_beyond_the_limit_are_not_accepted() {
    let edge = Edge::with(Protocol::Http2, |port| port.max_connections = 2);
    let first = edge.polite().await;
    let _silent = edge.connect(1024);
    let mut third = edge.polite().await;
    third.request(1, "/", b"").await;
    // Less than the silent one is borne.
    assert!(timeout(HANDSHAKE / 2, third.next()).await.is_err());
    assert_eq!((edge.asked.load(Ordering::Relaxed), edge.open()), (2, 2));
    // A place becomes free by leaving …
    drop(first);
    takes(Duration::ZERO, third.until(|frame| frame.ends(1))).await;
    // … and by being thrown out.
    let mut fourth = edge.polite().await;
    fourth.request(1, "/", b"").await;
    takes(HANDSHAKE / 2, fourth.until(|frame| frame.ends(1))).await;
    assert_eq!(edge.open(), 2);
    let limit = sample(&edge.metrics.render().unwrap(), "voyage_gateway_max_connections", &[]);
    assert_eq!(limit, 2);
}

#[tokio::test(start_paused = true)]
async fn a_full_port_stops_at_the_drain() {
    let edge = Edge::with(Protocol::Http2, |port| port.max_connections = 1);
    let peer = edge.polite().await;
    let _waiting = edge.polite().await;
    sleep(Duration::from_secs(1)).await;
    edge.states.send_replace(PortState::Draining);
    tokio::join!(peer.until_end(), async { takes(Duration::ZERO, edge.ended).await.unwrap() });
}

#[tokio::test(start_paused = true)]
async fn the_listener_closes_before_the_first_goaway() {
    let edge = Edge::serve(Protocol::Http2);
    let mut peers = Vec::new();
    for _ in 0..20 {
        let mut peer = edge.polite().await;
        peer.request(1, SLOW, b"").await;
        let closed = Arc::clone(&edge.closed);
        peers.push(tokio::spawn(async move {
            peer.until(|frame| frame.kind == GOAWAY).await;
            assert!(closed.load(Ordering::Relaxed), "it could have come in again");
            peer.until_end().await
        }));
    }
    sleep(Duration::from_secs(1)).await;
    assert!(!edge.closed.load(Ordering::Relaxed));
    edge.states.send_replace(PortState::Draining);
    sleep(Duration::from_secs(1)).await;
    assert_eq!(edge.open(), 20);
    edge.released.send_replace(true);
    takes(Duration::ZERO, edge.ended).await.unwrap();
    for peer in peers {
        peer.await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_drain_does_not_wait_for_connections_without_first_bytes() {
    let edge = Edge::serve(Protocol::Any);
    let _silent: Vec<_> = (0..5).map(|_| edge.connect(1024)).collect();
    sleep(Duration::from_secs(1)).await;
    assert_eq!(edge.open(), 5);
    edge.states.send_replace(PortState::Draining);
    takes(Duration::ZERO, edge.ended).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_request_sent_before_the_drain_is_answered() {
    let edge = Edge::serve(Protocol::Http2);
    let mut peer = edge.polite().await;
    peer.request(1, "/", b"").await;
    // It is accepted, and nothing of it was read.
    edge.until_open().await;
    edge.states.send_replace(PortState::Draining);
    peer.until(|frame| frame.ends(1)).await;
}

#[tokio::test(start_paused = true)]
async fn what_does_not_finish_is_cut_and_counted() {
    let edge = Edge::serve(Protocol::Http2);
    let mut busy = edge.polite().await;
    busy.request(1, SLOW, b"").await;
    let (_mute, mut stuffed) = (edge.mute().await, Peer::polite(edge.connect(512)).await);
    stuffed.request(1, LARGE, b"").await;
    sleep(Duration::from_secs(1)).await;
    edge.states.send_replace(PortState::Draining);
    sleep(Duration::from_secs(20)).await;
    assert_eq!(edge.open(), 3);
    edge.states.send_replace(PortState::Cut);
    takes(Duration::ZERO, edge.ended).await.unwrap();
    let metrics = edge.metrics.render().unwrap();
    let labels = [("reason", ConnectionFailure::CutAtDrain.as_str())];
    assert_eq!(sample(&metrics, "voyage_gateway_connection_failures_total", &labels), 3);
}

#[tokio::test(start_paused = true)]
async fn a_port_whose_owner_is_gone_ends() {
    let edge = Edge::serve(Protocol::Http2);
    let mut peer = edge.polite().await;
    peer.request(1, SLOW, b"").await;
    sleep(Duration::from_secs(1)).await;
    drop(edge.states);
    takes(Duration::ZERO, edge.ended).await.unwrap();
}
