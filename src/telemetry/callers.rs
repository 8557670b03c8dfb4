//! The names of callers in metrics: a bounded number.

use std::{collections::HashSet, sync::Arc};

use parking_lot::Mutex;

use crate::caller::Caller;

/// The most callers of `[callers]` with a series of their own. An instrument keeps 2,000 series, and the other callers
/// need some of them.
const MAX_NAMED: usize = 1_000;

/// The most other callers with a series of their own: a caller that invents names does not create series.
const MAX_UNNAMED: usize = 256;

/// The label of tokens without a caller to bill.
const ABANDONED: &str = "abandoned";

/// The label of callers without their own series.
const OTHER: &str = "_other";

/// Names with their own series: of callers in `[callers]`, and of others.
#[derive(Debug, Default)]
pub(super) struct CallerNames {
    named: Mutex<HashSet<Arc<str>>>,
    others: Mutex<HashSet<Arc<str>>>,
}

impl CallerNames {
    /// Returns the label of a caller, or of none.
    pub(super) fn label(&self, caller: Option<&Caller>) -> Arc<str> {
        let Some(Caller { name, named, .. }) = caller else { return Arc::from(ABANDONED) };
        // A caller may have the name of a special label.
        let is_taken = [ABANDONED, OTHER].contains(&&**name);
        if !is_taken && self.is_known(name, *named) {
            return Arc::clone(name);
        }
        Arc::from(OTHER)
    }

    /// Returns whether a caller has a series of its own; it gets one while there is room.
    fn is_known(&self, name: &Arc<str>, named: bool) -> bool {
        let (known, most) =
            if named { (&self.named, MAX_NAMED) } else { (&self.others, MAX_UNNAMED) };
        let mut known = known.lock();
        known.contains(name) || (known.len() < most && known.insert(Arc::clone(name)))
    }
}

#[cfg(test)]
mod tests;
