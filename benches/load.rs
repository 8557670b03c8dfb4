//! The end-to-end load bench: the real gateway between a raw HTTP/2 client and the simulator.
//!
//! `table` compares CPU per request with a floor, a bare tonic server that answers one canned reply; `promises`
//! checks the gateway's promises about sharing, budgets and failures. See `README.md` beside this folder.

#![expect(clippy::print_stdout, reason = "its purpose is its output")]

#[path = "load/client.rs"]
mod client;
#[path = "load/floor.rs"]
mod floor;
#[path = "load/process.rs"]
mod process;
#[path = "load/promises.rs"]
mod promises;
#[path = "load/stats.rs"]
mod stats;
#[path = "load/table.rs"]
mod table;

use clap::{Parser, Subcommand};

/// Load runs of the gateway against the simulator.
#[derive(Debug, Parser)]
struct Options {
    #[command(subcommand)]
    run: Option<Run>,
    /// Set by `cargo bench`.
    #[arg(long, hide = true, global = true)]
    bench: bool,
}

#[derive(Debug, Subcommand)]
enum Run {
    /// CPU per request, gateway against floor, in interleaved rounds. The default.
    Table(table::Options),
    /// The gateway's promises, one verdict a line.
    Promises(promises::Options),
    /// The bare server the table compares with.
    #[command(hide = true)]
    Floor,
}

fn main() -> anyhow::Result<()> {
    match Options::parse().run.unwrap_or(Run::Table(table::Options::default())) {
        Run::Table(options) => {
            process::pin_self();
            runtime(1)?.block_on(table::run(&options))
        }
        Run::Promises(options) => runtime(4)?.block_on(promises::run(&options)),
        // As many threads as cores it may use, like the gateway.
        Run::Floor => {
            tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(floor::run())
        }
    }
}

fn runtime(threads: usize) -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread().worker_threads(threads).enable_all().build()
}
