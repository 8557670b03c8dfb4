//! An OTLP exporter with its own runtime, a deadline for each export, and cancellation at the process's end.

use std::{sync::Arc, time::Duration};

use opentelemetry_sdk::error::{OTelSdkError, OTelSdkResult};
use tokio::{runtime::Handle, time::timeout};
use tokio_util::sync::CancellationToken;

use super::outage::Outage;

/// The exporter of a signal to its collector.
#[derive(Debug)]
pub(super) struct Collector<E> {
    pub(super) exporter: E,
    /// For one export with its retries.
    pub(super) timeout: Duration,
    pub(super) runtime: Handle,
    pub(super) cancelled: CancellationToken,
    pub(super) outage: Arc<Outage>,
}

impl<E> Collector<E> {
    /// Runs an export to its end, its timeout or the cancellation. Blocks: only the SDK's own threads call it.
    pub(super) fn send<'a, F>(&'a self, export: impl FnOnce(&'a E) -> F) -> OTelSdkResult
    where
        F: Future<Output = OTelSdkResult> + 'a,
    {
        let sent = self.runtime.block_on(async {
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
