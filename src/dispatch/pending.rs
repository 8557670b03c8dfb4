//! Items in the dispatch, their flight owners, and their cost.

use std::sync::{
    Arc, OnceLock,
    atomic::{AtomicU32, Ordering},
};

use parking_lot::Mutex;
use tokio::time::Instant;

use super::{pending_limit::PendingPermit, send_info::SendInfo};
use crate::{
    caller::{Caller, Priority},
    error::Error,
    item::{Answer, Input, Size, Usage},
    tokens::Measure,
};

/// An input to send to Voyage.
#[derive(Debug)]
pub struct Item {
    /// Unique in the process.
    pub id: u64,
    /// The request that it was first needed for: unique in the process.
    pub request: u64,
    /// The input.
    pub input: Input,
    /// The result of [`super::Dispatch::measure`], to count once.
    pub measure: Option<Measure>,
    /// The queue it waits in.
    pub priority: Priority,
    /// The caller for fair queuing.
    pub caller: Caller,
    /// Receives the result.
    pub owner: Box<dyn FlightOwner>,
}

/// The owner of an item's flight.
///
/// Dropped without a result, it completes the flight with an internal error, so a panic blocks no waiter.
pub trait FlightOwner: Send + std::fmt::Debug {
    /// Returns the combined demand of the waiters; `None`: there are none, and the flight is closed.
    fn demand(&self) -> Option<Demand>;

    /// Marks the item as sent. False: there are no waiters, so it must not be sent.
    fn send(&self, send_info: &Arc<SendInfo>) -> bool;

    /// Marks the item as queued again, because of a rate limit.
    fn requeue(&self);

    /// Rejects the waiters that cannot wait until `until`.
    fn reject_late(&self, until: Instant, refusal: &Error);

    /// Closes the flight, which has no waiters; unusable replies cost `wasted` tokens.
    fn cancel(self: Box<Self>, wasted: u64);

    /// Completes the flight.
    fn complete(self: Box<Self>, result: Result<Answer, Error>, bill: Bill);
}

/// The combined demand of an item's waiters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Demand {
    /// The latest deadline.
    pub until: Instant,
    /// The highest priority.
    pub priority: Priority,
    /// The time before which the item must be sent for its least patient waiter.
    pub least_patience: Instant,
    /// The same for its most patient waiter.
    pub most_patience: Instant,
}

/// The cost of an item; nothing by default.
#[derive(Clone, Debug, Default)]
pub struct Bill {
    /// The item's share of the usage that Voyage reported.
    pub usage: Usage,
    /// Its share of the tokens of unusable replies; charged, but not part of the answer's cost.
    pub wasted: u64,
    /// Whether the usage is an estimate, because Voyage reported none.
    pub guessed: bool,
    /// The calls the item was part of.
    pub stats: Arc<CallStats>,
}

/// The upstream requests of one batch, including retries and resends.
#[derive(Debug, Default)]
pub struct CallStats {
    pub(super) items: AtomicU32,
    pub(super) requests: AtomicU32,
    pub(super) reply: OnceLock<ReplyMetadata>,
    /// The start and end of each finished request.
    calls: Mutex<Vec<(Instant, Instant)>>,
}

/// The metadata of a reply.
#[derive(Clone, Debug)]
pub struct ReplyMetadata {
    /// Voyage's `x-request-id`.
    pub request_id: Option<Arc<str>>,
    /// Voyage's `x-api-warning`.
    pub warning: Option<Arc<str>>,
}

impl CallStats {
    /// Returns the number of items.
    pub fn items(&self) -> u32 {
        self.items.load(Ordering::Relaxed)
    }

    /// Returns the number of HTTP requests sent.
    pub fn requests(&self) -> u32 {
        self.requests.load(Ordering::Relaxed)
    }

    /// Returns the start and end of each finished request.
    pub fn calls(&self) -> Vec<(Instant, Instant)> {
        self.calls.lock().clone()
    }

    pub(super) fn called(&self, sent_at: Instant, ended_at: Instant) {
        self.calls.lock().push((sent_at, ended_at));
    }

    /// Returns the metadata of the first reply.
    pub fn reply(&self) -> Option<&ReplyMetadata> {
        self.reply.get()
    }
}

/// An item in a lane.
#[derive(Debug)]
pub(super) struct Queued {
    pub(super) item: Item,
    pub(super) measure: Measure,
    /// Its size, with the tokens to reserve.
    pub(super) size: Size,
    /// Expected tokens.
    pub(super) expected: u64,
    pub(super) at: Instant,
    /// Its share of the tokens of unusable replies.
    pub(super) wasted: u64,
    pub(super) _permit: PendingPermit,
}

impl Queued {
    /// Returns whether it has waiters; if not, its flight is closed.
    pub(super) fn is_wanted(&self) -> bool {
        self.item.owner.demand().is_some()
    }

    /// Ends an item without waiters.
    pub(super) fn cancel(self) {
        self.item.owner.cancel(self.wasted);
    }
}
