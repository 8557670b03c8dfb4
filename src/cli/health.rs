//! `health`: a health probe for containers without other tools.

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

use crate::units::TimeSpan;

#[derive(Debug, Args)]
pub(super) struct HealthArgs {
    /// The host and port of the admin port, which is plaintext even when the gRPC port uses TLS.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:9090")]
    address: String,
    /// The longest wait for the answer, connecting included.
    #[arg(long, value_name = "TIME", default_value = "1s")]
    timeout: TimeSpan,
    /// `readiness`, `liveness`, or the full name of a gRPC service; the default is the readiness of the gateway.
    #[arg(value_name = "SERVICE", default_value = "", hide_default_value = true)]
    service: String,
}

/// Queries and prints the status. Fails unless it is `SERVING`.
pub(super) async fn run(args: HealthArgs) -> anyhow::Result<()> {
    let limit: Duration = args.timeout.get();
    let asked = timeout(limit, ask(&args.address, args.service));
    let status = asked.await.with_context(|| format!("no answer within {}", args.timeout))??;
    writeln!(io::stdout(), "{}", status.as_str_name())?;
    if status != ServingStatus::Serving {
        bail!("status: {}", status.as_str_name());
    }
    Ok(())
}

async fn ask(address: &str, service: String) -> anyhow::Result<ServingStatus> {
    let endpoint = Endpoint::try_from(format!("http://{address}"))
        .with_context(|| format!("{address:?} is not an address: expected HOST:PORT"))?;
    let channel =
        endpoint.connect().await.with_context(|| format!("cannot connect to {address}"))?;
    match HealthClient::new(channel).check(HealthCheckRequest { service }).await {
        Ok(reply) => Ok(reply.into_inner().status()),
        Err(status) if status.code() == Code::NotFound => {
            bail!("no such service")
        }
        Err(status) => bail!("{:?}: {}", status.code(), status.message()),
    }
}
