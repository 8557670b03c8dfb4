//! The caller of a request, with its rules.

mod rules;

use std::{borrow::Cow, sync::Arc};

use serde::{Deserialize, Serialize};

pub use rules::{Config, DEFAULT, Rule, Rules, Scope};

use crate::error::Error;

/// A caller: its identity and its rules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// The name in the credential.
    pub name: Arc<str>,
    /// Whether `[callers]` has a table of this name.
    pub named: bool,
    /// Its rules, completed by `[callers.default]`.
    pub rule: Arc<Rule>,
}

impl Caller {
    /// The name of all callers without authentication.
    pub const ANONYMOUS: &'static str = "anonymous";

    /// Names that no credential may have, since they have other meanings in rules and metrics.
    const RESERVED: [&str; 3] = [Self::ANONYMOUS, "default", "abandoned"];

    /// Returns whether a credential may have this name: 1 to 256 visible ASCII characters, and not reserved.
    pub fn is_name(name: &str) -> bool {
        (1..=256).contains(&name.len())
            && name.bytes().all(|byte| byte.is_ascii_graphic())
            && !Self::RESERVED.contains(&name)
    }

    /// Returns a caller without rules.
    pub fn unruled(name: &str) -> Self {
        Self { name: Arc::from(name), named: false, rule: Arc::default() }
    }

    /// Returns the caller without authentication and rules.
    pub fn anonymous() -> Self {
        Self::unruled(Self::ANONYMOUS)
    }

    /// Returns its share of the rate limits relative to other callers; at least 1.
    pub fn weight(&self) -> u32 {
        self.rule.weight.unwrap_or(1).max(1)
    }

    /// Refuses an RPC that its rules do not allow; `rpc` is the name without the service.
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

    /// Returns `wanted`, or the highest priority that its rules allow, if lower.
    #[must_use]
    pub fn clamp(&self, wanted: Priority) -> Priority {
        self.rule.max_priority.map_or(wanted, |highest| wanted.max(highest))
    }

    /// Returns whether it may see the age of cached answers, and calls under way; `scope` applies if its rules set none.
    pub fn may_explain(&self, scope: Scope) -> bool {
        let scope = self.rule.cache_scope.unwrap_or(scope);
        self.rule.explain.unwrap_or(scope == Scope::PerCaller)
    }

    /// Returns its namespace in the cache: empty for the shared one. `scope` applies if its rules set none.
    pub fn namespace(&self, scope: Scope) -> Cow<'static, str> {
        match self.rule.cache_scope.unwrap_or(scope) {
            Scope::Shared => Cow::Borrowed(""),
            // With the length, no name is a prefix of another.
            Scope::PerCaller => Cow::Owned(format!("caller {} {}", self.name.len(), self.name)),
        }
    }
}

/// Returns whether a pattern of `models` matches a model; a final `*` matches any ending.
fn matches(pattern: &str, model: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(stem) => model.starts_with(stem),
        None => pattern == model,
    }
}

/// The priority of a request. Ordered: the more urgent one is smaller.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub enum Priority {
    /// A user waits for the answer.
    Interactive,
    /// Yields to interactive requests without being starved.
    Batch,
}

#[cfg(test)]
mod tests;
