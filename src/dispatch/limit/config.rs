//! `[limits]`: Voyage's rate limits of this account, and token budgets.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::allowance::{Allowance, Minute};
use crate::{
    check::{Validation, quoted},
    model::{Model, TIER_1_RPM, TIER_1_TPM},
    upstream::KeyLimits,
};

/// `[limits]`: Voyage's rate limits of this account, and token budgets.
///
/// Voyage limits each model separately, so `rpm` and `tpm` apply to each model, and to each of `upstream.keys`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Config {
    /// Voyage's limit of requests per minute, for each model, at least 1; it is never exceeded. Unset: the model's
    /// limit in Voyage's tier 1, adapted to Voyage's answers.
    pub rpm: Option<u32>,

    /// Voyage's limit of tokens per minute, for each model, at least 1; it is never exceeded. Unset: as `rpm`.
    pub tpm: Option<u64>,

    /// Number of gateways that share the account, at least 1. Each uses an equal share of these limits and of the
    /// quotas in `[callers]`.
    pub replicas: u32,

    /// Budget of tokens in any 24 hours, at least 1. Beyond it, requests that are not cached fail with
    /// `RESOURCE_EXHAUSTED`. It is counted in memory, from the start of the process. Unset: no budget.
    pub daily_tokens: Option<u64>,

    /// Budget of tokens in any 30 days, at least 1; as `daily_tokens`.
    pub monthly_tokens: Option<u64>,

    /// Limits of single models, which override `rpm` and `tpm` above: `[limits.models."voyage-4"]` with one or both of
    /// them. Any model name is allowed.
    #[cfg_attr(test, schemars(example = super::tests::example()))]
    pub models: BTreeMap<String, ModelLimits>,
}

/// `[limits.models."<model>"]`: Voyage's rate limits of one model.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct ModelLimits {
    /// Requests per minute, at least 1. Unset: `limits.rpm`.
    pub rpm: Option<u32>,

    /// Tokens per minute, at least 1. Unset: `limits.tpm`.
    pub tpm: Option<u64>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            rpm: None,
            tpm: None,
            replicas: 1,
            daily_tokens: None,
            monthly_tokens: None,
            models: BTreeMap::new(),
        }
    }
}

impl Config {
    /// Validates the section's values.
    pub fn validate(&self) -> Validation {
        let at_least_one = "must be at least 1";
        let validation = Validation::new()
            .require("rpm", self.rpm != Some(0), at_least_one)
            .require("tpm", self.tpm != Some(0), at_least_one)
            .require("replicas", self.replicas >= 1, at_least_one)
            .require("daily_tokens", self.daily_tokens != Some(0), at_least_one)
            .require("monthly_tokens", self.monthly_tokens != Some(0), at_least_one);
        self.models.iter().fold(validation, |validation, (model, limits)| {
            let key = |key| format!("models.{}.{key}", quoted(model));
            validation.require(&key("rpm"), limits.rpm != Some(0), at_least_one).require(
                &key("tpm"),
                limits.tpm != Some(0),
                at_least_one,
            )
        })
    }

    /// Returns this replica's allowance for a model and a key before anything is learnt.
    pub(super) fn allowance(
        &self,
        name: &str,
        listed: Option<&Model>,
        key: KeyLimits,
    ) -> Allowance {
        let own = self.models.get(name).copied().unwrap_or_default();
        // Limits of the key and of the model both hold; those of all models are the fallback.
        let rpm = own.rpm.into_iter().chain(key.rpm).min().or(self.rpm);
        let tpm = own.tpm.into_iter().chain(key.tpm).min().or(self.tpm);
        let tier_1 = listed.map_or((TIER_1_RPM, TIER_1_TPM), |model| (model.rpm, model.tpm));
        let share = |limit: u64| (limit / u64::from(self.replicas)).max(1);
        let minute = |limit: Option<u64>, tier_1: u64, free_tier: u64| match limit {
            Some(limit) => Minute::configured(share(limit), share(free_tier)),
            None => Minute::assumed(share(tier_1), share(free_tier)),
        };
        Allowance {
            requests: minute(rpm.map(u64::from), tier_1.0.into(), FREE_TIER_RPM),
            tokens: minute(tpm, tier_1.1, FREE_TIER_TPM),
        }
    }
}

/// Requests a minute of an account without a payment method: no account has less.
const FREE_TIER_RPM: u64 = 3;

/// Tokens a minute of an account without a payment method.
const FREE_TIER_TPM: u64 = 10_000;
