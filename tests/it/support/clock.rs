//! Tokio's clock in the hands of a test, so that no verdict depends on the speed of the machine.
//!
//! Both need a runtime of one thread, which `#[tokio::test]` has.

use std::{sync::mpsc, time::Duration};

use tokio::{task::spawn_blocking, time};

use super::PATIENCE;

/// Moves the clock forward: whatever was due within this time happens now.
pub(crate) async fn pass(span: Duration) {
    time::pause();
    time::advance(span).await;
    time::resume();
}

/// Stops the clock as long as it exists: no deadline, delay or timeout ends.
pub(crate) struct StoppedClock {
    _busy: mpsc::Sender<()>,
}

impl StoppedClock {
    /// Stops the clock. A paused clock moves on when the runtime is idle, but not while a blocking task runs. That task
    /// ends after [`PATIENCE`], so that a test whose gateway waits for a time fails instead of hanging.
    pub(crate) fn new() -> Self {
        time::pause();
        let (busy, done) = mpsc::channel::<()>();
        spawn_blocking(move || done.recv_timeout(PATIENCE));
        Self { _busy: busy }
    }
}

impl Drop for StoppedClock {
    fn drop(&mut self) {
        time::resume();
    }
}
