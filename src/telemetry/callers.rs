//! The callers that metrics know by name: a bounded number.

use std::{collections::HashSet, sync::Arc};

use parking_lot::Mutex;

use crate::caller::Caller;

/// Callers with a series of their own of those that `[callers]` names. There may be more: an instrument keeps 2,000
/// series, and a share of them is for others.
const MAX_NAMED: usize = 1_000;

/// Callers with a series of their own beside those: whoever can make up names cannot make series.
const MAX_UNNAMED: usize = 256;

/// The label of what nobody was there to pay for.
const ABANDONED: &str = "abandoned";

/// The label of all callers beyond the known ones.
const OTHER: &str = "_other";

/// The names seen so far: those of callers with a table in `[callers]`, and the others.
#[derive(Debug, Default)]
pub(super) struct CallerNames {
    named: Mutex<HashSet<Arc<str>>>,
    others: Mutex<HashSet<Arc<str>>>,
}

impl CallerNames {
    /// Returns the label that stands for a caller, or for nobody.
    pub(super) fn label(&self, caller: Option<&Caller>) -> Arc<str> {
        let Some(Caller { name, named, .. }) = caller else { return Arc::from(ABANDONED) };
        // Nobody's tokens are to pass for those of nobody.
        let is_taken = [ABANDONED, OTHER].contains(&&**name);
        if !is_taken && self.is_known(name, *named) {
            return Arc::clone(name);
        }
        Arc::from(OTHER)
    }

    /// Tells whether a caller has a series, which it gets while there is room.
    fn is_known(&self, name: &Arc<str>, named: bool) -> bool {
        let (known, most) =
            if named { (&self.named, MAX_NAMED) } else { (&self.others, MAX_UNNAMED) };
        let mut known = known.lock();
        known.contains(name) || (known.len() < most && known.insert(Arc::clone(name)))
    }
}

#[cfg(test)]
mod tests;
