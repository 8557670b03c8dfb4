//! What the scheduler is told: by callers, and by calls that have ended.

use std::sync::Arc;

use tokio::{sync::mpsc, time::Instant};

use super::{Queued, batch::Batch};
use crate::{caller::Priority, embedding::Parameters};

/// What callers tell the scheduler.
#[derive(Debug)]
pub(super) enum Command {
    /// New items of one lane.
    Submit { parameters: Arc<Parameters>, items: Vec<Queued> },
    /// One more waits for an item.
    Joined { parameters: Arc<Parameters>, id: u64, priority: Priority },
}

/// A call has ended; what comes back goes again.
///
/// Calls tell it on a channel of their own: the callers' one closes with the dispatch, and what was taken over by then
/// still lands.
#[derive(Debug)]
pub(super) struct Finished {
    pub(super) parameters: Arc<Parameters>,
    pub(super) returned: Vec<Returned>,
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
    finished: mpsc::UnboundedSender<Finished>,
    parameters: Arc<Parameters>,
    /// What goes again.
    pub(super) returned: Vec<Returned>,
}

impl Slot {
    pub(super) fn new(
        finished: mpsc::UnboundedSender<Finished>,
        parameters: Arc<Parameters>,
    ) -> Self {
        Self { finished, parameters, returned: Vec::new() }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let returned = std::mem::take(&mut self.returned);
        let parameters = Arc::clone(&self.parameters);
        // Without a scheduler there is nothing to give the call back to, and dropped items report it.
        let _ = self.finished.send(Finished { parameters, returned });
    }
}
