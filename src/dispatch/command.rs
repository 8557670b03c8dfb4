//! What the scheduler is told, by callers and by calls that have ended.

use std::sync::Arc;

use tokio::{sync::mpsc, time::Instant};

use super::{Queued, batch::Batch};
use crate::{caller::Priority, embedding::Parameters};

/// What the scheduler is told.
#[derive(Debug)]
pub(super) enum Command {
    /// New items of one lane.
    Submit { parameters: Arc<Parameters>, items: Vec<Queued> },
    /// One more waits for an item.
    Joined { parameters: Arc<Parameters>, id: u64, priority: Priority },
    /// A call has ended; what comes back goes again.
    Finished { parameters: Arc<Parameters>, returned: Vec<Returned> },
}

/// A batch that goes again, as it is.
#[derive(Debug)]
pub(super) struct Returned {
    pub(super) batch: Batch,
    /// Not before this.
    pub(super) at: Instant,
    /// Whether it waits for nothing but budget, which may be free earlier than was known.
    pub(super) blocked: bool,
}

impl Returned {
    pub(super) fn new(batch: Batch, at: Instant) -> Self {
        Self { batch, at, blocked: false }
    }

    pub(super) fn blocked(batch: Batch, at: Instant) -> Self {
        Self { batch, at, blocked: true }
    }
}

/// One of the calls that may be in flight; given back when it is dropped, also by a panic.
#[derive(Debug)]
pub(super) struct Slot {
    commands: mpsc::WeakUnboundedSender<Command>,
    parameters: Arc<Parameters>,
    /// What goes again.
    pub(super) returned: Vec<Returned>,
}

impl Slot {
    pub(super) fn new(
        commands: mpsc::WeakUnboundedSender<Command>,
        parameters: Arc<Parameters>,
    ) -> Self {
        Self { commands, parameters, returned: Vec::new() }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let returned = std::mem::take(&mut self.returned);
        let parameters = Arc::clone(&self.parameters);
        // Without a scheduler there is nothing to give the call back to, and dropped items report it.
        if let Some(commands) = self.commands.upgrade() {
            let _ = commands.send(Command::Finished { parameters, returned });
        }
    }
}
