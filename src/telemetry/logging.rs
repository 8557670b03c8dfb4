//! Logs: one line an event, on standard error.

use std::{
    io::{self, IsTerminal as _},
    panic, thread,
};

use tracing_subscriber::{EnvFilter, filter::ParseError, util::TryInitError};

use super::{LogFormat, TelemetryConfig};

/// Why the log cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum LoggingError {
    /// `telemetry.log_filter` is no filter.
    #[error("telemetry.log_filter: expected directives such as \"info\" or \"info,hyper=debug\"")]
    Filter(#[from] ParseError),
    /// The process has a log already.
    #[error(transparent)]
    Init(#[from] TryInitError),
}

/// Sends the process's log to standard error: JSON for machines, plain lines on a terminal.
pub fn init(config: &TelemetryConfig) -> Result<(), LoggingError> {
    use tracing_subscriber::util::SubscriberInitExt as _;

    let filter = EnvFilter::try_new(&config.log_filter)?;
    // A log that cannot be written is lost: to complain on the same broken pipe would panic.
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .log_internal_errors(false);
    let pretty = match config.log_format {
        LogFormat::Pretty => true,
        LogFormat::Json => false,
        LogFormat::Auto => io::stderr().is_terminal(),
    };
    if pretty {
        builder.with_ansi(io::stderr().is_terminal()).with_target(false).finish().try_init()?;
    } else {
        builder.json().flatten_event(true).with_current_span(false).finish().try_init()?;
    }
    log_panics();
    Ok(())
}

/// Logs where a panic happened and never its message: a message can quote what was being worked on.
fn log_panics() {
    panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        let thread = thread::current();
        tracing::error!(place, thread = thread.name(), "panicked");
    }));
}
