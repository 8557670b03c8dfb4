//! Who asks: one value, known to every room that shares something out.

mod rules;

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tokio::time::Instant;

pub use rules::{Config, Rule, Rules, Scope};

/// A caller's identity, and what the operators allow it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// The name, as the credential proved it; never a credential.
    pub name: Arc<str>,
    /// Its rules, those of `[callers.default]` where it has none of its own.
    pub rule: Arc<Rule>,
}

impl Caller {
    /// The name of whoever calls a gateway that asks nobody who they are.
    pub const ANONYMOUS: &'static str = "anonymous";

    /// A caller that no rule holds back.
    pub fn unruled(name: &str) -> Self {
        Self { name: Arc::from(name), rule: Arc::default() }
    }

    /// The caller of a gateway that asks nobody who they are, and has no rules.
    pub fn anonymous() -> Self {
        Self::unruled(Self::ANONYMOUS)
    }

    /// Returns its share of a contended upstream relative to other callers; at least 1.
    pub fn weight(&self) -> u32 {
        self.rule.weight.unwrap_or(1).max(1)
    }
}

/// What the peer of a connection proved about itself in the TLS handshake: the name its client certificate gives it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerIdentity(pub Arc<str>);

/// When whoever waits for a reply gives up: what has not been taken by then is nobody's. It goes with the reply, to
/// whoever sends it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GivesUp(pub Instant);

/// How urgent a request is. Ordered: the more urgent is the smaller.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub enum Priority {
    /// Somebody waits for the answer.
    Interactive,
    /// Yields to interactive requests, but is never starved by them.
    Batch,
}
