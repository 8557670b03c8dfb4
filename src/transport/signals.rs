//! SIGTERM, SIGINT and SIGHUP.

use std::{future::pending, io};

use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::oneshot,
};

/// Handlers of SIGTERM and SIGINT, installed while this exists.
#[derive(Debug)]
pub struct StopSignals {
    terminate: Signal,
    interrupt: Signal,
}

impl StopSignals {
    /// Installs the handlers.
    pub fn catch() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    /// Waits for the next signal.
    pub async fn wait(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }

    /// Returns a future of the first signal and one of the second.
    pub fn first_and_second(mut self) -> (impl Future<Output = ()>, impl Future<Output = ()>) {
        let (send, received) = oneshot::channel();
        let first = async move {
            self.wait().await;
            // Fails if the second future was dropped.
            let _ = send.send(self);
        };
        let second = async move {
            match received.await {
                Ok(mut signals) => signals.wait().await,
                Err(_) => pending().await,
            }
        };
        (first, second)
    }
}

/// A handler of SIGHUP, installed while this exists: the signal reloads all watched files.
#[derive(Debug)]
pub struct Hangup(Signal);

impl Hangup {
    /// Installs the handler.
    pub fn catch() -> io::Result<Self> {
        Ok(Self(signal(SignalKind::hangup())?))
    }

    /// Waits for the next signal; signals between two waits count as one.
    pub async fn wait(&mut self) {
        if self.0.recv().await.is_none() {
            pending::<()>().await;
        }
    }
}
