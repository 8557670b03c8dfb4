//! Logs: one line an event, on standard error. `docs/logs.md` explains the messages.

mod bound;
mod excerpt;

use std::{
    fmt,
    io::{self, IsTerminal as _},
    panic, thread,
};

use tracing_subscriber::{
    EnvFilter, Layer as _, Registry, filter::ParseError, fmt as lines, layer::SubscriberExt as _,
    reload, util::SubscriberInitExt as _, util::TryInitError,
};

pub use bound::bounded_line;
pub use excerpt::Excerpt;

use super::{LogFormat, TelemetryConfig};

/// Why the log cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum LoggingError {
    /// `telemetry.log_filter` is invalid.
    #[error("telemetry.log_filter: expected directives such as \"info\" or \"info,hyper=debug\"")]
    Filter(#[from] ParseError),
    /// The process has a log already.
    #[error(transparent)]
    Init(#[from] TryInitError),
    /// The log has ended.
    #[error("telemetry.log_filter: {0}")]
    Gone(#[from] reload::Error),
}

/// The levels of the process's log; cheap to clone.
#[derive(Clone)]
pub struct LogLevels(reload::Handle<EnvFilter, Registry>);

impl LogLevels {
    /// Returns a filter, and the handle that changes it.
    pub(crate) fn new(
        filter: &str,
    ) -> Result<(reload::Layer<EnvFilter, Registry>, Self), LoggingError> {
        let (layer, handle) = reload::Layer::new(parsed(filter)?);
        Ok((layer, Self(handle)))
    }

    /// Applies a `telemetry.log_filter` from the next line on, if it is new. An invalid one changes nothing.
    pub fn change(&self, filter: &str) -> Result<(), LoggingError> {
        let parsed = parsed(filter)?;
        if self.0.with_current(|current| current.to_string() != parsed.to_string())? {
            tracing::info!(filter, "log levels changed");
            self.0.reload(parsed)?;
        }
        Ok(())
    }
}

impl fmt::Debug for LogLevels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LogLevels")
    }
}

/// Starts the process's log on standard error: JSON for machines, plain lines on a terminal.
pub fn init(config: &TelemetryConfig) -> Result<LogLevels, LoggingError> {
    let (filter, levels) = LogLevels::new(&config.log_filter)?;
    let pretty = match config.log_format {
        LogFormat::Pretty => true,
        LogFormat::Json => false,
        LogFormat::Auto => io::stderr().is_terminal(),
    };
    let layer = if pretty { for_people().boxed() } else { for_machines(io::stderr).boxed() };
    Registry::default().with(filter).with(layer).try_init()?;
    log_panics();
    Ok(levels)
}

fn for_people() -> impl tracing_subscriber::Layer<Filtered> {
    // Reporting a failed write on the same broken pipe would panic.
    let layer = lines::layer().with_writer(io::stderr).log_internal_errors(false);
    layer.with_ansi(io::stderr().is_terminal()).with_target(false)
}

/// One object a line, even if values contain line feeds.
fn for_machines(
    writer: impl for<'a> lines::MakeWriter<'a> + Send + Sync + 'static,
) -> impl tracing_subscriber::Layer<Filtered> {
    let layer = lines::layer().with_writer(writer).log_internal_errors(false);
    layer.json().flatten_event(true).with_current_span(false)
}

/// The events that pass the filter.
type Filtered =
    tracing_subscriber::layer::Layered<reload::Layer<EnvFilter, Registry>, Registry, Registry>;

/// Parses a filter. Targets that it does not name log their errors, so that a misspelt name does not silence everything.
/// `h2` logs less only when it is named: peers can make it warn with every frame they send, and below that it quotes
/// them. This module always logs, to say that levels have changed.
fn parsed(filter: &str) -> Result<EnvFilter, ParseError> {
    EnvFilter::try_new(format!("error,h2=error,{}=info,{filter}", module_path!()))
}

/// Logs where a panic happened and never its message, which may quote a request. A failed print panics within `std`;
/// the console exporter, which alone prints, reports it.
fn log_panics() {
    panic::set_hook(Box::new(|panic| {
        if panic.location().is_some_and(|at| at.file().ends_with("std/src/io/stdio.rs")) {
            return;
        }
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        let thread = thread::current();
        tracing::error!(place, thread = thread.name(), "panicked");
    }));
}

#[cfg(test)]
mod tests;
