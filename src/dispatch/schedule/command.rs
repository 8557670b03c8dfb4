//! Commands to the scheduler.

use std::sync::Arc;

use crate::{caller::Priority, dispatch::pending::Queued, embedding::Parameters};

/// A command to the scheduler.
#[derive(Debug)]
pub(in crate::dispatch) enum Command {
    /// New items of one lane.
    Submit { parameters: Arc<Parameters>, items: Vec<Queued> },
    /// A new waiter for an item.
    Joined { parameters: Arc<Parameters>, id: u64, priority: Priority },
}
