//! One log line when the exports of a signal begin to fail, and one when they succeed again.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use parking_lot::Mutex;

/// Whether the exports of a signal fail.
#[derive(Debug)]
pub(super) struct Outage {
    /// `traces` or `metrics`.
    signal: &'static str,
    failing: AtomicBool,
    /// The cause of the last failed request, where the exporter's error leaves it out.
    cause: Mutex<Option<String>>,
}

impl Outage {
    pub(super) fn new(signal: &'static str) -> Self {
        Self { signal, failing: AtomicBool::new(false), cause: Mutex::default() }
    }

    /// Keeps the cause of a failed request, without credentials.
    pub(super) fn caused_by(&self, cause: String) {
        *self.cause.lock() = Some(cause);
    }

    /// Notes that an export failed; `error` has no credentials.
    pub(super) fn begin(&self, error: &str) {
        let cause = self.cause.lock().take();
        if !self.failing.swap(true, Relaxed) {
            let error = cause.as_deref().unwrap_or(error);
            tracing::warn!(
                signal = self.signal,
                error,
                "OTLP export failing; telemetry is dropped"
            );
        }
    }

    /// Notes that an export succeeded.
    pub(super) fn end(&self) {
        if self.failing.swap(false, Relaxed) {
            tracing::info!(signal = self.signal, "OTLP export works again");
        }
    }
}
