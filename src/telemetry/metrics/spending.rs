//! Tokens, costs and quotas.

use opentelemetry::KeyValue;

use super::{Metrics, Shared, catalogue::label, model_label};
use crate::{caller::Caller, model};

impl Shared {
    /// Counts tokens of a model, and their cost if `cost_kind` is given.
    pub(super) fn spend(
        &self,
        model: &str,
        tokens: u64,
        kind: &'static str,
        cost_kind: Option<&'static str>,
    ) {
        let name = KeyValue::new(label::MODEL, model_label(model));
        let labels = [name.clone(), KeyValue::new(label::KIND, kind)];
        self.instruments.model_tokens.add(tokens, &labels);
        if let (Some(model), Some(kind)) = (model::find(model), cost_kind) {
            self.instruments
                .cost
                .add(model.cost(tokens), &[name, KeyValue::new(label::KIND, kind)]);
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
    /// `catalogue::TOKENS`: tokens that Voyage reported, billed to a caller's name, to `_other` if there are too many
    /// callers, or to `abandoned` if no caller is left.
    pub fn tokens(&self, tokens: u64, billed_to: Option<&Caller>) {
        let Some(shared) = &self.shared else { return };
        let billed_to = shared.caller_names.label(billed_to);
        shared.instruments.tokens.add(tokens, &[KeyValue::new(label::BILLED_TO, billed_to)]);
    }

    /// `catalogue::MODEL_TOKENS` (`billed` or `estimated`) and `catalogue::COST` (`spent`): a call to a model was
    /// answered, even if its answer is unusable or no caller is left.
    pub fn replied(&self, model: &str, tokens: Replied) {
        let Some(shared) = &self.shared else { return };
        match tokens {
            Replied::Reported(tokens) => {
                shared.spend(model, tokens, "billed", Some("spent"));
            }
            Replied::Guessed(tokens) => shared.spend(model, tokens, "estimated", None),
        }
    }

    /// `catalogue::MODEL_TOKENS` and `catalogue::COST` (`saved`): tokens that hits, joined calls or duplicates avoided.
    pub fn saved(&self, model: &str, tokens: u64) {
        if let Some(shared) = self.shared.as_ref().filter(|_| tokens > 0) {
            shared.spend(model, tokens, "saved", Some("saved"));
        }
    }

    /// `catalogue::QUOTA_REFUSALS`: a request or an input was refused, because a caller's quota or a budget of the
    /// gateway is used up.
    pub fn quota_refusal(&self, rule: &'static str) {
        let labels = [KeyValue::new(label::RULE, rule)];
        self.add(|instruments| &instruments.quota_refusals, 1, &labels);
    }
}
