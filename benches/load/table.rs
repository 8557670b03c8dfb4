//! CPU per request: each row measured against its base in interleaved rounds.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use clap::Args;
use serde_json::json;
use voyage_gateway::simulator::{self, Simulator};

use super::{
    client::{self, Client, Load, frame, request, text},
    process::{self, Server},
    stats::{Spread, percentile},
};

/// Bytes of a text, and of the vector it becomes.
const TEXT: usize = 200;
const VECTOR: usize = 4096;

/// Distinct texts that are in the cache: the largest request's.
const KNOWN: u64 = 1000;

/// A budget that limits nothing here.
const SETTINGS: [&str; 3] = [
    "limits.rpm=1000000000",
    "limits.tpm=1000000000000",
    "telemetry.log_filter=warn,voyage_gateway=info",
];

#[derive(Clone, Debug, Args)]
pub(super) struct Options {
    /// How often each row is measured.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Seconds of one measurement.
    #[arg(long, default_value_t = 1.0)]
    seconds: f64,
    /// Only rows whose name contains this.
    #[arg(long, default_value = "")]
    only: String,
}

impl Default for Options {
    fn default() -> Self {
        Self { rounds: 5, seconds: 1.0, only: String::new() }
    }
}

/// The call of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum What {
    /// The floor, which answers everything.
    Floor,
    /// The gateway, with texts it has.
    Hit,
    /// The gateway, with texts it never saw.
    Miss,
}

#[derive(Clone, Copy, Debug)]
enum Shape {
    /// So many calls in flight, as fast as they go.
    Saturate(usize),
    /// This part of the gateway's capacity.
    Pace(f64),
}

#[derive(Clone, Copy, Debug)]
struct Row {
    name: &'static str,
    texts: usize,
    shape: Shape,
    what: What,
    base: What,
    /// The most the row may cost, in its base's CPU time a request.
    bar: f64,
}

/// The bars of the design; those of hits at load apply to one write a frame, as now.
const ROWS: [Row; 7] = [
    row("hit, 1 text, at load", 1, Shape::Saturate(64), What::Hit, 1.25),
    row("hit, 1 text, one call at a time", 1, Shape::Saturate(1), What::Hit, 1.25),
    row("hit, 1 text, at 40 % load", 1, Shape::Pace(0.4), What::Hit, f64::NAN),
    row("hit, 128 texts", 128, Shape::Saturate(16), What::Hit, 1.25),
    row("hit, 1,000 texts", 1000, Shape::Saturate(16), What::Hit, 1.2),
    row("miss, 1 text", 1, Shape::Saturate(16), What::Miss, 3.5),
    Row {
        base: What::Hit,
        ..row("miss, 128 texts, against hit", 128, Shape::Saturate(4), What::Miss, 4.5)
    },
];

const fn row(name: &'static str, texts: usize, shape: Shape, what: What, bar: f64) -> Row {
    Row { name, texts, shape, what, base: What::Floor, bar }
}

/// One measurement.
#[derive(Clone, Debug)]
struct Figures {
    cpu_micros: f64,
    rate: f64,
    p50: f64,
    p99: f64,
}

struct Bench {
    floor: (Server, Client),
    gateway: (Server, Client),
    fresh: Arc<AtomicU64>,
    /// Requests a second the gateway has answered at load.
    capacity: f64,
    time: Duration,
}

pub(super) async fn run(options: &Options) -> anyhow::Result<()> {
    let simulator =
        Simulator::start(simulator::Options { remember: 0, ..Default::default() }).await?;
    let floor = Server::floor()?;
    let gateway = Server::gateway(&simulator.base_url(), &SETTINGS)?;
    let mut bench = Bench {
        floor: connected(floor).await?,
        gateway: connected(gateway).await?,
        fresh: Arc::new(AtomicU64::new(KNOWN)),
        capacity: 10_000.0,
        time: Duration::from_secs_f64(options.seconds),
    };
    bench.warm_up().await?;
    let mut lines = Vec::new();
    for row in ROWS.iter().filter(|row| row.name.contains(&options.only)) {
        let mut pairs = Vec::new();
        for round in 0..options.rounds {
            let base = bench.measure(row, row.base).await?;
            let own = bench.measure(row, row.what).await?;
            print_json(row, round, &base, &own);
            pairs.push((base, own));
        }
        if row.what == What::Hit && matches!(row.shape, Shape::Saturate(64)) {
            bench.capacity = Spread::of(pairs.iter().map(|(_, own)| own.rate)).median;
        }
        lines.push(table_row(row, &pairs));
    }
    println!();
    println!("{} rounds of {:?}; pinned: {}", options.rounds, bench.time, process::can_pin());
    println!(
        "| row | base, CPU µs | gateway, CPU µs | ratio | bar | calls/s | base p50/p99 ms | p50/p99 ms | p99 ratio |"
    );
    println!("|---|---|---|---|---|---|---|---|---|");
    for line in lines {
        println!("{line}");
    }
    Ok(())
}

async fn connected(server: Server) -> anyhow::Result<(Server, Client)> {
    let client = Client::connect(server.address, 8).await?;
    Ok((server, client))
}

impl Bench {
    /// Brings every known text into the cache.
    async fn warm_up(&self) -> anyhow::Result<()> {
        let known = (0..KNOWN).map(|number| text(number, TEXT)).collect();
        client::timed(&self.gateway.1, frame(&request(known)), VECTOR).await?;
        Ok(())
    }

    async fn measure(&self, row: &Row, what: What) -> anyhow::Result<Figures> {
        let (server, client) = if what == What::Floor { &self.floor } else { &self.gateway };
        let body = self.bodies(row.texts, what);
        let size = row.texts * VECTOR;
        let before = server.cpu_nanos()?;
        let load = match row.shape {
            Shape::Saturate(calls) => {
                client::saturate(client, calls, self.time, size, body).await?
            }
            Shape::Pace(part) => {
                client::pace(client, self.capacity * part, self.time, size, body).await?
            }
        };
        Ok(figures(&load, server.cpu_nanos()? - before))
    }

    /// Returns a source of requests: known texts in turn, or new ones.
    fn bodies(&self, texts: usize, what: What) -> impl Fn() -> Bytes + Clone + Send + 'static {
        let known: Vec<Bytes> = (0..8)
            .map(|turn| {
                let numbers = (0..texts as u64).map(|number| (number + turn * 128) % KNOWN);
                frame(&request(numbers.map(|number| text(number, TEXT)).collect()))
            })
            .collect();
        let (known, turn) = (Arc::new(known), Arc::new(AtomicU64::new(0)));
        let fresh = Arc::clone(&self.fresh);
        move || {
            if what == What::Miss {
                let first = fresh.fetch_add(texts as u64, Ordering::Relaxed);
                let numbers = first..first + texts as u64;
                return frame(&request(numbers.map(|number| text(number, TEXT)).collect()));
            }
            let turn = turn.fetch_add(1, Ordering::Relaxed);
            known[usize::try_from(turn).unwrap_or_default() % known.len()].clone()
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts of seconds, far below 2^52")]
fn figures(load: &Load, cpu_nanos: u64) -> Figures {
    let calls = load.latencies.len() as f64;
    Figures {
        cpu_micros: cpu_nanos as f64 / 1e3 / calls,
        rate: calls / load.elapsed.as_secs_f64(),
        p50: percentile(&load.latencies, 50),
        p99: percentile(&load.latencies, 99),
    }
}

fn print_json(row: &Row, round: usize, base: &Figures, own: &Figures) {
    let side = |figures: &Figures| {
        json!({
            "cpu_us": figures.cpu_micros, "calls_per_s": figures.rate,
            "p50_ms": figures.p50, "p99_ms": figures.p99,
        })
    };
    let line = json!({
        "row": row.name, "round": round, "base": format!("{:?}", row.base),
        "base_figures": side(base), "figures": side(own),
    });
    println!("{line}");
}

fn table_row(row: &Row, pairs: &[(Figures, Figures)]) -> String {
    let spread = |of: &dyn Fn(&(Figures, Figures)) -> f64| Spread::of(pairs.iter().map(of));
    let ratio = spread(&|(base, own)| own.cpu_micros / base.cpu_micros);
    let bar = match row.bar {
        bar if bar.is_nan() => "–".to_owned(),
        bar if ratio.median <= bar => format!("≤ {bar}"),
        bar => format!("≤ {bar} MISSED"),
    };
    format!(
        "| {} | {} | {} | {ratio} | {bar} | {:.0} | {:.2} / {:.2} | {:.2} / {:.2} | {} |",
        row.name,
        spread(&|(base, _)| base.cpu_micros),
        spread(&|(_, own)| own.cpu_micros),
        spread(&|(_, own)| own.rate).median,
        spread(&|(base, _)| base.p50).median,
        spread(&|(base, _)| base.p99).median,
        spread(&|(_, own)| own.p50).median,
        spread(&|(_, own)| own.p99).median,
        spread(&|(base, own)| own.p99 / base.p99),
    )
}
