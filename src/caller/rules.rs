//! `[callers]`: permissions and quotas of callers.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use serde::{Deserialize, Serialize};

use super::{Caller, Priority};
use crate::check::{Validation, quoted};

/// The table of `[callers]` for callers without their own.
pub const DEFAULT: &str = "default";

/// `[callers]`: the rules by name of the caller, and `default`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[cfg_attr(test, schemars(example = super::tests::example()))]
pub struct Config(pub BTreeMap<String, Rule>);

/// Permissions and quotas of a caller. A key that is not set has the value of `[callers.default]`, or no limit.
/// Replicas divide the quotas by `limits.replicas`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Rule {
    /// Calls per second and in a burst, at least 1; those of `ModelService` do not count, and cached answers do.
    pub requests_per_second: Option<u32>,

    /// Tokens in any minute, at least 1. They are reserved by estimate and settled by the usage that Voyage reports;
    /// cached answers cost none.
    pub tokens_per_minute: Option<u64>,

    /// Tokens in any 24 hours, at least 1.
    pub tokens_per_day: Option<u64>,

    /// The permitted models by name; a final `*` matches any ending. Unset: all.
    pub models: Option<Vec<String>>,

    /// The permitted RPCs, such as `Embed`; an empty list forbids all. Unset: all.
    pub rpcs: Option<Vec<String>>,

    /// Its share of the rate limits relative to other callers of the same priority, 1 to 1000. Unset: 1.
    pub weight: Option<u32>,

    /// The highest priority of its requests: `interactive` or `batch`. Unset: `interactive`.
    pub max_priority: Option<Priority>,

    /// The cached answers that it can hit: those of all callers (`shared`) or its own only (`per-caller`). Unset:
    /// `cache.scope`.
    pub cache_scope: Option<Scope>,

    /// Whether `ExplainEmbed` shows it age, expiry and calls under way of cached answers, also of those that other callers
    /// fetched. Unset: only with the scope `per-caller`.
    pub explain: Option<bool>,
}

/// The cached answers that a caller can hit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub enum Scope {
    /// Those of all callers with this scope.
    #[default]
    Shared,
    /// Its own only: response times do not reveal the texts of other callers.
    PerCaller,
}

/// The rules of all callers, completed by the default.
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
    /// Completes the rules of each caller by the default.
    pub fn new(config: &Config) -> Self {
        let default = config.0.get(DEFAULT).cloned().unwrap_or_default();
        let named = config.0.iter().filter(|(name, _)| *name != DEFAULT);
        let named = named
            .map(|(name, rule)| (Arc::from(name.as_str()), Arc::new(rule.clone().or(&default))))
            .collect();
        Self { default: Arc::new(default), named }
    }

    /// Returns the caller of this name.
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
            explain: self.explain.or(default.explain),
        }
    }
}
