//! What becomes of a batch that Voyage refused.
//!
//! One caller's bad input never fails another's: an input that is named fails alone and the rest goes again; a
//! batch with too many tokens or bytes goes in halves; a 400 that names nobody is bisected until the guilty
//! input stands alone. A resend is no retry: it costs neither attempts nor retry budget.

use crate::error::{Error, Fault};

/// What to do with a refused batch.
#[derive(Debug)]
pub(super) enum Verdict<T> {
    /// The failure is everybody's.
    FailAll(Vec<T>),
    /// One input is guilty; the others go again.
    FailOne {
        /// The guilty one.
        guilty: T,
        /// The others, in order.
        rest: Vec<T>,
    },
    /// Too much together, or a guilty input that is not named: both halves go again, apart.
    Split(Vec<T>, Vec<T>),
}

/// Judges a refused batch.
pub(super) fn judge<T>(error: &Error, mut items: Vec<T>) -> Verdict<T> {
    let Error::Upstream(upstream) = error else { return Verdict::FailAll(items) };
    match upstream.fault {
        Fault::InputTooLong { index, .. } if index < items.len() => {
            let guilty = items.remove(index);
            Verdict::FailOne { guilty, rest: items }
        }
        // An index out of range names nobody.
        Fault::InputTooLong { .. }
        | Fault::TooManyTokens { .. }
        | Fault::PayloadTooLarge { .. }
        | Fault::InvalidRequest { field: None | Some("inputs"), .. }
            if items.len() > 1 =>
        {
            let second = items.split_off(items.len() / 2);
            Verdict::Split(items, second)
        }
        _ => Verdict::FailAll(items),
    }
}
