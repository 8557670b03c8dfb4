//! Which keys the provider takes, and how much of each.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use parking_lot::Mutex;

/// The keys that are accepted and their limits, which may be changed at any time. Clones share them.
#[derive(Clone, Default)]
pub struct Keys(Arc<Mutex<Known>>);

#[derive(Default)]
struct Known {
    /// `None`: every key.
    accepted: Option<Vec<String>>,
    limits: HashMap<String, Limits>,
}

/// Requests and tokens a minute; `None`: no limit.
pub(super) type Limits = (Option<u32>, Option<u64>);

impl Keys {
    /// Every key is accepted.
    pub fn any() -> Self {
        Self::default()
    }

    /// These keys are accepted.
    pub fn only<T: Into<String>>(keys: impl IntoIterator<Item = T>) -> Self {
        let all = Self::default();
        all.accept_only(keys);
        all
    }

    /// Accepts these keys from now on, and answers 401 to all others.
    pub fn accept_only<T: Into<String>>(&self, keys: impl IntoIterator<Item = T>) {
        let keys = keys.into_iter().map(Into::into).collect();
        self.with(|known| known.accepted = Some(keys));
    }

    /// Gives a key limits of its own, for each model.
    pub fn limit(&self, key: &str, rpm: Option<u32>, tpm: Option<u64>) {
        self.with(|known| known.limits.insert(key.to_owned(), (rpm, tpm)));
    }

    pub(super) fn accepts(&self, key: &str) -> bool {
        self.with(|known| {
            let accepted = known.accepted.as_ref();
            accepted.is_none_or(|accepted| accepted.iter().any(|other| other == key))
        })
    }

    pub(super) fn limits(&self, key: &str) -> Option<Limits> {
        self.with(|known| known.limits.get(key).copied())
    }

    fn with<T>(&self, work: impl FnOnce(&mut Known) -> T) -> T {
        work(&mut self.0.lock())
    }
}

/// Says how many there are.
impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.with(|known| known.accepted.as_ref().map(Vec::len)) {
            Some(count) => write!(f, "Keys({count})"),
            None => f.write_str("Keys(any)"),
        }
    }
}
