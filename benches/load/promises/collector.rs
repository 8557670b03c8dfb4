//! A collector that takes connections and never answers: traces are lost, and calls do not notice.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{io::AsyncReadExt as _, net::TcpListener};
use voyage_gateway::simulator::{Options, Simulator};

use super::Verdict;
use crate::{
    client::{self, Client, frame, request, text},
    process::Server,
    stats::Spread,
};

/// Calls a second, far below the gateway's capacity, so that the tail is not caused by a queue.
const RATE: f64 = 2_000.0;

const ROUNDS: usize = 5;

/// The tolerated noise of the tail, in milliseconds.
const NOISE: f64 = 0.5;

/// Runs a gateway that exports every trace beside one that exports none, in turns.
pub(super) async fn hung(quick: bool) -> anyhow::Result<Verdict> {
    let time = Duration::from_secs(if quick { 3 } else { 8 });
    let (collector, connections) = listen().await?;
    let simulator = Simulator::start(Options::default()).await?;
    let endpoint = format!("telemetry.otlp_endpoint=http://{collector}");
    let quiet = "telemetry.log_filter=error,voyage_gateway::cli=info";
    // Both count the same; only one has somewhere to send it.
    let exporting = [quiet, &endpoint, "telemetry.sample_ratio=1.0"];
    let mut sides = Vec::new();
    for settings in [&exporting[..1], &exporting[..]] {
        let server = Server::free_gateway(&simulator.base_url(), settings)?;
        let client = Client::connect(server.address, 4).await?;
        sides.push((server, client, Vec::new()));
    }
    let body = frame(&request(vec![text(0, 200)]));
    // The first round of each only warms up, and fills the exporter's queue.
    for round in 0..=ROUNDS {
        for (_, client, tails) in &mut sides {
            let load = client::pace(client, RATE, time, 4096, || body.clone()).await?;
            if round > 0 {
                tails.push(crate::stats::percentile(&load.latencies, 99));
            }
        }
    }
    let tails = sides.iter().map(|(_, _, tails)| Spread::of(tails.iter().copied()));
    let [without, with] = tails.collect::<Vec<_>>()[..] else { anyhow::bail!("two sides") };
    let connected = connections.load(Ordering::Relaxed);
    Ok(Verdict {
        // Without a connection nothing was tried.
        kept: connected > 0 && with.median <= 1.2 * without.median + NOISE,
        figures: format!(
            "p99 {with} ms, without a collector {without} (≤ 1.2 × + {NOISE}); {connected} connections hung (> 0)"
        ),
    })
}

/// Takes connections and bytes, counts them, and says nothing.
async fn listen() -> anyhow::Result<(SocketAddr, Arc<AtomicUsize>)> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    let address = listener.local_addr()?;
    let connections = Arc::new(AtomicUsize::new(0));
    let taken = Arc::clone(&connections);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            taken.fetch_add(1, Ordering::Relaxed);
            tokio::spawn(async move {
                let mut bytes = [0; 4096];
                while stream.read(&mut bytes).await.is_ok_and(|read| read > 0) {}
            });
        }
    });
    Ok((address, connections))
}
