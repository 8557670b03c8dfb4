//! What the dispatch asks of the scheduler.

use std::sync::Arc;

use tokio::{sync::oneshot, time::Instant};

use super::{Scheduler, plan::Planned};
use crate::{
    caller::Priority,
    dispatch::pending::Queued,
    item::{Parameters, Size},
};

/// A command to the scheduler.
#[derive(Debug)]
pub(in crate::dispatch) enum Command {
    /// New items of one lane.
    Submit { parameters: Arc<Parameters>, items: Vec<Queued> },
    /// A new waiter for an item.
    Joined { parameters: Arc<Parameters>, id: u64, priority: Priority },
    /// A question about a request that is not sent.
    Plan {
        parameters: Arc<Parameters>,
        sizes: Vec<Size>,
        priority: Priority,
        reply: oneshot::Sender<Planned>,
    },
}

impl Scheduler {
    /// Obeys a command.
    pub(super) fn obey(&mut self, command: Command, now: Instant) {
        match command {
            Command::Submit { parameters, items } => {
                let clock = &mut self.clock;
                self.lanes.open(&parameters, |lane| {
                    for mut queued in items {
                        // A waiter that joined before the item arrived could not raise its priority.
                        if let Some(demand) = queued.item.owner.demand() {
                            queued.item.priority = queued.item.priority.min(demand.priority);
                        }
                        lane.push(queued, clock);
                    }
                });
                self.unestimated = true;
            }
            Command::Joined { parameters, id, priority } => {
                let clock = &mut self.clock;
                let is_queued = self.lanes.change(&parameters, |lane| {
                    if lane.queue.contains(id) && priority == Priority::Interactive {
                        lane.queue.lift(id, clock);
                        lane.blocked_until = None;
                        return true;
                    }
                    lane.queue.contains(id)
                });
                if is_queued == Some(true) {
                    self.unestimated = true;
                } else {
                    self.joined_returned(id, priority, now);
                }
            }
            Command::Plan { parameters, sizes, priority, reply } => {
                // The question may have been withdrawn.
                let _ = reply.send(self.plan(&parameters, &sizes, priority, now));
            }
        }
    }
}
