//! Validation of the configuration's sections.

use std::{fmt::Display, ops::RangeInclusive};

/// The violations of a section's requirements, so that all are reported at once.
///
/// A requirement never quotes a value: it may be a secret.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[must_use]
pub struct Validation(Vec<Violation>);

/// A requirement that the configuration violates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Dotted keys below the section; the first is the one to report.
    pub keys: Vec<String>,
    /// The requirement, such as `must be 1 to 1000`.
    pub requirement: String,
}

impl Validation {
    /// Returns a validation without violations.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a violation of `requirement` unless it is `met`.
    pub fn require(self, key: &str, met: bool, requirement: &str) -> Self {
        self.require_together(&[key], met, requirement)
    }

    /// Adds a violation of a requirement on several keys. It is not reported if the value of one of them is invalid.
    pub fn require_together(mut self, keys: &[&str], met: bool, requirement: &str) -> Self {
        if !met {
            let keys = keys.iter().map(|&key| key.to_owned()).collect();
            self.0.push(Violation { keys, requirement: requirement.to_owned() });
        }
        self
    }

    /// Requires that `value` lies in `range`.
    pub fn within<T: Copy + PartialOrd + Display>(
        self,
        key: &str,
        value: T,
        range: RangeInclusive<T>,
    ) -> Self {
        let requirement = format!("must be {} to {}", range.start(), range.end());
        self.require(key, range.contains(&value), &requirement)
    }
}

/// Returns a name as a quoted segment of a dotted key.
pub fn quoted(name: &str) -> String {
    let quote = if name.contains('"') { '\'' } else { '"' };
    format!("{quote}{name}{quote}")
}

impl IntoIterator for Validation {
    type Item = Violation;
    type IntoIter = std::vec::IntoIter<Violation>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}
