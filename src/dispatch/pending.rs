//! What waits behind the door: items, their owners and what they cost.

use std::sync::{
    Arc, OnceLock,
    atomic::{AtomicU32, Ordering},
};

use parking_lot::Mutex;
use tokio::time::Instant;

use super::{pending_limit::PendingPermit, send_info::SendInfo};
use crate::{
    caller::{Caller, Priority},
    embedding::{Answer, Input},
    error::Error,
    tokens::Measure,
};

/// An input on its way to Voyage, and who waits for its answer.
#[derive(Debug)]
pub struct Item {
    /// Unique among all items there ever were.
    pub id: u64,
    /// What to embed.
    pub input: Input,
    /// What [`super::Dispatch::estimate`] found out about it, so that it is not counted twice.
    pub measure: Option<Measure>,
    /// How urgent it is.
    pub priority: Priority,
    /// Whose share of the upstream it takes.
    pub caller: Caller,
    /// Who gets the answer.
    pub owner: Box<dyn FlightOwner>,
}

/// Whoever waits for an item's answer.
///
/// A waiter that is dropped without an answer reports a defect to whom it stands for: a panic behind the
/// door blocks nobody.
pub trait FlightOwner: Send + std::fmt::Debug {
    /// Returns what those who still want the answer need; `None`: nobody does, and nobody will any more.
    fn demand(&self) -> Option<Demand>;

    /// Tells that the item is about to be sent. False: nobody waits any more, and it should not be.
    fn send(&self, send_info: &Arc<SendInfo>) -> bool;

    /// Tells that the item waits again, behind a closed rate limit.
    fn requeue(&self);

    /// Gives `refusal` to everyone who cannot wait until `until`; the others wait on.
    fn reject_late(&self, until: Instant, refusal: &Error);

    /// Gives up, because nobody waits any more; replies of no use have cost `wasted` tokens.
    fn cancel(self: Box<Self>, wasted: u64);

    /// Hands over what became of the item.
    fn complete(self: Box<Self>, result: Result<Answer, Error>, bill: Bill);
}

/// What the waiters of an item need.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Demand {
    /// The latest of their deadlines.
    pub until: Instant,
    /// The priority of the most urgent of them.
    pub priority: Priority,
    /// How long they can wait for the item to be sent.
    pub patience: Patience,
}

/// The times before which an item must be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// For its least patient waiter.
    pub least: Instant,
    /// For its most patient one.
    pub most: Instant,
}

/// What an item's answer cost.
#[derive(Clone, Debug)]
pub struct Bill {
    /// The item's share of the tokens Voyage reported.
    pub tokens: u64,
    /// Its share of those of replies of no use: part of no answer's cost, and of what was spent.
    pub wasted: u64,
    /// True when Voyage reported no usage and the tokens are the gateway's guess.
    pub guessed: bool,
    /// The calls the item was part of.
    pub stats: Arc<CallStats>,
}

/// The upstream requests one batch took, its repeats and resends included.
#[derive(Debug, Default)]
pub struct CallStats {
    pub(super) items: AtomicU32,
    pub(super) requests: AtomicU32,
    pub(super) reply: OnceLock<ReplyMetadata>,
    /// When each of its requests was sent and had ended.
    calls: Mutex<Vec<(Instant, Instant)>>,
}

/// What a reply says beside its answers.
#[derive(Clone, Debug)]
pub struct ReplyMetadata {
    /// Voyage's `x-request-id`.
    pub request_id: Option<Arc<str>>,
    /// Voyage's `x-api-warning`.
    pub warning: Option<Arc<str>>,
}

impl CallStats {
    /// Returns how many items travel, or have travelled, in it.
    pub fn items(&self) -> u32 {
        self.items.load(Ordering::Relaxed)
    }

    /// Returns how many HTTP requests were sent so far.
    pub fn requests(&self) -> u32 {
        self.requests.load(Ordering::Relaxed)
    }

    /// Returns when each of its requests that have ended was sent, and ended.
    pub fn calls(&self) -> Vec<(Instant, Instant)> {
        self.calls.lock().clone()
    }

    pub(super) fn called(&self, sent_at: Instant, ended_at: Instant) {
        self.calls.lock().push((sent_at, ended_at));
    }

    /// Returns what the first reply said beside its answers, once there is one.
    pub fn reply(&self) -> Option<&ReplyMetadata> {
        self.reply.get()
    }
}

/// An item in a lane.
#[derive(Debug)]
pub(super) struct Queued {
    pub(super) item: Item,
    pub(super) measure: Measure,
    /// Tokens to reserve for it.
    pub(super) tokens: u64,
    /// Tokens it is thought to have.
    pub(super) expected: u64,
    pub(super) at: Instant,
    /// Its share of the tokens of replies of no use.
    pub(super) wasted: u64,
    /// Its place among what the dispatch holds; given back when the item has landed.
    pub(super) _permit: PendingPermit,
}

impl Queued {
    pub(super) fn id(&self) -> u64 {
        self.item.id
    }
}

impl Bill {
    /// The bill of an item that cost nothing.
    pub fn nothing() -> Self {
        Self { tokens: 0, wasted: 0, guessed: false, stats: Arc::default() }
    }
}
