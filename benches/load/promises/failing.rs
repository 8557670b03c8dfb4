//! An upstream that answers nothing but 503: how often it is asked.

use std::time::Duration;

use tokio::{task::JoinSet, time::interval};
use voyage_gateway::simulator::{self, Fault};

use super::{Scene, UNLIMITED, Verdict, single};
use crate::client::frame;

/// The defaults, and a breaker that never opens, so that the retry budget alone holds.
const CASES: [(&str, &str, u64); 3] = [
    ("50 requests/s", "breaker.min_calls=20", 50),
    ("5 requests/s, no breaker", "breaker.min_calls=1000000", 5),
    ("50 requests/s, no breaker", "breaker.min_calls=1000000", 50),
];

pub(super) async fn run(time: Duration) -> anyhow::Result<Vec<(&'static str, Verdict)>> {
    let mut runs = JoinSet::new();
    for (name, breaker, rate) in CASES {
        runs.spawn(async move { anyhow::Ok((name, load(breaker, rate, time).await?)) });
    }
    let mut verdicts = Vec::new();
    while let Some(verdict) = runs.join_next().await {
        verdicts.push(verdict??);
    }
    Ok(verdicts)
}

async fn load(breaker: &str, rate: u64, time: Duration) -> anyhow::Result<Verdict> {
    let options = simulator::Options::default();
    options.script.always(Fault::status(503));
    // One text a call, so that every request is a call of its own.
    let settings =
        [&UNLIMITED[..], &[breaker, "batch.max_inputs=1", "batch.max_in_flight=64"]].concat();
    let scene = Scene::with(options, &settings).await?;
    let requests = rate * time.as_secs();
    let mut ticks = interval(Duration::from_secs(1) / u32::try_from(rate)?);
    let mut calls = JoinSet::new();
    for number in 0..requests {
        ticks.tick().await;
        let client = scene.client.clone();
        calls.spawn(async move { client.call(frame(&single(number))).await });
    }
    let mut unavailable = 0;
    while let Some(reply) = calls.join_next().await {
        unavailable += u64::from(reply??.status == 14);
    }
    let (attempts, _) = scene.upstream();
    let bound = requests + requests / 10 + time.as_secs() + 10;
    Ok(Verdict {
        kept: attempts as u64 <= bound && unavailable == requests,
        figures: format!(
            "{attempts} attempts for {requests} requests in {time:?} (≤ {bound}), {unavailable} UNAVAILABLE"
        ),
    })
}
