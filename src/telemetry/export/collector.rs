//! An OTLP exporter with its own runtime, a deadline for each export, and cancellation at the process's end.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use opentelemetry_sdk::error::{OTelSdkError, OTelSdkResult};
use parking_lot::Mutex;
use tokio::{
    runtime::{Builder, Handle, Runtime},
    time::timeout,
};
use tokio_util::sync::CancellationToken;

/// The runtime of all exporters. It ends with the last of them: a timer of an export that is still running would panic.
#[derive(Debug)]
pub(super) struct ExportRuntime {
    /// `None` only while it is dropped.
    runtime: Option<Runtime>,
    handle: Handle,
}

impl ExportRuntime {
    pub(super) fn start() -> io::Result<Arc<Self>> {
        let mut builder = Builder::new_multi_thread();
        let runtime = builder.worker_threads(1).thread_name("otlp-export").enable_all().build()?;
        let handle = runtime.handle().clone();
        Ok(Arc::new(Self { runtime: Some(runtime), handle }))
    }

    pub(super) fn handle(&self) -> &Handle {
        &self.handle
    }
}

impl Drop for ExportRuntime {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            // Waiting for it is forbidden within another runtime.
            runtime.shutdown_background();
        }
    }
}

/// The exporter of a signal to its collector.
#[derive(Debug)]
pub(super) struct Collector<E> {
    pub(super) exporter: E,
    /// For one export with its retries.
    pub(super) timeout: Duration,
    pub(super) runtime: Arc<ExportRuntime>,
    pub(super) cancelled: CancellationToken,
    pub(super) outage: Arc<Outage>,
}

impl<E> Collector<E> {
    /// Runs an export to its end, its timeout or the cancellation. Blocks: only the SDK's own threads call it.
    pub(super) fn send<'a, F>(&'a self, export: impl FnOnce(&'a E) -> F) -> OTelSdkResult
    where
        F: Future<Output = OTelSdkResult> + 'a,
    {
        let sent = self.runtime.handle().block_on(async {
            tokio::select! {
                biased;
                () = self.cancelled.cancelled() => Err(OTelSdkError::AlreadyShutdown),
                sent = timeout(self.timeout, export(&self.exporter)) => {
                    sent.unwrap_or(Err(OTelSdkError::Timeout(self.timeout)))
                }
            }
        });
        match &sent {
            Ok(()) => self.outage.end(),
            Err(_) if self.cancelled.is_cancelled() => {}
            Err(error) => self.outage.begin(&error.to_string()),
        }
        sent
    }
}

/// Whether the exports of a signal fail: one log line when they begin to, and one when they succeed again.
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
