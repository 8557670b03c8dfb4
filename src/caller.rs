//! Who asks: one value, known to every room that shares something out.

mod rules;

use std::{borrow::Cow, sync::Arc};

use serde::{Deserialize, Serialize};

pub use rules::{Config, DEFAULT, Rule, Rules, Scope};

use crate::error::Error;

/// A caller's identity, and what the operators allow it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// The name, as the credential proved it; never a credential.
    pub name: Arc<str>,
    /// Whether `[callers]` has a table of this name: such callers are few, and known before they call.
    pub named: bool,
    /// Its rules, those of `[callers.default]` where it has none of its own.
    pub rule: Arc<Rule>,
}

impl Caller {
    /// The name of whoever calls a gateway that asks nobody who they are.
    pub const ANONYMOUS: &'static str = "anonymous";

    /// Names that nobody may prove: each stands for something else in rules and metrics.
    const RESERVED: [&str; 3] = [Self::ANONYMOUS, "default", "abandoned"];

    /// Tells whether a credential may prove this name: 1 to 256 visible ASCII characters, which a log line and a
    /// metric's label can show, and not a name that stands for something else.
    pub fn is_name(name: &str) -> bool {
        (1..=256).contains(&name.len())
            && name.bytes().all(|byte| byte.is_ascii_graphic())
            && !Self::RESERVED.contains(&name)
    }

    /// A caller that no rule holds back.
    pub fn unruled(name: &str) -> Self {
        Self { name: Arc::from(name), named: false, rule: Arc::default() }
    }

    /// The caller of a gateway that asks nobody who they are, and has no rules.
    pub fn anonymous() -> Self {
        Self::unruled(Self::ANONYMOUS)
    }

    /// Returns its share of a contended upstream relative to other callers; at least 1.
    pub fn weight(&self) -> u32 {
        self.rule.weight.unwrap_or(1).max(1)
    }

    /// Refuses an RPC, by its short name, that its rules do not allow.
    pub fn check_rpc(&self, rpc: &str) -> Result<(), Error> {
        match &self.rule.rpcs {
            Some(rpcs) if !rpcs.iter().any(|allowed| allowed == rpc) => {
                Err(Error::CallerNotAllowed { what: "rpc" })
            }
            _ => Ok(()),
        }
    }

    /// Refuses a model that its rules do not allow.
    pub fn check_model(&self, model: &str) -> Result<(), Error> {
        match &self.rule.models {
            Some(models) if !models.iter().any(|pattern| matches(pattern, model)) => {
                Err(Error::CallerNotAllowed { what: "model" })
            }
            _ => Ok(()),
        }
    }

    /// Returns the priority its request gets when it asks for `wanted`.
    #[must_use]
    pub fn clamp(&self, wanted: Priority) -> Priority {
        self.rule.max_priority.map_or(wanted, |highest| wanted.max(highest))
    }

    /// Returns whose cached answers it is given, where `scope` is everybody's rule: "" for those that all share.
    pub fn namespace(&self, scope: Scope) -> Cow<'static, str> {
        match self.rule.cache_scope.unwrap_or(scope) {
            Scope::Shared => Cow::Borrowed(""),
            // Never empty, and never another caller's.
            Scope::PerCaller => Cow::Owned(format!("caller {} {}", self.name.len(), self.name)),
        }
    }
}

/// Tells whether a pattern of `models` means a model: `*` at its end stands for any ending.
fn matches(pattern: &str, model: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(stem) => model.starts_with(stem),
        None => pattern == model,
    }
}

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

#[cfg(test)]
mod tests;
