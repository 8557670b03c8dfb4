//! Tokens, costs and quotas.

use opentelemetry::KeyValue;

use super::{Metrics, Shared, catalogue::label, model_label};
use crate::{caller::Caller, item::Usage, model::ModelName};

impl Shared {
    /// Counts tokens and pixels of a model, and their cost if `cost_kind` is given.
    pub(super) fn spend(
        &self,
        model: &ModelName,
        usage: &Usage,
        kind: &'static str,
        cost_kind: Option<&'static str>,
    ) {
        let name = KeyValue::new(label::MODEL, model_label(model));
        let labels = [name.clone(), KeyValue::new(label::KIND, kind)];
        self.instruments.model_tokens.add(usage.tokens, &labels);
        if usage.pixels() > 0 {
            self.instruments.model_pixels.add(usage.pixels(), &labels);
        }
        if let (Some(model), Some(kind)) = (model.listed(), cost_kind) {
            self.instruments.cost.add(
                model.cost(usage.tokens, usage.pixels()),
                &[name, KeyValue::new(label::KIND, kind)],
            );
        }
    }
}

/// The usage of an answered call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Replied {
    /// Voyage reported it and bills it.
    Reported(Usage),
    /// Voyage reported none; the gateway estimates it.
    Guessed(Usage),
}

impl Metrics {
    /// `catalogue::TOKENS`: tokens that Voyage reported, billed to a caller's name, to `_other` if there are too many
    /// callers, or to `abandoned` if no caller is left.
    pub fn tokens(&self, tokens: u64, billed_to: Option<&Caller>) {
        let Some(shared) = &self.shared else { return };
        let billed_to = shared.caller_names.label(billed_to);
        shared.instruments.tokens.add(tokens, &[KeyValue::new(label::BILLED_TO, billed_to)]);
    }

    /// `catalogue::MODEL_TOKENS` and `catalogue::MODEL_PIXELS` (`billed` or `estimated`), and `catalogue::COST` (`spent`): a call to a model was
    /// answered, even if its answer is unusable or no caller is left.
    pub fn replied(&self, model: &ModelName, usage: Replied) {
        let Some(shared) = &self.shared else { return };
        match usage {
            Replied::Reported(usage) => {
                shared.spend(model, &usage, "billed", Some("spent"));
            }
            Replied::Guessed(usage) => shared.spend(model, &usage, "estimated", None),
        }
    }

    /// `catalogue::MODEL_TOKENS`, `catalogue::MODEL_PIXELS` and `catalogue::COST` (`saved`): tokens that hits, joined calls or duplicates avoided.
    pub fn saved(&self, model: &ModelName, usage: &Usage) {
        if let Some(shared) = self.shared.as_ref().filter(|_| usage.tokens > 0) {
            shared.spend(model, usage, "saved", Some("saved"));
        }
    }

    /// `catalogue::QUOTA_REFUSALS`: a request or an input was refused, because a caller's quota or a budget of the
    /// gateway is used up.
    pub fn quota_refusal(&self, rule: &'static str) {
        let labels = [KeyValue::new(label::RULE, rule)];
        self.add(|instruments| &instruments.quota_refusals, 1, &labels);
    }
}
