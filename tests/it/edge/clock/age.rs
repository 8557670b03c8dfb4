//! The age of a connection, and its GOAWAY.

use super::*;
use crate::edge::frames::{ANY_STREAM, Frame, GOAWAY, HEADERS, NO_ERROR, PING};

fn is_goaway(frame: &Frame) -> bool {
    frame.kind == GOAWAY
}

#[tokio::test(start_paused = true)]
async fn connections_age_each_at_its_own_time() {
    let edge = Edge::serve(Protocol::Http2);
    let started = Instant::now();
    let mut ages = Vec::new();
    let mut peers = tokio::task::JoinSet::new();
    for _ in 0..50 {
        let mut peer = edge.polite().await;
        peers.spawn(async move {
            let reported = peer.until(is_goaway).await;
            let age = started.elapsed();
            // First that the end is near, so that calls under way still get in; then, after a PING, the end.
            assert_eq!(reported.goaway(), Some((ANY_STREAM, NO_ERROR)));
            assert_eq!(peer.until_end().await, [(0, NO_ERROR)]);
            age
        });
    }
    while let Some(age) = peers.join_next().await {
        ages.push(age.unwrap());
    }
    assert!(
        ages.iter().all(|age| *age >= AGE.mul_f64(0.9) && *age <= AGE.mul_f64(1.1)),
        "{ages:?}"
    );
    let (first, last) = (ages.iter().min().unwrap(), ages.iter().max().unwrap());
    assert!(*last > *first + AGE.mul_f64(0.1), "{ages:?}");
    assert_eq!((edge.open(), edge.all_failures()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn calls_in_flight_finish_at_the_end_of_an_age() {
    let edge = Edge::serve(Protocol::Http2);
    let mut peer = edge.polite().await;
    peer.request(1, SLOW, b"").await;
    peer.until(is_goaway).await;
    // The next request, sent before the peer reads the GOAWAY, is answered as well.
    peer.request(3, "/", b"").await;
    let (mut answered, mut last) = (false, None);
    while !answered || last.is_none() {
        let frame = peer.next().await.unwrap();
        answered |= frame.ends(3);
        last = last.or(frame.goaway());
    }
    assert_eq!(last, Some((3, NO_ERROR)));
    // Later streams are ignored.
    peer.request(5, "/", b"").await;
    sleep(AGE_GRACE / 2).await;
    edge.released.send_replace(true);
    let answered = peer.until(|frame| frame.kind == HEADERS).await;
    assert_eq!(answered.stream, 1);
    peer.until(|frame| frame.ends(1)).await;
    takes(Duration::ZERO, peer.until_end()).await;
    assert_eq!(edge.until_empty().await, Duration::ZERO);
    assert_eq!(edge.all_failures(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_does_not_finish_is_cut() {
    let edge = Edge::serve(Protocol::Http2);
    let mut peer = edge.polite().await;
    peer.request(1, SLOW, b"").await;
    peer.until(is_goaway).await;
    takes(AGE_GRACE, peer.until_end()).await;
    assert_eq!(edge.failures(ConnectionFailure::CutAtAge), 1);
    assert_eq!(edge.until_empty().await, Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_ignores_its_age_is_cut() {
    let edge = Edge::with(Protocol::Http2, |port| {
        // Else it would be closed for not answering.
        port.timing.keepalive_interval = AGE * 2;
    });
    let mut peer = edge.mute().await;
    peer.until(is_goaway).await;
    peer.until(|frame| frame.kind == PING).await;
    takes(AGE_GRACE, peer.until_end()).await;
    assert_eq!(edge.failures(ConnectionFailure::CutAtAge), 1);
}

#[tokio::test(start_paused = true)]
async fn a_drain_ends_an_aged_connection_with_the_others() {
    let edge = Edge::serve(Protocol::Http2);
    let mut peer = edge.polite().await;
    peer.request(1, SLOW, b"").await;
    peer.until(is_goaway).await;
    edge.states.send_replace(PortState::Draining);
    sleep(Duration::from_secs(1)).await;
    assert_eq!(edge.open(), 1);
    edge.states.send_replace(PortState::Cut);
    takes(Duration::ZERO, peer.until_end()).await;
    takes(Duration::ZERO, edge.ended).await.unwrap();
}
