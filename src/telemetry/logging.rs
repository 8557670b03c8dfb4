//! Logs: one line an event, on standard error. `docs/logs.md` says what the lines mean.

mod bound;
mod excerpt;
mod targets;
mod told;

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
    /// `telemetry.log_filter` is no filter.
    #[error("telemetry.log_filter: expected directives such as \"info\" or \"info,hyper=debug\"")]
    Filter(#[from] ParseError),
    /// The process has a log already.
    #[error(transparent)]
    Init(#[from] TryInitError),
    /// The log is gone.
    #[error("telemetry.log_filter: {0}")]
    Gone(#[from] reload::Error),
}

/// Which lines the process's log has; cheap to clone.
#[derive(Clone)]
pub struct LogLevels(reload::Handle<EnvFilter, Registry>);

impl LogLevels {
    /// Makes a filter, and the handle that changes it.
    pub(crate) fn new(
        filter: &str,
    ) -> Result<(reload::Layer<EnvFilter, Registry>, Self), LoggingError> {
        let (layer, handle) = reload::Layer::new(parsed(filter)?);
        Ok((layer, Self(handle)))
    }

    /// Puts `telemetry.log_filter` in force from the next line on, or leaves everything as it is.
    pub fn change(&self, filter: &str) -> Result<(), LoggingError> {
        let parsed = parsed(filter)?;
        told::changed(filter);
        told::strangers(filter);
        self.0.reload(parsed)?;
        Ok(())
    }
}

impl fmt::Debug for LogLevels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LogLevels")
    }
}

/// Sends the process's log to standard error: JSON for machines, plain lines on a terminal.
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
    told::strangers(&config.log_filter);
    Ok(levels)
}

fn for_people() -> impl tracing_subscriber::Layer<Filtered> {
    // A log that cannot be written is lost: to complain on the same broken pipe would panic.
    let layer = lines::layer().with_writer(io::stderr).log_internal_errors(false);
    layer.with_ansi(io::stderr().is_terminal()).with_target(false)
}

/// One object a line, whatever is in its values.
fn for_machines(
    writer: impl for<'a> lines::MakeWriter<'a> + Send + Sync + 'static,
) -> impl tracing_subscriber::Layer<Filtered> {
    let layer = lines::layer().with_writer(writer).log_internal_errors(false);
    layer.json().flatten_event(true).with_current_span(false)
}

/// What the lines are written for: whatever passes the filter.
type Filtered =
    tracing_subscriber::layer::Layered<reload::Layer<EnvFilter, Registry>, Registry, Registry>;

/// Makes a filter. What it does not speak of has its errors: a slip in a name must not silence everything. Of `h2` it must
/// speak by name: peers can make it warn with every frame they send, and below that it quotes them.
fn parsed(filter: &str) -> Result<EnvFilter, ParseError> {
    EnvFilter::try_new(format!("error,h2=error,{}=info,{filter}", told::TARGET))
}

/// Logs where a panic happened and never its message: a message can quote what was being worked on.
fn log_panics() {
    panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        let thread = thread::current();
        tracing::error!(place, thread = thread.name(), "panicked");
    }));
}

#[cfg(test)]
mod tests;
