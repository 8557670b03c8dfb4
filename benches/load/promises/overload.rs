//! Twice as many callers as places: served and refused calls, and the latency of both.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use tokio::{
    task::JoinSet,
    time::{Instant, interval},
};

use super::{Scene, UNLIMITED, UPSTREAM, Verdict, single};
use crate::{
    client::{self, Client, frame},
    stats::percentile,
};

/// Places for requests. Every request is a call of its own, so a place serves ten a second.
const PLACES: usize = 64;

const HEALTH: &str = "grpc.health.v1.Health/Check";

/// The expected gRPC codes.
const OK: u16 = 0;
const UNAVAILABLE: u16 = 14;

pub(super) async fn run(quick: bool) -> anyhow::Result<Verdict> {
    let time = Duration::from_secs(if quick { 5 } else { 20 });
    let places = format!("admission.max_in_flight={PLACES}");
    let settings = [&UNLIMITED[..], &[&places, "batch.max_inputs=1", "batch.max_in_flight=64"]];
    let scene = Scene::set(UPSTREAM, &settings.concat()).await?;
    let body = |number| frame(&single(number));

    // As many callers as permits, each with one call after the other: the capacity.
    let numbers = Arc::new(AtomicU64::new(0));
    let fresh = {
        let numbers = Arc::clone(&numbers);
        move || body(numbers.fetch_add(1, Ordering::Relaxed))
    };
    let alone = client::saturate(&scene.client, PLACES, time, 4096, fresh.clone()).await?;
    let capacity = per_second(alone.latencies.len(), alone.elapsed);

    let health = Client::connect_to(scene.address(), 1, HEALTH).await?;
    let probes = probe(&health, time);
    let (seen, probes) = tokio::join!(offer(&scene.client, 2.0 * capacity, time, fresh), probes);
    let (seen, probes) = (seen?, probes?);

    let goodput = per_second(seen.served.len(), seen.elapsed);
    let (served, refused, answered) =
        (percentile(&seen.served, 99), percentile(&seen.refused, 99), percentile(&probes, 99));
    let unloaded = percentile(&alone.latencies, 99);
    Ok(Verdict {
        kept: seen.others == 0
            && goodput >= 0.9 * capacity
            && served <= 2.0 * unloaded
            && refused < 10.0
            && answered < 100.0,
        figures: format!(
            "{goodput:.0} answered/s of {:.0} offered (≥ 90 % of {capacity:.0}), p99 {served:.1} ms (≤ 2 × {unloaded:.1}); \
             {} refused, p99 {refused:.2} ms (< 10); health p99 {answered:.2} ms (< 100); {} other ends (0)",
            2.0 * capacity,
            seen.refused.len(),
            seen.others
        ),
    })
}

/// How the calls of an overload ended.
#[derive(Debug, Default)]
struct Seen {
    served: Vec<Duration>,
    refused: Vec<Duration>,
    others: usize,
    elapsed: Duration,
}

/// Starts `rate` calls a second for `time`, however they end.
async fn offer(
    client: &Client,
    rate: f64,
    time: Duration,
    body: impl Fn() -> Bytes,
) -> anyhow::Result<Seen> {
    let start = Instant::now();
    let mut ticks = interval(Duration::from_millis(1));
    let mut calls = JoinSet::new();
    let mut sent = 0.0;
    while start.elapsed() < time {
        ticks.tick().await;
        while sent < rate * start.elapsed().as_secs_f64() {
            sent += 1.0;
            let (client, body, start) = (client.clone(), body(), Instant::now());
            calls.spawn(
                async move { anyhow::Ok((client.call(body).await?.status, start.elapsed())) },
            );
        }
    }
    let mut seen = Seen { elapsed: start.elapsed(), ..Seen::default() };
    while let Some(ended) = calls.join_next().await {
        match ended?? {
            (OK, latency) => seen.served.push(latency),
            (UNAVAILABLE, latency) => seen.refused.push(latency),
            _ => seen.others += 1,
        }
    }
    Ok(seen)
}

/// Checks the health twenty times a second.
async fn probe(client: &Client, time: Duration) -> anyhow::Result<Vec<Duration>> {
    let start = Instant::now();
    let mut ticks = interval(Duration::from_millis(50));
    let mut latencies = Vec::new();
    while start.elapsed() < time {
        ticks.tick().await;
        let question = Bytes::from_static(&[0; 5]);
        latencies.push(client::timed(client, question, 5).await?);
    }
    Ok(latencies)
}

#[expect(clippy::cast_precision_loss, reason = "small counts")]
fn per_second(count: usize, time: Duration) -> f64 {
    count as f64 / time.as_secs_f64()
}
