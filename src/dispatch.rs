//! Behind the door: work here is paid for, lands and is cached, whoever left.
//!
//! Items come in through [`Dispatch::submit`] and leave through the [`Waiter`] each of them carries. A
//! batch's walk is [`batch`]; what becomes of a refused batch is decided in [`isolate`]; what its tokens
//! cost each item, in [`apportion`].

mod apportion;
mod batch;
#[cfg_attr(not(test), expect(dead_code, reason = "wired in the next commit"))]
mod breaker;
mod config;
mod isolate;
#[cfg_attr(not(test), expect(dead_code, reason = "wired in the next commit"))]
mod limit;
#[cfg_attr(not(test), expect(dead_code, reason = "wired in the next commit"))]
mod retry;

use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering},
};

use tokio::sync::Semaphore;

pub use breaker::Config as BreakerConfig;
pub use config::Config;
pub use limit::{Config as LimitsConfig, ModelLimits};

use crate::{
    embedding::{Answer, Input, Parameters},
    error::Error,
    upstream::Upstream,
};

/// An input on its way to Voyage, and who waits for its answer.
#[derive(Debug)]
pub struct Item {
    /// What to embed.
    pub input: Input,
    /// Who gets the answer.
    pub waiter: Box<dyn Waiter>,
}

/// Whoever waits for an item's answer.
///
/// A waiter that is dropped without an answer reports a defect to whom it stands for: a panic behind the
/// door blocks nobody.
pub trait Waiter: Send + std::fmt::Debug {
    /// Tells that the item is about to be sent. False: nobody waits any more, and it should not be.
    fn depart(&self) -> bool;

    /// Hands over what became of the item.
    fn land(self: Box<Self>, result: Result<Answer, Error>, bill: Bill);
}

/// What an item's answer cost.
#[derive(Clone, Debug)]
pub struct Bill {
    /// The item's share of the tokens Voyage reported.
    pub tokens: u64,
    /// True when Voyage reported no usage and the tokens are the gateway's guess.
    pub guessed: bool,
    /// The calls the item was part of.
    pub trip: Arc<Trip>,
}

/// The upstream requests one batch took, its resends included.
#[derive(Debug, Default)]
pub struct Trip {
    items: AtomicU32,
    requests: AtomicU32,
    reply: std::sync::OnceLock<ReplyMetadata>,
}

/// What a reply says beside its answers.
#[derive(Clone, Debug)]
pub struct ReplyMetadata {
    /// Voyage's `x-request-id`.
    pub request_id: Option<Arc<str>>,
    /// Voyage's `x-api-warning`.
    pub warning: Option<Arc<str>>,
}

impl Trip {
    /// Returns how many items travel, or have travelled, in it.
    pub fn items(&self) -> u32 {
        self.items.load(Ordering::Relaxed)
    }

    /// Returns how many HTTP requests were sent so far.
    pub fn requests(&self) -> u32 {
        self.requests.load(Ordering::Relaxed)
    }

    /// Returns what the first reply said beside its answers, once there is one.
    pub fn reply(&self) -> Option<&ReplyMetadata> {
        self.reply.get()
    }
}

/// Sends items upstream in batches.
pub struct Dispatch {
    upstream: Arc<dyn Upstream>,
    max_inputs: usize,
    /// Bounds calls in flight over all batches.
    calls: Semaphore,
}

impl Dispatch {
    /// Builds the dispatch of one upstream.
    pub fn new(config: &Config, upstream: Arc<dyn Upstream>) -> Arc<Self> {
        Arc::new(Self {
            upstream,
            max_inputs: config.max_inputs as usize,
            calls: Semaphore::new(config.max_in_flight as usize),
        })
    }

    /// Takes items over: from here on they land, whether or not the caller stays.
    ///
    /// Items beyond `batch.max_inputs` go as further batches, in parallel.
    pub fn submit(self: &Arc<Self>, parameters: &Arc<Parameters>, items: Vec<Item>) {
        let mut items = items.into_iter().peekable();
        while items.peek().is_some() {
            let batch: Vec<Item> = items.by_ref().take(self.max_inputs).collect();
            let (dispatch, parameters) = (Arc::clone(self), Arc::clone(parameters));
            // Detached on purpose: this task is the door.
            tokio::spawn(async move { batch::run(&dispatch, &parameters, batch).await });
        }
    }
}

impl std::fmt::Debug for Dispatch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Dispatch").field("max_inputs", &self.max_inputs).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
