//! Export to standard output.

use std::{
    io::{self, Write as _},
    panic::AssertUnwindSafe,
    sync::atomic::{AtomicBool, Ordering::Relaxed},
};

use futures_util::FutureExt as _;
use opentelemetry_sdk::error::{OTelSdkError, OTelSdkResult};

/// An exporter of `opentelemetry-stdout`. It panics if standard output is closed, so it is not used any more then.
#[derive(Debug, Default)]
pub(super) struct Console<E> {
    pub(super) exporter: E,
    is_closed: AtomicBool,
}

impl<E> Console<E> {
    /// Prints a batch; fails once standard output is closed.
    pub(super) async fn print<'a, F>(&'a self, export: impl FnOnce(&'a E) -> F) -> OTelSdkResult
    where
        F: Future<Output = OTelSdkResult> + 'a,
    {
        let mut printed = None;
        // Writing an empty line finds a closed output without a panic.
        if !self.is_closed.load(Relaxed) && writeln!(io::stdout()).is_ok() {
            printed = AssertUnwindSafe(export(&self.exporter)).catch_unwind().await.ok();
        }
        printed.unwrap_or_else(|| {
            if !self.is_closed.swap(true, Relaxed) {
                tracing::warn!("standard output is closed; telemetry is no longer printed");
            }
            Err(OTelSdkError::InternalFailure("standard output is closed".to_owned()))
        })
    }
}
