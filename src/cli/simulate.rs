//! `simulate`: runs the simulator by itself.

use std::net::SocketAddr;

use anyhow::Context as _;
use clap::Args;

use super::{Failure, runtime};
use crate::{
    simulator::{AcceptedKeys, FaultRule, Latency, Options, Simulator},
    telemetry::{self, TelemetryConfig},
    transport::StopSignals,
    units::TimeSpan,
};

#[derive(Debug, Args)]
#[command(after_help = faults())]
pub(super) struct SimulateArgs {
    /// The address to listen on; port 0 picks a free port.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8080")]
    listen: SocketAddr,
    /// Accept only this key; the default is any. May be repeated.
    #[arg(long, value_name = "KEY")]
    api_key: Vec<String>,
    /// Requests a minute for each key and model; the default is no limit.
    #[arg(long, value_name = "N")]
    rpm: Option<u32>,
    /// Tokens a minute for each key and model; the default is no limit.
    #[arg(long, value_name = "N")]
    tpm: Option<u64>,
    /// The latency of successful replies, such as 100ms.
    #[arg(long, value_name = "TIME", default_value = "0s")]
    latency: TimeSpan,
    /// Latency added for each thousand tokens.
    #[arg(long, value_name = "TIME", default_value = "0s")]
    latency_per_1k_tokens: TimeSpan,
    /// The largest random latency added.
    #[arg(long, value_name = "TIME", default_value = "0s")]
    jitter: TimeSpan,
    /// Log every call: its number, inputs, tokens and status, never its texts.
    #[arg(long)]
    log_requests: bool,
    /// A fault of every call (cut-body), at a rate (503:5%) or of one call (hang@3). May be repeated.
    #[arg(long, value_name = "RULE")]
    fault: Vec<FaultRule>,
}

fn faults() -> String {
    format!("Faults are HTTP statuses, and {}.", FaultRule::names())
}

pub(super) fn run(args: SimulateArgs) -> Result<(), Failure> {
    telemetry::init_logging(&TelemetryConfig::default()).context("logging")?;
    Ok(runtime()?.block_on(simulate(args))?)
}

async fn simulate(args: SimulateArgs) -> anyhow::Result<()> {
    let options = Options {
        listen: args.listen,
        rpm: args.rpm,
        tpm: args.tpm,
        latency: Latency {
            base: args.latency.get(),
            per_1k_tokens: args.latency_per_1k_tokens.get(),
            jitter: args.jitter.get(),
        },
        keys: if args.api_key.is_empty() {
            AcceptedKeys::default()
        } else {
            AcceptedKeys::only(args.api_key)
        },
        log_requests: args.log_requests,
        // Only tests in this process read the calls.
        remember: 0,
        ..Options::default()
    };
    for rule in args.fault {
        options.script.add(rule);
    }
    let mut stop = StopSignals::catch()?;
    let simulator = Simulator::start(options)
        .await
        .with_context(|| format!("cannot listen on {} (--listen)", args.listen))?;
    tracing::info!(port = "simulator", address = %simulator.address(), base_url = simulator.base_url(), "listening");
    tokio::select! {
        () = simulator.stopped() => {}
        () = stop.wait() => {}
    }
    Ok(())
}
