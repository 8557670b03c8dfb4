//! `health`: a probe for containers that have nothing else to ask with.

use std::{
    io::{self, Write as _},
    time::Duration,
};

use anyhow::{Context as _, bail};
use clap::Args;
use tokio::time::timeout;
use tonic::{Code, transport::Endpoint};
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};

use crate::units::Span;

#[derive(Debug, Args)]
pub(super) struct HealthArgs {
    /// Where to ask: host and port of the admin port, which is plaintext whatever the gRPC port speaks.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:9090")]
    address: String,
    /// The longest to wait for the answer, connecting included.
    #[arg(long, value_name = "TIME", default_value = "1s")]
    timeout: Span,
    /// What to ask about: `readiness`, `liveness`, or the full name of a gRPC service. Nothing: the gateway as a
    /// whole, which is ready or not.
    #[arg(value_name = "SERVICE", default_value = "", hide_default_value = true)]
    service: String,
}

/// Asks, and prints what the answer is. Fails unless it is `SERVING`.
pub(super) async fn run(args: HealthArgs) -> anyhow::Result<()> {
    let limit: Duration = args.timeout.get();
    let asked = timeout(limit, ask(&args.address, args.service));
    let status = asked.await.with_context(|| format!("no answer within {}", args.timeout))??;
    writeln!(io::stdout(), "{}", status.as_str_name())?;
    if status != ServingStatus::Serving {
        bail!("it is up, and not serving");
    }
    Ok(())
}

async fn ask(address: &str, service: String) -> anyhow::Result<ServingStatus> {
    let nobody = || format!("nobody answers at {address}");
    let endpoint = Endpoint::try_from(format!("http://{address}"))
        .with_context(|| format!("{address:?} is not an address: expected HOST:PORT"))?;
    let channel = endpoint.connect().await.with_context(nobody)?;
    match HealthClient::new(channel).check(HealthCheckRequest { service }).await {
        Ok(reply) => Ok(reply.into_inner().status()),
        Err(status) if status.code() == Code::NotFound => {
            bail!("the gateway knows no such service")
        }
        Err(status) => bail!("{:?}: {}", status.code(), status.message()),
    }
}
