//! Which call misbehaves, and how.

use std::fmt;
use std::sync::Arc;

use parking_lot::Mutex;

use super::fault::Fault;
use super::random::SplitMix;
use super::rule::{FaultRule, When};

/// Ordered rules; the first that applies to a call decides its fault. Clones share the rules.
///
/// Chances are drawn from a fixed seed: the same calls meet the same faults in every run.
#[derive(Clone)]
pub struct Script(Arc<Mutex<Rules>>);

struct Rules {
    ordered: Vec<FaultRule>,
    chance: SplitMix,
}

impl Script {
    /// Returns a script under which everything goes well.
    pub fn new() -> Self {
        let rules = Rules { ordered: Vec::new(), chance: SplitMix::new(0) };
        Self(Arc::new(Mutex::new(rules)))
    }

    /// Adds a rule behind the others.
    pub fn add(&self, rule: FaultRule) {
        self.rules(|rules| rules.ordered.push(rule));
    }

    /// Makes the call of this number misbehave; the first call of a simulator is 1.
    pub fn on_call(&self, number: u64, fault: Fault) {
        self.add(FaultRule { when: When::Call(number), fault });
    }

    /// Makes the next calls misbehave that no earlier rule applies to.
    pub fn next_calls(&self, count: u64, fault: Fault) {
        self.add(FaultRule { when: When::Next(count), fault });
    }

    /// Makes every call misbehave that no earlier rule applies to.
    pub fn always(&self, fault: Fault) {
        self.add(FaultRule { when: When::Always, fault });
    }

    /// Makes calls misbehave with a probability from 0 to 1.
    pub fn at_rate(&self, probability: f64, fault: Fault) {
        self.add(FaultRule { when: When::Rate(probability), fault });
    }

    /// Makes every call misbehave that has an input equal to `text`.
    pub fn on_text(&self, text: &str, fault: Fault) {
        self.add(FaultRule { when: When::Text(text.to_owned()), fault });
    }

    /// Forgets all rules.
    pub fn clear(&self) {
        self.rules(|rules| rules.ordered.clear());
    }

    /// Returns a call's fault and the index of the input that brought it about, 0 if none did.
    pub(super) fn choose(&self, number: u64, inputs: &[String]) -> Option<(Fault, usize)> {
        self.rules(|Rules { ordered, chance }| {
            ordered.iter_mut().find_map(|rule| {
                let index = rule.when.applies(number, inputs, chance)?;
                Some((rule.fault.clone(), index))
            })
        })
    }

    fn rules<T>(&self, work: impl FnOnce(&mut Rules) -> T) -> T {
        work(&mut self.0.lock())
    }
}

impl Default for Script {
    fn default() -> Self {
        Self::new()
    }
}

/// Says only how many rules there are: some hold texts.
impl fmt::Debug for Script {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.rules(|rules| rules.ordered.len());
        write!(f, "Script({count} rules)")
    }
}
