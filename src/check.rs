//! What a section of the configuration demands of its values.

use std::{fmt::Display, ops::RangeInclusive};

/// The demands of one section; keeps those that are not met, so that all can be told at once.
///
/// Demands are said in words that never quote a value: it may be a secret.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[must_use]
pub struct Checks(Vec<Unmet>);

/// A demand that is not met.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unmet {
    /// The keys the demand is about, below the section and dotted; the first is the one to blame.
    pub keys: Vec<String>,
    /// What is demanded: `must be 1 to 1000`.
    pub demand: String,
}

impl Checks {
    /// Returns a section's checks before the first.
    pub fn new() -> Self {
        Self::default()
    }

    /// Demands that `holds`.
    pub fn require(self, key: &str, holds: bool, demand: &str) -> Self {
        self.require_together(&[key], holds, demand)
    }

    /// Demands that `holds`, which depends on several keys. Nothing is said when one of them could not be
    /// read: then there is no value to judge.
    pub fn require_together(mut self, keys: &[&str], holds: bool, demand: &str) -> Self {
        if !holds {
            let keys = keys.iter().map(|&key| key.to_owned()).collect();
            self.0.push(Unmet { keys, demand: demand.to_owned() });
        }
        self
    }

    /// Demands that `value` lies in `range`.
    pub fn within<T: Copy + PartialOrd + Display>(
        self,
        key: &str,
        value: T,
        range: RangeInclusive<T>,
    ) -> Self {
        let demand = format!("must be {} to {}", range.start(), range.end());
        self.require(key, range.contains(&value), &demand)
    }
}

/// Returns a name as a segment of a dotted key, in quotes that it does not hold itself.
pub fn quoted(name: &str) -> String {
    let quote = if name.contains('"') { '\'' } else { '"' };
    format!("{quote}{name}{quote}")
}

impl IntoIterator for Checks {
    type Item = Unmet;
    type IntoIter = std::vec::IntoIter<Unmet>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}
