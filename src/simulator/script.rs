//! The faults of calls, by rule.

use std::{fmt, sync::Arc};

use parking_lot::Mutex;

use super::{
    fault::Fault,
    random::SplitMix,
    rule::{FaultRule, When},
};

/// Ordered rules; the first that applies to a call decides its fault. Clones share the rules.
///
/// Chances are drawn from a fixed seed: the same calls have the same faults in every run.
#[derive(Clone, Default)]
pub struct Script(Arc<Mutex<Rules>>);

#[derive(Default)]
struct Rules {
    ordered: Vec<FaultRule>,
    chance: SplitMix,
}

impl Script {
    /// Adds a rule after the others.
    pub fn add(&self, rule: FaultRule) {
        self.0.lock().ordered.push(rule);
    }

    /// Adds a fault to the call of this number; the first call of a simulator is 1.
    pub fn on_call(&self, number: u64, fault: Fault) {
        self.add(FaultRule { when: When::Call(number), fault });
    }

    /// Adds a fault to the next `count` calls that no earlier rule applies to.
    pub fn next_calls(&self, count: u64, fault: Fault) {
        self.add(FaultRule { when: When::Next(count), fault });
    }

    /// Adds a fault to every call that no earlier rule applies to.
    pub fn always(&self, fault: Fault) {
        self.add(FaultRule { when: When::Always, fault });
    }

    /// Adds a fault to calls with a probability from 0 to 1.
    pub fn at_rate(&self, probability: f64, fault: Fault) {
        self.add(FaultRule { when: When::Rate(probability), fault });
    }

    /// Adds a fault to every call that has an input, or a chunk of one, equal to `text`.
    pub fn on_text(&self, text: &str, fault: Fault) {
        self.add(FaultRule { when: When::Text(text.to_owned()), fault });
    }

    /// Removes all rules.
    pub fn clear(&self) {
        self.0.lock().ordered.clear();
    }

    /// Returns a call's fault and the index of the input that it concerns, 0 if it concerns no single one.
    pub(super) fn choose(&self, number: u64, inputs: &[Vec<String>]) -> Option<(Fault, usize)> {
        let Rules { ordered, chance } = &mut *self.0.lock();
        ordered.iter_mut().find_map(|rule| {
            let index = rule.when.applies(number, inputs, chance)?;
            Some((rule.fault.clone(), index))
        })
    }
}

/// Shows only how many rules there are: some hold texts.
impl fmt::Debug for Script {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Script({} rules)", self.0.lock().ordered.len())
    }
}
