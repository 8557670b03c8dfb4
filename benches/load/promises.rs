//! The gateway's promises about sharing, budgets and failures, in real time over loopback.

#[path = "promises/budget.rs"]
mod budget;
#[path = "promises/collector.rs"]
mod collector;
#[path = "promises/failing.rs"]
mod failing;
#[path = "promises/overload.rs"]
mod overload;
#[path = "promises/sharing.rs"]
mod sharing;

use std::{net::SocketAddr, time::Duration};

use clap::Args;
use voyage_gateway::{
    grpc::v1::EmbedRequest,
    simulator::{self, Latency, Simulator},
};

use super::{
    client::{Client, text},
    process::Server,
};

/// A budget that limits none of the other promises.
const UNLIMITED: [&str; 3] = [
    "limits.rpm=1000000000",
    "limits.tpm=1000000000000",
    "telemetry.log_filter=error,voyage_gateway::cli=info",
];

#[derive(Clone, Debug, Args)]
pub(super) struct Options {
    /// Shortens the runs of a minute to 20 seconds.
    #[arg(long)]
    quick: bool,
    /// Only promises whose name contains this.
    #[arg(long, default_value = "")]
    only: String,
}

impl Options {
    fn minute(&self) -> Duration {
        Duration::from_secs(if self.quick { 20 } else { 60 })
    }
}

/// The result of a promise.
struct Verdict {
    kept: bool,
    figures: String,
}

pub(super) async fn run(options: &Options) -> anyhow::Result<()> {
    let selected = |name: &str| name.contains(&options.only);
    let mut broken = 0;
    let mut say = |name: &str, verdict: Verdict| {
        broken += u32::from(!verdict.kept);
        let word = if verdict.kept { "PASS" } else { "FAIL" };
        println!("{word}  {name}: {}", verdict.figures);
    };
    if selected("lockstep") {
        say("lockstep", sharing::lockstep().await?);
    }
    if selected("lone call") {
        say("lone call", sharing::lone_call(Duration::ZERO, 500).await?);
        say("lone call, upstream 100 ms", sharing::lone_call(UPSTREAM, 150).await?);
    }
    if selected("identical") {
        say("identical", sharing::identical().await?);
    }
    if selected("2,500 texts") {
        say("2,500 texts", sharing::large().await?);
    }
    if selected("interactive beside bulk") {
        say("interactive beside bulk", sharing::beside_bulk(options.quick).await?);
    }
    if selected("overload") {
        say("overload", overload::run(options.quick).await?);
    }
    if selected("failing upstream") {
        for (name, verdict) in failing::run(options.minute()).await? {
            say(&format!("failing upstream, {name}"), verdict);
        }
    }
    if selected("budget") {
        for (name, verdict) in budget::run(options.minute()).await? {
            say(&format!("budget, {name}"), verdict);
        }
    }
    if selected("collector hung") {
        say("collector hung", collector::hung(options.quick).await?);
    }
    anyhow::ensure!(broken == 0, "{broken} promises were not kept");
    Ok(())
}

/// The duration of an upstream call, unless a promise sets another.
const UPSTREAM: Duration = Duration::from_millis(100);

/// A gateway of its own process, the simulator it calls, and a client.
struct Scene {
    simulator: Simulator,
    client: Client,
    server: Server,
}

impl Scene {
    async fn set(upstream: Duration, settings: &[&str]) -> anyhow::Result<Self> {
        let latency = Latency { base: upstream, ..Default::default() };
        Self::with(simulator::Options { latency, ..Default::default() }, settings).await
    }

    async fn with(options: simulator::Options, settings: &[&str]) -> anyhow::Result<Self> {
        let simulator = Simulator::start(options).await?;
        let server = Server::free_gateway(&simulator.base_url(), settings)?;
        let client = Client::connect(server.address, 8).await?;
        Ok(Self { simulator, client, server })
    }

    fn address(&self) -> SocketAddr {
        self.server.address
    }

    /// Returns how many upstream calls there were, and how many texts they had.
    fn upstream(&self) -> (usize, usize) {
        let calls = self.simulator.calls();
        (calls.len(), calls.iter().map(|call| call.inputs.len()).sum())
    }
}

/// Returns a request of one new text.
fn single(number: u64) -> EmbedRequest {
    EmbedRequest { inputs: vec![text(number, 60)], ..Default::default() }
}
