//! `[callers]`: what each caller may do and spend.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use serde::{Deserialize, Serialize};

use super::{Caller, Priority};
use crate::check::{Validation, quoted};

/// The entry of `[callers]` for everybody without one of their own.
pub const DEFAULT: &str = "default";

/// `[callers]`: the rules of `[callers."NAME"]`, by the name the credential proves, and of `[callers.default]`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[cfg_attr(test, schemars(example = super::tests::example()))]
pub struct Config(pub BTreeMap<String, Rule>);

/// What one caller may do and spend. A key that is not set is taken from `[callers.default]`; what is not set
/// there either is not limited. Where several gateways share the account, each grants its share of the quotas,
/// as `limits.replicas` says.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Rule {
    /// Calls of `Embed` a second, at least 1; as many may come at once. Cached answers count as well.
    pub requests_per_second: Option<u32>,

    /// Tokens in any minute, at least 1; as many may be used at once. They are reserved by estimate and settled
    /// by what Voyage reports; cached answers cost none.
    pub tokens_per_minute: Option<u64>,

    /// Tokens in any 24 hours, at least 1.
    pub tokens_per_day: Option<u64>,

    /// The models it may use, by name; `*` at the end of a name stands for any ending. Unset: all.
    pub models: Option<Vec<String>>,

    /// The RPCs it may call, such as `Embed`; an empty list forbids all. Unset: all.
    pub rpcs: Option<Vec<String>>,

    /// Its share of a contended upstream relative to others of the same priority, 1 to 1000. Unset: 1.
    pub weight: Option<u32>,

    /// The highest priority its requests get: `batch` makes all of them yield. Unset: `interactive`.
    pub max_priority: Option<Priority>,

    /// Whether it shares cached answers with others (`shared`) or has its own (`per-caller`). Unset: as
    /// `cache.scope` says.
    pub cache_scope: Option<Scope>,
}

/// Whose cached answers a caller is given.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub enum Scope {
    /// Everybody's whose scope is this one.
    #[default]
    Shared,
    /// Its own only: nobody learns from the time an answer takes what somebody else has asked.
    PerCaller,
}

/// The rules in force, each completed by the default.
#[derive(Clone, Debug, Default)]
pub struct Rules {
    default: Arc<Rule>,
    named: HashMap<Arc<str>, Arc<Rule>>,
}

impl Config {
    /// Validates the section's values.
    pub fn validate(&self) -> Validation {
        let mut validation = Validation::new();
        for (name, rule) in &self.0 {
            let key = |key: &str| format!("{}.{key}", quoted(name));
            for (quota, value) in [
                ("requests_per_second", rule.requests_per_second.map(u64::from)),
                ("tokens_per_minute", rule.tokens_per_minute),
                ("tokens_per_day", rule.tokens_per_day),
            ] {
                validation =
                    validation.require(&key(quota), value != Some(0), "must be at least 1");
            }
            validation = validation
                .require(
                    &quoted(name),
                    !name.is_empty(),
                    "must not be empty: every caller has a name",
                )
                .within(&key("weight"), rule.weight.unwrap_or(1), 1..=1000)
                .require(
                    &key("models"),
                    rule.models.iter().flatten().all(|model| is_pattern(model)),
                    "must hold names of models, none empty, with \"*\" only at the end of one",
                );
        }
        validation
    }
}

impl Rules {
    /// Completes each caller's rules by the default.
    pub fn new(config: &Config) -> Self {
        let default = config.0.get(DEFAULT).cloned().unwrap_or_default();
        let named = config.0.iter().filter(|(name, _)| *name != DEFAULT);
        let named = named
            .map(|(name, rule)| (Arc::from(name.as_str()), Arc::new(rule.clone().or(&default))))
            .collect();
        Self { default: Arc::new(default), named }
    }

    /// Returns the caller of this name, with its rules.
    pub fn caller(&self, name: &Arc<str>) -> Caller {
        let own = self.named.get(name);
        let rule = Arc::clone(own.unwrap_or(&self.default));
        Caller { name: Arc::clone(name), named: own.is_some(), rule }
    }
}

fn is_pattern(model: &str) -> bool {
    let stem = model.strip_suffix('*').unwrap_or(model);
    !model.is_empty() && !stem.contains('*')
}

impl Rule {
    fn or(self, default: &Self) -> Self {
        Self {
            requests_per_second: self.requests_per_second.or(default.requests_per_second),
            tokens_per_minute: self.tokens_per_minute.or(default.tokens_per_minute),
            tokens_per_day: self.tokens_per_day.or(default.tokens_per_day),
            models: self.models.or_else(|| default.models.clone()),
            rpcs: self.rpcs.or_else(|| default.rpcs.clone()),
            weight: self.weight.or(default.weight),
            max_priority: self.max_priority.or(default.max_priority),
            cache_scope: self.cache_scope.or(default.cache_scope),
        }
    }
}
