//! The callers that metrics know by name: a bounded number.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex, PoisonError},
};

use crate::caller::Caller;

/// Callers with a series of their own beside those that `[callers]` names: whoever can make up names cannot make
/// series.
const MAX_UNNAMED: usize = 256;

/// The label of what nobody was there to pay for.
const ABANDONED: &str = "abandoned";

/// The label of all callers beyond the known ones.
const OTHER: &str = "_other";

/// The names seen so far of callers without a table in `[callers]`.
#[derive(Debug, Default)]
pub(super) struct CallerNames(Mutex<HashSet<Arc<str>>>);

impl CallerNames {
    /// Returns the label that stands for a caller, or for nobody.
    pub(super) fn label(&self, caller: Option<&Caller>) -> Arc<str> {
        let Some(Caller { name, named, .. }) = caller else { return Arc::from(ABANDONED) };
        // Nobody's tokens are to pass for those of nobody.
        let is_taken = [ABANDONED, OTHER].contains(&&**name);
        if !is_taken && (*named || self.is_known(name)) {
            return Arc::clone(name);
        }
        Arc::from(OTHER)
    }

    /// Tells whether a caller has a series, which it gets while there is room.
    fn is_known(&self, name: &Arc<str>) -> bool {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.contains(name) || (known.len() < MAX_UNNAMED && known.insert(Arc::clone(name)))
    }
}

#[cfg(test)]
mod tests;
