//! The signals that tell a process to stop, and the one that tells it to look again.

use std::{future::pending, io};

use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::oneshot,
};

/// SIGTERM and SIGINT, caught from the moment this exists.
#[derive(Debug)]
pub struct StopSignals {
    terminate: Signal,
    interrupt: Signal,
}

impl StopSignals {
    /// Starts catching them.
    pub fn catch() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    /// Waits for the next of either.
    pub async fn wait(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }

    /// Splits them into the first of either, and the one after that.
    pub fn first_and_second(mut self) -> (impl Future<Output = ()>, impl Future<Output = ()>) {
        let (hand_on, handed_on) = oneshot::channel();
        let first = async move {
            self.wait().await;
            // Nobody who waits for a second one is nobody to tell.
            let _ = hand_on.send(self);
        };
        let second = async move {
            match handed_on.await {
                Ok(mut signals) => signals.wait().await,
                Err(_) => pending().await,
            }
        };
        (first, second)
    }
}

/// SIGHUP, caught from the moment this exists: it asks for another look at what is followed, and ends nothing.
#[derive(Debug)]
pub struct Hangup(Signal);

impl Hangup {
    /// Starts catching it.
    pub fn catch() -> io::Result<Self> {
        Ok(Self(signal(SignalKind::hangup())?))
    }

    /// Waits for the next one; several that nobody waited for are one.
    pub async fn wait(&mut self) {
        if self.0.recv().await.is_none() {
            pending::<()>().await;
        }
    }
}
