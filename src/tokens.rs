//! Counts the tokens of texts before Voyage reports them.
//!
//! Exactly, with the model's own `tokenizer.json`; otherwise by an estimate that learns, per model and script,
//! from the usage that calls report. [`Counter::guess`] is for dividing a reported count,
//! [`Counter::bound`] for reserving and splitting: it includes a margin.

mod config;
mod estimate;
mod exact;
mod measure;

use std::{collections::HashMap, fmt, path::PathBuf, sync::Arc};

use parking_lot::{Mutex, MutexGuard};

pub use config::{Config, ModelConfig};
pub use measure::Measure;

use crate::model::ModelName;
use estimate::{Estimate, Vector};
use exact::Tokenizer;

/// The most models with an estimate of their own, since callers choose the names. Further ones share one.
const MAX_MODELS: usize = 64;

/// Why a tokenizer could not be loaded.
#[derive(Debug, thiserror::Error)]
#[error("tokens.models.{model:?}.tokenizer: {} {reason}", path.display())]
pub struct LoadError {
    model: String,
    path: PathBuf,
    reason: String,
}

/// Counts tokens for every model. Cloning is cheap; clones share what they learn.
#[derive(Clone)]
pub struct Counter(Arc<Inner>);

struct Inner {
    #[cfg_attr(
        not(feature = "tokenizers"),
        expect(clippy::zero_sized_map_values, reason = "no tokenizer can be loaded")
    )]
    tokenizers: HashMap<String, Tokenizer>,
    estimates: Mutex<Estimates>,
}

/// Shows the models, not their tokenizers of more than 100,000 entries.
impl fmt::Debug for Counter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Counter").field("exact", &self.0.tokenizers.keys()).finish_non_exhaustive()
    }
}

impl Counter {
    /// Loads the configured tokenizers, each in some tenths of a second.
    pub fn new(config: &Config) -> Result<Self, LoadError> {
        let tokenizers = config.models.iter().map(|(model, ModelConfig { tokenizer: path })| {
            match Tokenizer::load(path) {
                Ok(tokenizer) => Ok((model.clone(), tokenizer)),
                Err(reason) => Err(LoadError { model: model.clone(), path: path.clone(), reason }),
            }
        });
        let tokenizers = tokenizers.collect::<Result<_, _>>()?;
        Ok(Self(Arc::new(Inner { tokenizers, estimates: Mutex::new(Estimates::new()) })))
    }

    /// Returns whether the model's tokens are counted with its own tokenizer.
    pub fn is_exact(&self, model: &str) -> bool {
        self.0.tokenizers.contains_key(model)
    }

    /// Measures texts for a model. This takes about two nanoseconds a byte, and a hundred times that with a
    /// tokenizer: then long texts must not block a thread that serves calls.
    pub fn measure<'a>(&self, model: &str, texts: impl IntoIterator<Item = &'a str>) -> Measure {
        let tokenizer = self.0.tokenizers.get(model);
        let measure = |text| match tokenizer.and_then(|tokenizer| tokenizer.count(text)) {
            Some(tokens) => Measure::exact(text, tokens),
            None => Measure::estimate(text),
        };
        texts.into_iter().map(measure).reduce(|one, other| one + other).unwrap_or_default()
    }

    /// Returns the most likely number of tokens: the exact one if there is a tokenizer, otherwise an estimate
    /// of at most the texts' bytes and at least 1 for texts that are not empty; with the tokens of media.
    pub fn guess(&self, model: &str, measure: &Measure) -> u64 {
        self.guess_texts(model, measure) + u64::from(measure.media)
    }

    /// Returns the most likely number of tokens without those of media.
    pub fn guess_texts(&self, model: &str, measure: &Measure) -> u64 {
        if !measure.is_estimated() {
            return measure.exact.into();
        }
        let likely = self.estimates().of(model).likely(&measure.counts.map(f64::from));
        u64::from(measure.exact) + whole(likely.round(), 1, measure.bytes)
    }

    /// Returns the number of tokens to reserve and to split by: at least the guess, with a margin for its error,
    /// and at most the texts' bytes. With a tokenizer it is the guess itself until reports exceed it. Tokens of media
    /// have no margin.
    ///
    /// The margin is made for calls: the sum over a call's texts is hardly ever below the report,
    /// while a single short text may have a token more.
    pub fn bound(&self, model: &str, measure: &Measure) -> u64 {
        let Measure { bytes, exact, counts, media, .. } = *measure;
        let estimates = self.estimates();
        let estimate = estimates.of(model);
        let counted = estimate.bound_exact(f64::from(exact));
        let counted = whole(counted.ceil(), exact, bytes.max(exact));
        let rest = if measure.is_estimated() {
            whole(estimate.bound(&counts.map(f64::from)).ceil(), 1, bytes)
        } else {
            0
        };
        counted + rest + u64::from(media)
    }

    /// Learns from the number of tokens that Voyage reported for the texts of a call: its usage, or the
    /// size that it refused.
    ///
    /// Ignores impossible numbers, and calls with a text that may have been cut to the model's context.
    pub fn learn(&self, model: &ModelName, measures: &[Measure], reported: u64) {
        let bytes: u64 = measures.iter().map(|measure| u64::from(measure.bytes)).sum();
        // Old tokenizers add a token at the beginning of every text.
        let most = bytes + measures.len() as u64;
        if reported == 0 || reported > most || self.may_be_cut(model, measures) {
            return;
        }
        #[expect(clippy::cast_precision_loss, reason = "at most the bytes of a call")]
        let reported = reported as f64;
        let (exact, texts) = split(measures);
        let mut estimates = self.estimates();
        let estimate = estimates.of_mut(model);
        if exact > 0.0 {
            let others: f64 = texts.iter().map(|counts| estimate.likely(counts)).sum();
            estimate.learn_exact(exact + others, reported);
        } else {
            estimate.learn(&texts, reported);
        }
    }

    /// Returns whether a text may be longer than the model's context.
    fn may_be_cut(&self, model: &ModelName, measures: &[Measure]) -> bool {
        let Some(model) = model.listed() else { return false };
        let context = u64::from(model.context_tokens);
        // A guess may be a fifth too low.
        measures.iter().any(|measure| self.guess(model.name, measure) * 5 > context * 4)
    }

    fn estimates(&self) -> MutexGuard<'_, Estimates> {
        self.0.estimates.lock()
    }
}

/// The estimates, by model.
struct Estimates {
    models: HashMap<String, Estimate>,
    /// Of models without reports.
    fresh: Estimate,
    /// Of all models beyond [`MAX_MODELS`].
    others: Estimate,
}

impl Estimates {
    fn new() -> Self {
        Self { models: HashMap::new(), fresh: Estimate::new(), others: Estimate::new() }
    }

    fn of(&self, model: &str) -> &Estimate {
        let unknown = if self.models.len() < MAX_MODELS { &self.fresh } else { &self.others };
        self.models.get(model).unwrap_or(unknown)
    }

    fn of_mut(&mut self, model: &str) -> &mut Estimate {
        if self.models.contains_key(model) || self.models.len() < MAX_MODELS {
            self.models.entry(model.to_owned()).or_insert_with(Estimate::new)
        } else {
            &mut self.others
        }
    }
}

/// Returns the sum of the exact counts, and the character counts of the other texts.
fn split(measures: &[Measure]) -> (f64, Vec<Vector>) {
    let exact = measures.iter().map(|measure| f64::from(measure.exact)).sum();
    let estimated = measures.iter().filter(|measure| measure.is_estimated());
    let texts = estimated.map(|measure| measure.counts.map(f64::from)).collect();
    (exact, texts)
}

/// Returns a whole number of tokens from `least` to `most`.
fn whole(tokens: f64, least: u32, most: u32) -> u64 {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "saturates")]
    let tokens = tokens as u64;
    tokens.max(least.into()).min(most.into())
}

#[cfg(test)]
mod tests;
