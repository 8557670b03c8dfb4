//! Tokens and money: what Voyage reported, who pays, and what was saved.

use opentelemetry::{
    KeyValue,
    metrics::{Counter, Meter},
};

use super::{
    Metrics, OTHER, Shared, build,
    catalogue::{self, label},
};
use crate::{caller::Caller, model, telemetry::callers::CallerNames};

/// What spending is counted with.
pub(super) struct Instruments {
    tokens: Counter<u64>,
    model_tokens: Counter<u64>,
    cost: Counter<f64>,
    pub(super) caller_names: CallerNames,
}

impl Instruments {
    pub(super) fn new(meter: &Meter) -> Self {
        Self {
            tokens: build::counter(meter, &catalogue::TOKENS),
            model_tokens: build::counter(meter, &catalogue::MODEL_TOKENS),
            cost: build::amount(meter, &catalogue::COST),
            caller_names: CallerNames::default(),
        }
    }
}

/// What is known of the tokens of a call that was answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Replied {
    /// Voyage reported so many: they are on its bill.
    Reported(u64),
    /// Voyage reported none, and the gateway guesses so many.
    Guessed(u64),
}

impl Metrics {
    /// [`catalogue::TOKENS`]: tokens that Voyage reported, billed to a caller by its name, to `_other` when it is one too
    /// many, or to `abandoned` when there is nobody to pay.
    pub fn tokens(&self, tokens: u64, billed_to: Option<&Caller>) {
        let Some(shared) = &self.shared else { return };
        let billed_to = shared.spending.caller_names.label(billed_to);
        shared.spending.tokens.add(tokens, &[KeyValue::new(label::BILLED_TO, billed_to)]);
    }

    /// [`catalogue::MODEL_TOKENS`] (`billed` or `estimated`) and [`catalogue::COST`] (`spent`): a call to this model was
    /// answered, whether or not its answer was of use and anybody was left to take it.
    pub fn replied(&self, model: &str, tokens: Replied) {
        let Some(shared) = &self.shared else { return };
        match tokens {
            Replied::Reported(tokens) => shared.spend(model, tokens, ("billed", Some("spent"))),
            Replied::Guessed(tokens) => shared.spend(model, tokens, ("estimated", None)),
        }
    }

    /// [`catalogue::MODEL_TOKENS`] and [`catalogue::COST`] (`saved`): tokens that hits, joined calls or duplicates would
    /// have cost.
    pub fn saved(&self, model: &str, tokens: u64) {
        let Some(shared) = self.shared.as_ref().filter(|_| tokens > 0) else { return };
        shared.spend(model, tokens, ("saved", Some("saved")));
    }
}

impl Shared {
    fn spend(&self, model: &str, tokens: u64, (kind, money): (&'static str, Option<&'static str>)) {
        let listed = model::find(model);
        let name = KeyValue::new(label::MODEL, listed.map_or(OTHER, |model| model.name));
        self.spending.model_tokens.add(tokens, &[name.clone(), KeyValue::new(label::KIND, kind)]);
        if let (Some(model), Some(kind)) = (listed, money) {
            self.spending.cost.add(model.cost(tokens), &[name, KeyValue::new(label::KIND, kind)]);
        }
    }
}
