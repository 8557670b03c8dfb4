//! A request in domain terms, and the response to it.

use std::{sync::Arc, time::Duration};

use tokio::time::Instant;

use crate::{
    caller::{Caller, Priority},
    dispatch::{CallStats, ReplyMetadata},
    error::Error,
    item::{Answer, Input, Parameters, Usage},
};

/// A valid request for answers to inputs of one kind.
#[derive(Debug)]
pub struct Request {
    /// The parameters that all inputs share.
    pub parameters: Arc<Parameters>,
    /// At least one; answered by position. An error stands for an input that was refused by itself, which
    /// `allow_partial` permits.
    pub inputs: Vec<Result<Input, Error>>,
    /// Which uses of the cache are allowed.
    pub cache_mode: CacheMode,
    /// Return per-input errors instead of failing the whole request.
    pub allow_partial: bool,
    /// The instant at which the caller stops waiting.
    pub deadline: Instant,
    /// The longest wait before the inputs are sent; `None`: up to the deadline.
    pub max_queue_wait: Option<Duration>,
    /// The priority in the batch queue.
    pub priority: Priority,
    /// The caller, with its rules.
    pub caller: Caller,
    /// The predicted size of the reply, in bytes.
    pub reply_bytes: usize,
}

impl Request {
    /// Returns the bytes that the request and its reply take while they are in flight.
    pub(super) fn size(&self) -> usize {
        let inputs: usize = self.inputs.iter().flatten().map(Input::footprint).sum();
        let shared = self.parameters.shared_text().map_or(0, str::len);
        inputs.saturating_add(shared).saturating_add(self.reply_bytes)
    }
}

/// Which uses of the cache a request allows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CacheMode {
    /// Look up and store.
    #[default]
    ReadWrite,
    /// Look up, store nothing.
    ReadOnly,
    /// Fetch and overwrite.
    Refresh,
    /// Neither look up nor store, and share no call.
    Bypass,
    /// Look up and never fetch.
    OnlyIfCached,
}

impl CacheMode {
    /// Returns the name used in traces.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ReadWrite => "read_write",
            Self::ReadOnly => "read_only",
            Self::Refresh => "refresh",
            Self::Bypass => "bypass",
            Self::OnlyIfCached => "only_if_cached",
        }
    }

    pub(super) fn reads(self) -> bool {
        matches!(self, Self::ReadWrite | Self::ReadOnly | Self::OnlyIfCached)
    }

    pub(super) fn stores(self) -> bool {
        matches!(self, Self::ReadWrite | Self::Refresh)
    }
}

/// Where an answer came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// The cache.
    Hit,
    /// A flight opened for this input.
    Miss,
    /// A flight opened for an identical input.
    Coalesced,
    /// A flight of a request that bypasses the cache.
    Bypassed,
    /// None: the input was refused before the look-up.
    Refused,
}

impl Source {
    pub(super) const ALL: [Self; 5] =
        [Self::Hit, Self::Miss, Self::Coalesced, Self::Bypassed, Self::Refused];

    /// Returns the name used in metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Hit => "hit",
            Self::Miss => "miss",
            Self::Coalesced => "coalesced",
            Self::Bypassed => "bypassed",
            Self::Refused => "refused",
        }
    }
}

/// The result of one input.
#[derive(Clone, Debug)]
pub struct ItemResult {
    /// The answer, or the reason why there is none.
    pub result: Result<Answer, Error>,
    /// Where it came from, or was looked for.
    pub source: Source,
}

/// The results of a request.
#[derive(Debug)]
pub struct Response {
    /// One result for each input, in the order of the request.
    pub items: Vec<ItemResult>,
    /// The usage billed for this request.
    pub usage: Usage,
    /// Whether the usage is a share of a call's usage, or an estimate.
    pub estimated: bool,
    /// The upstream calls that this request paid for, in whole or in part.
    pub calls: Vec<Arc<CallStats>>,
    /// The time during which upstream calls for its inputs were in flight, including those paid by other requests.
    pub upstream_time: Duration,
}

impl Response {
    /// Returns how many inputs have this source.
    pub fn count(&self, source: Source) -> u64 {
        self.items.iter().filter(|item| item.source == source).count() as u64
    }

    /// Returns the HTTP requests sent upstream for this request, retries included.
    pub fn upstream_requests(&self) -> u32 {
        self.calls.iter().map(|stats| stats.requests()).sum()
    }

    /// Returns the metadata of the upstream reply; `None` when there were no replies or several.
    pub fn only_reply(&self) -> Option<&ReplyMetadata> {
        match self.calls.as_slice() {
            [stats] if stats.requests() == 1 => stats.reply(),
            _ => None,
        }
    }
}
