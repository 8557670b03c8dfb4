//! Few upstream calls for many callers, and none of them the slower for it.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use futures_util::future::try_join_all;
use tokio::time::Instant;
use voyage_gateway::{
    grpc::v1::{EmbedRequest, InputType},
    model::Dtype,
    simulator::{Shape, vector},
};

use super::{Scene, UNLIMITED, UPSTREAM, Verdict, single};
use crate::{
    client::{self, frame, request, text},
    stats::percentile,
};

/// 64 callers send one distinct text each, all at once, again and again.
pub(super) async fn lockstep() -> anyhow::Result<Verdict> {
    const CALLERS: u64 = 64;
    const ROUNDS: u64 = 50;
    const WARM_UP: u64 = 5;
    let scene = Scene::set(UPSTREAM, &UNLIMITED).await?;
    let mut latencies = Vec::new();
    for round in 0..ROUNDS + WARM_UP {
        if round == WARM_UP {
            scene.simulator.forget_calls();
            latencies.clear();
        }
        let calls = (0..CALLERS).map(|caller| {
            client::timed(&scene.client, frame(&single(round * CALLERS + caller)), 4096)
        });
        latencies.extend(try_join_all(calls).await?);
    }
    let (calls, texts) = scene.upstream();
    let p50 = percentile(&latencies, 50);
    Ok(Verdict {
        kept: texts >= 10 * calls && p50 <= 115.0,
        figures: format!(
            "{:.1} texts an upstream call (≥ 10), p50 {p50:.1} ms (≤ 115), p99 {:.1} ms",
            ratio(texts, calls),
            percentile(&latencies, 99)
        ),
    })
}

/// One call at a time, directly to the simulator and through the gateway in turn.
pub(super) async fn lone_call(upstream: Duration, rounds: u64) -> anyhow::Result<Verdict> {
    let scene = Scene::set(upstream, &UNLIMITED).await?;
    let http = reqwest::Client::new();
    let url = format!("{}/embeddings", scene.simulator.base_url());
    let (mut direct, mut through) = (Vec::new(), Vec::new());
    for round in 0..rounds + 5 {
        let body = serde_json::json!({
            "input": [text(round, 60)], "model": "voyage-4", "truncation": true, "encoding_format": "base64",
        });
        off_beat(round).await;
        let start = Instant::now();
        let call = http.post(&url).bearer_auth("a-key").header("content-type", "application/json");
        call.body(body.to_string()).send().await?.error_for_status()?.bytes().await?;
        direct.push(start.elapsed());
        off_beat(round).await;
        through.push(client::timed(&scene.client, frame(&single(round)), 4096).await?);
    }
    // The first ones connect.
    let (direct, through) = (&direct[5..], &through[5..]);
    let added = |percent| percentile(through, percent) - percentile(direct, percent);
    Ok(Verdict {
        kept: added(50) < 1.0,
        figures: format!(
            "{:.3} ms added at p50 (< 1), {:.3} at p99; direct {:.3}, through {:.3}",
            added(50),
            added(99),
            percentile(direct, 50),
            percentile(through, 50)
        ),
    })
}

/// Waits for a part of a millisecond that differs from round to round: the simulator's timer looks every
/// millisecond, and calls that follow one another would all meet it at the same point.
async fn off_beat(round: u64) {
    let (start, pause) = (Instant::now(), Duration::from_micros(round * 381 % 1000));
    while start.elapsed() < pause {
        tokio::task::yield_now().await;
    }
}

/// 100 callers send the same new text at once.
pub(super) async fn identical() -> anyhow::Result<Verdict> {
    const ROUNDS: u64 = 20;
    let scene = Scene::set(UPSTREAM, &UNLIMITED).await?;
    let mut latencies = Vec::new();
    for round in 0..ROUNDS {
        let calls = (0..100).map(|_| client::timed(&scene.client, frame(&single(round)), 4096));
        latencies.extend(try_join_all(calls).await?);
    }
    let (calls, texts) = scene.upstream();
    Ok(Verdict {
        kept: (calls, texts) == (20, 20),
        figures: format!(
            "{ROUNDS} times 100 calls: {texts} upstream texts in {calls} calls (20 in 20), p50 {:.1} ms, p99 {:.1} ms",
            percentile(&latencies, 50),
            percentile(&latencies, 99)
        ),
    })
}

/// One call of 2,500 texts: three upstream calls side by side, one answer in order.
pub(super) async fn large() -> anyhow::Result<Verdict> {
    let scene = Scene::set(Duration::from_secs(1), &UNLIMITED).await?;
    let texts: Vec<String> = (0..2500).map(|number| text(number, 60)).collect();
    let start = Instant::now();
    let reply = scene.client.call(frame(&request(texts.clone()))).await?.message()?;
    let elapsed = start.elapsed();
    let shape = Shape { model: "voyage-4", input_type: None, dimension: 1024, dtype: Dtype::Float };
    let in_order = reply.embeddings.len() == texts.len()
        && reply.embeddings.iter().zip(&texts).zip(0..).all(|((embedding, text), index)| {
            embedding.index == index && embedding.values == vector(text, &shape)
        });
    let (calls, sent) = scene.upstream();
    Ok(Verdict {
        // One after the other they would take three seconds.
        kept: in_order && sent == 2500 && elapsed < Duration::from_secs(2),
        figures: format!(
            "{calls} upstream calls of 1 s for {sent} texts in {:.2} s (< 2), in order: {in_order}",
            elapsed.as_secs_f64()
        ),
    })
}

/// 20 interactive queries a second, alone and beside continuous bulk calls.
pub(super) async fn beside_bulk(quick: bool) -> anyhow::Result<Verdict> {
    let time = Duration::from_secs(if quick { 8 } else { 25 });
    let scene = Scene::set(UPSTREAM, &UNLIMITED).await?;
    let fresh = Arc::new(AtomicU64::new(0));
    let query = {
        let fresh = Arc::clone(&fresh);
        move || frame(&single(fresh.fetch_add(1, Ordering::Relaxed)))
    };
    let unloaded = client::pace(&scene.client, 20.0, time, 4096, &query).await?;

    scene.simulator.forget_calls();
    let bulk_client = scene.client.clone();
    let bulk = client::saturate(&bulk_client, 16, time, 64 * 4096, move || {
        let first = fresh.fetch_add(64, Ordering::Relaxed);
        let inputs = (first..first + 64).map(|number| text(number, 400)).collect();
        frame(&EmbedRequest { input_type: InputType::Document.into(), ..request(inputs) })
    });
    let queries = client::pace(&scene.client, 20.0, time, 4096, &query);
    let (bulk, loaded) = tokio::join!(bulk, queries);
    let (bulk, loaded) = (bulk?, loaded?);

    let (alone, beside) = (percentile(&unloaded.latencies, 99), percentile(&loaded.latencies, 99));
    let bound = 2.0 * alone + 100.0;
    Ok(Verdict {
        kept: beside <= bound,
        figures: format!(
            "interactive p99 {beside:.1} ms (≤ {bound:.1} = 2 × {alone:.1} + 100), p50 {:.1} ms; bulk {} texts/s",
            percentile(&loaded.latencies, 50),
            bulk.latencies.len() as u64 * 64 / time.as_secs()
        ),
    })
}

#[expect(clippy::cast_precision_loss, reason = "small counts")]
fn ratio(a: usize, b: usize) -> f64 {
    a as f64 / b as f64
}
