//! The calls that the simulator has received.

use std::{collections::VecDeque, fmt, sync::Arc};

use http::HeaderMap;
use parking_lot::Mutex;
use serde_json::Value;

/// One request as it arrived, and its result.
#[derive(Clone)]
pub struct Call {
    /// The call's place in the order of arrival, counted from 1.
    pub number: u64,
    /// The whole path, such as `/v1/embeddings`.
    pub path: String,
    /// The inputs before any truncation, a string each: a text, the lines of a document's chunks, or a document to rerank;
    /// none when the body has none.
    pub inputs: Vec<String>,
    /// The body; null when it was not JSON.
    pub body: Value,
    /// The bearer token, unless it was missing or empty.
    pub api_key: Option<String>,
    /// The request's headers.
    pub headers: HeaderMap,
    /// The reply's status; `None` when none was sent (yet).
    pub status: Option<u16>,
    /// The tokens charged for the call: 0 unless its vectors were made, whether or not they arrived.
    pub tokens: u64,
}

/// Leaves out texts and credentials.
impl fmt::Debug for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Call")
            .field("number", &self.number)
            .field("path", &self.path)
            .field("inputs", &self.inputs.len())
            .field("status", &self.status)
            .field("tokens", &self.tokens)
            .finish_non_exhaustive()
    }
}

/// The newest calls, oldest first.
pub(super) struct Record {
    calls: Mutex<Calls>,
    /// How many calls are remembered.
    capacity: usize,
    log: bool,
}

#[derive(Default)]
struct Calls {
    seen: u64,
    in_flight: usize,
    kept: VecDeque<Call>,
}

impl Record {
    pub(super) fn new(capacity: usize, log: bool) -> Arc<Self> {
        Arc::new(Self { calls: Mutex::default(), capacity, log })
    }

    /// Numbers a call and remembers it.
    pub(super) fn open(self: &Arc<Self>, mut call: Call) -> OpenCall {
        let inputs = call.inputs.len();
        let mut calls = self.calls.lock();
        calls.seen += 1;
        calls.in_flight += 1;
        let number = calls.seen;
        call.number = number;
        calls.kept.push_back(call);
        if calls.kept.len() > self.capacity {
            calls.kept.pop_front();
        }
        drop(calls);
        OpenCall { record: Arc::clone(self), number, inputs, status: None, tokens: 0 }
    }

    pub(super) fn calls(&self) -> Vec<Call> {
        self.calls.lock().kept.iter().cloned().collect()
    }

    pub(super) fn forget(&self) {
        self.calls.lock().kept.clear();
    }
}

/// A call in progress. Dropped, it completes its record.
pub(super) struct OpenCall {
    record: Arc<Record>,
    pub(super) number: u64,
    inputs: usize,
    pub(super) status: Option<u16>,
    pub(super) tokens: u64,
}

impl Drop for OpenCall {
    fn drop(&mut self) {
        let Self { record, number, inputs, status, tokens } = self;
        let mut calls = record.calls.lock();
        let in_flight = calls.in_flight;
        calls.in_flight -= 1;
        if let Some(call) = calls.kept.iter_mut().rev().find(|call| call.number == *number) {
            (call.status, call.tokens) = (*status, *tokens);
        }
        drop(calls);
        if record.log {
            tracing::info!(number, inputs, tokens, status, in_flight, "call");
        }
    }
}
