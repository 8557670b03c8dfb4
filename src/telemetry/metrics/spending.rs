//! Tokens, costs and quotas.

use opentelemetry::{
    KeyValue,
    metrics::{Counter, Meter},
};

use super::{
    Metrics,
    catalogue::{self, label},
    model_label,
};
use crate::{caller::Caller, model, telemetry::callers::CallerNames};

pub(super) struct Instruments {
    tokens: Counter<u64>,
    model_tokens: Counter<u64>,
    cost: Counter<f64>,
    quota_refusals: Counter<u64>,
    pub(super) caller_names: CallerNames,
}

impl Instruments {
    pub(super) fn new(meter: &Meter) -> Self {
        Self {
            tokens: catalogue::TOKENS.counter(meter),
            model_tokens: catalogue::MODEL_TOKENS.counter(meter),
            cost: catalogue::COST.float_counter(meter),
            quota_refusals: catalogue::QUOTA_REFUSALS.counter(meter),
            caller_names: CallerNames::default(),
        }
    }

    /// Starts the series of a model at 0.
    pub(super) fn expect_model(&self, model: &str) {
        self.spend(model, 0, "billed", Some("spent"));
        self.spend(model, 0, "saved", Some("saved"));
        self.spend(model, 0, "estimated", None);
    }

    fn spend(&self, model: &str, tokens: u64, kind: &'static str, cost_kind: Option<&'static str>) {
        let name = KeyValue::new(label::MODEL, model_label(model));
        self.model_tokens.add(tokens, &[name.clone(), KeyValue::new(label::KIND, kind)]);
        if let (Some(model), Some(kind)) = (model::find(model), cost_kind) {
            self.cost.add(model.cost(tokens), &[name, KeyValue::new(label::KIND, kind)]);
        }
    }
}

/// The tokens of an answered call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Replied {
    /// Voyage reported this number and bills it.
    Reported(u64),
    /// Voyage reported none; the gateway estimates this number.
    Guessed(u64),
}

impl Metrics {
    /// [`catalogue::TOKENS`]: tokens that Voyage reported, billed to a caller's name, to `_other` if there are too many
    /// callers, or to `abandoned` if no caller is left.
    pub fn tokens(&self, tokens: u64, billed_to: Option<&Caller>) {
        let Some(shared) = &self.shared else { return };
        let billed_to = shared.spending.caller_names.label(billed_to);
        shared.spending.tokens.add(tokens, &[KeyValue::new(label::BILLED_TO, billed_to)]);
    }

    /// [`catalogue::MODEL_TOKENS`] (`billed` or `estimated`) and [`catalogue::COST`] (`spent`): a call to a model was
    /// answered, even if its answer is unusable or no caller is left.
    pub fn replied(&self, model: &str, tokens: Replied) {
        let Some(shared) = &self.shared else { return };
        match tokens {
            Replied::Reported(tokens) => {
                shared.spending.spend(model, tokens, "billed", Some("spent"));
            }
            Replied::Guessed(tokens) => shared.spending.spend(model, tokens, "estimated", None),
        }
    }

    /// [`catalogue::MODEL_TOKENS`] and [`catalogue::COST`] (`saved`): tokens that hits, joined calls or duplicates avoided.
    pub fn saved(&self, model: &str, tokens: u64) {
        if let Some(shared) = self.shared.as_ref().filter(|_| tokens > 0) {
            shared.spending.spend(model, tokens, "saved", Some("saved"));
        }
    }

    /// [`catalogue::QUOTA_REFUSALS`]: a request or an input was refused, because a caller's quota or a budget of the
    /// gateway is used up.
    pub fn quota_refusal(&self, rule: &'static str) {
        if let Some(shared) = &self.shared {
            shared.spending.quota_refusals.add(1, &[KeyValue::new(label::RULE, rule)]);
        }
    }
}
