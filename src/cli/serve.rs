//! `serve`: the gateway, until it is told to stop.

use anyhow::Context as _;

use super::{Failure, runtime};
use crate::{
    app::{self, Bound, BuildError},
    config::{self, Config, Sources},
    grpc::auth::AuthMode,
    telemetry,
    transport::StopSignals,
};

pub(super) fn run(sources: &Sources) -> Result<(), Failure> {
    let config = config::load(sources)?;
    let keys = config::api_keys(&config, &sources.environment)
        .map_err(|problem| Failure::Usage(problem.to_string()))?;
    telemetry::init_logging(&config.telemetry).context("logging")?;
    warn(&config);
    runtime()?.block_on(async { serve(app::build(&config, keys).await?).await })
}

async fn serve(bound: Bound) -> Result<(), Failure> {
    // Before it says that it is up: whoever hears that may stop it at once.
    let mut stop = StopSignals::catch()?;
    tracing::info!(port = "grpc", address = %bound.grpc_address()?, "listening");
    tracing::info!(port = "admin", address = %bound.admin_address()?, "listening");
    bound.run_until(stop.wait()).await;
    Ok(())
}

/// A key file that cannot be used is a wrong setting; what else stops a gateway is the machine's affair.
impl From<BuildError> for Failure {
    fn from(error: BuildError) -> Self {
        match error {
            BuildError::CacheKey { .. } | BuildError::Tokenizer(_) | BuildError::ApiKey(_) => {
                Self::Usage(error.to_string())
            }
            BuildError::Listen { .. }
            | BuildError::Upstream(_)
            | BuildError::Metrics(_)
            | BuildError::Reflection(_) => Self::Runtime(error.into()),
        }
    }
}

/// Says what is allowed and yet deserves a second thought.
fn warn(config: &Config) {
    if config.auth.mode == Some(AuthMode::None) {
        tracing::warn!(address = %config.server.listen, "auth.mode is none: whoever reaches the port may spend");
    }
    if config.upstream.is_plaintext_abroad() {
        tracing::warn!("upstream.base_url is plaintext http: the network can read the API key");
    }
}
