//! `serve`: runs the gateway until a signal stops it.

use std::{convert::Infallible, time::Duration};

use anyhow::Context as _;
use futures_util::FutureExt as _;

use super::{Failure, runtime};
use crate::{
    app::{self, Bound, BuildError, ReloadHandle},
    config::{self, Config, Sources},
    grpc::auth::AuthMode,
    telemetry::{self, ExportError, Flush, export},
    transport::{Hangup, StopSignals, process},
};

/// The longest delay of the exit by work that cannot be stopped, such as a name look-up.
const LAST_WORK: Duration = Duration::from_secs(1);

pub(super) fn run(sources: &Sources) -> Result<(), Failure> {
    // Before a key is read.
    let undumpable = process::forbid_dumps();
    let runtime = runtime()?;
    // The start may take seconds, and the first process of a container ignores signals that it does not catch.
    let (mut signals, hangup) = {
        let _inside = runtime.enter();
        (StopSignals::catch()?, Hangup::catch()?)
    };
    let config = config::load(sources)?;
    let keys = config::api_keys(&config, &sources.environment).map_err(Failure::Usage)?;
    let levels = telemetry::init_logging(&config.telemetry).context("logging")?;
    if let Err(error) = undumpable {
        tracing::warn!(%error, "cannot disable core dumps, which would contain the API key");
    }
    warn(&config);
    process::raise_file_limit();
    let exported = export::start(&config.telemetry, &config::otel(&sources.environment))?;
    let ended = runtime.block_on(async {
        let rules = config::live_rules(sources, &config, Some(levels), &exported.metrics);
        let telemetry = Some(exported.telemetry());
        let parts = app::Parts { telemetry, rules: Some(rules), upstream: None };
        let bound = tokio::select! {
            bound = app::build(&config, keys, parts) => bound?,
            () = signals.wait() => {
                tracing::info!("stopped during the start");
                return Ok(());
            }
        };
        serve(bound, signals, hangup, exported.flush).await
    });
    runtime.shutdown_timeout(LAST_WORK);
    ended
}

async fn serve(
    bound: Bound,
    signals: StopSignals,
    hangup: Hangup,
    flush: Flush,
) -> Result<(), Failure> {
    let (stop, hurry) = signals.first_and_second();
    let hurry = hurry.shared();
    tracing::info!(port = "grpc", address = %bound.grpc_address()?, "listening");
    tracing::info!(port = "admin", address = %bound.admin_address()?, "listening");
    let reload = bound.reload_handle();
    let ended = tokio::select! {
        ended = bound.run_until(stop, hurry.clone()) => ended,
        never = reload_at_every(hangup, reload) => match never {},
    };
    flush.finish(hurry).await;
    Ok(ended.map_err(anyhow::Error::from)?)
}

impl From<ExportError> for Failure {
    fn from(error: ExportError) -> Self {
        match error {
            ExportError::Thread(_) | ExportError::Metrics(_) => Self::Runtime(error.into()),
            _ => Self::Usage(error.to_string()),
        }
    }
}

/// Reloads all watched files at every SIGHUP.
async fn reload_at_every(mut hangup: Hangup, reload: ReloadHandle) -> Infallible {
    loop {
        hangup.wait().await;
        tracing::info!("SIGHUP: reloading all watched files");
        reload.request();
    }
}

impl From<BuildError> for Failure {
    fn from(error: BuildError) -> Self {
        match error {
            BuildError::Config(problem) => Self::Usage(problem),
            BuildError::System(error) => Self::Runtime(error),
        }
    }
}

/// Warns of settings that are allowed and risky.
fn warn(config: &Config) {
    if config.auth.mode == Some(AuthMode::None) {
        tracing::warn!(address = %config.server.listen, "auth.mode is none: any client of the port can spend tokens");
    }
    if config.exposes_credentials() {
        tracing::warn!(address = %config.server.listen, "callers' credentials cross the network in plaintext: set tls.cert and tls.key, or let a mesh encrypt them");
    }
    if config.upstream.is_plaintext_abroad() {
        tracing::warn!("upstream.base_url is plaintext http: the network can read the API key");
    }
}
