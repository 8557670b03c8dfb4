//! Who asks: one value, known to every room that shares something out.

use std::sync::Arc;

/// A caller's identity and its weight where callers compete.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Caller {
    /// The name, as configured by the operators; never a credential.
    pub name: Arc<str>,
    /// Share of a contended upstream relative to other callers; at least 1.
    pub weight: u32,
}

impl Caller {
    /// The caller of a gateway that asks nobody who they are.
    pub fn anonymous() -> Self {
        Self { name: Arc::from("anonymous"), weight: 1 }
    }
}

/// How urgent a request is. Ordered: the more urgent is the smaller.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Priority {
    /// Somebody waits for the answer.
    Interactive,
    /// Yields to interactive requests, but is never starved by them.
    Batch,
}
