//! Limits equal on both sides, and more work than they let through: none refused, nearly all used.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{
    task::JoinSet,
    time::{Instant, sleep_until},
};
use voyage_gateway::{
    grpc::v1::{EmbedRequest, InputType},
    simulator::{self, Latency},
};

use super::{Scene, Verdict, single};
use crate::client::{frame, request, text};

/// A budget and the load that meets it.
#[derive(Clone, Copy)]
struct Case {
    name: &'static str,
    rpm: u32,
    tpm: u64,
    /// Texts of a call, at most.
    max_inputs: u32,
    /// Callers of 128 texts of 1,000 bytes, DOCUMENT.
    bulk: u32,
    /// Callers of one text of 60 bytes.
    interactive: u32,
}

const CASES: [Case; 3] = [
    Case {
        name: "tokens bind",
        rpm: 2000,
        tpm: 3_000_000,
        max_inputs: 1000,
        bulk: 12,
        interactive: 8,
    },
    Case {
        name: "requests bind",
        rpm: 2000,
        tpm: 3_000_000,
        max_inputs: 1,
        bulk: 0,
        interactive: 64,
    },
    Case { name: "free tier", rpm: 3, tpm: 10_000, max_inputs: 1000, bulk: 1, interactive: 64 },
];

/// How far beyond the minute the load goes on: the budget comes back, and must not be overrun.
const BEYOND: Duration = Duration::from_secs(15);

pub(super) async fn run(minute: Duration) -> anyhow::Result<Vec<(&'static str, Verdict)>> {
    let mut runs = JoinSet::new();
    for case in CASES {
        runs.spawn(async move { anyhow::Ok((case.name, load(case, minute).await?)) });
    }
    let mut verdicts = Vec::new();
    while let Some(verdict) = runs.join_next().await {
        verdicts.push(verdict??);
    }
    Ok(verdicts)
}

async fn load(case: Case, minute: Duration) -> anyhow::Result<Verdict> {
    let options = simulator::Options {
        rpm: Some(case.rpm),
        tpm: Some(case.tpm),
        latency: Latency { base: Duration::from_millis(50), ..Default::default() },
        ..Default::default()
    };
    let settings = [
        format!("limits.rpm={}", case.rpm),
        format!("limits.tpm={}", case.tpm),
        format!("batch.max_inputs={}", case.max_inputs),
        "server.default_deadline=5m".to_owned(),
    ];
    let settings: Vec<&str> = settings.iter().map(String::as_str).collect();
    let scene = Scene::with(options, &settings).await?;
    let start = Instant::now();
    let callers = saturate(&scene, case);

    // Just before the first calls leave the window.
    sleep_until(start + minute - Duration::from_millis(500)).await;
    let calls = scene.simulator.calls();
    let good = || calls.iter().filter(|call| call.status.is_none_or(|status| status == 200));
    let (requests, tokens) = (good().count(), good().map(|call| call.tokens).sum::<u64>());
    sleep_until(start + minute + BEYOND).await;
    let refused = scene.simulator.calls().iter().filter(|call| call.status == Some(429)).count();
    drop(callers);

    let percent = (requests as u64 * 100 / u64::from(case.rpm)).max(tokens * 100 / case.tpm);
    Ok(Verdict {
        kept: refused == 0 && percent >= 95,
        figures: format!(
            "{refused} × 429 in {:?} (0); in {minute:?} {requests} of {} requests, {tokens} of {} tokens: {percent} % (≥ 95)",
            minute + BEYOND,
            case.rpm,
            case.tpm
        ),
    })
}

/// Closed-loop callers: each sends its next request after the last reply. Dropping the set ends them.
fn saturate(scene: &Scene, case: Case) -> JoinSet<()> {
    let fresh = Arc::new(AtomicU64::new(0));
    let mut callers = JoinSet::new();
    for caller in 0..case.bulk + case.interactive {
        let (client, fresh) = (scene.client.clone(), Arc::clone(&fresh));
        let is_bulk = caller < case.bulk;
        callers.spawn(async move {
            loop {
                let body = if is_bulk {
                    bulk(&fresh)
                } else {
                    single(fresh.fetch_add(1, Ordering::Relaxed))
                };
                // Refusals are counted upstream; here the next request follows.
                let _ = client.call(frame(&body)).await;
            }
        });
    }
    callers
}

fn bulk(fresh: &AtomicU64) -> EmbedRequest {
    let first = fresh.fetch_add(128, Ordering::Relaxed);
    let inputs = (first..first + 128).map(|number| text(number, 1000)).collect();
    EmbedRequest { input_type: InputType::Document.into(), ..request(inputs) }
}
