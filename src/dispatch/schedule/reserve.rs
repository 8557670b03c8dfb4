//! How many of a call's items have budget.

use std::time::Duration;

use tokio::time::Instant;

use crate::{
    caller::Priority,
    dispatch::limit::{Blocked, Cause, Class, TokenRoom},
};

/// When budget is freed later than this, nothing is gained by waiting for more of it.
const LULL: Duration = Duration::from_secs(1);

/// An item that needs budget.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wanted {
    pub(super) priority: Priority,
    pub(super) tokens: u64,
}

/// What a call may use, and what it must have.
#[derive(Clone, Copy, Debug)]
pub(super) struct Terms {
    /// The tokens of the minute.
    pub(super) room: TokenRoom,
    /// A batch that is starved by interactive calls may use the part kept free for them.
    pub(super) starved: bool,
    /// The tokens that are worth a call to a batch.
    pub(super) worth: u64,
    pub(super) now: Instant,
}

/// How many items fit, and their tokens.
struct Fit {
    items: usize,
    tokens: u64,
}

/// Reserves budget, with `reserve`, for the first of the items: for as many as have it, if that is worth a call.
///
/// Returns the reservation and the number of items in it.
pub(super) fn reserve_for<R>(
    items: impl Iterator<Item = Wanted> + Clone,
    terms: Terms,
    mut reserve: impl FnMut(Class, u64) -> Result<R, Blocked>,
) -> Result<(R, usize), Blocked> {
    let is_urgent = |head: Wanted| head.priority == Priority::Interactive;
    let urgent = terms.starved || items.clone().next().is_some_and(is_urgent);
    let (class, least) = if urgent { (Class::Interactive, 0) } else { (Class::Batch, terms.worth) };
    let fit = fitting(items.clone(), terms, least);
    let blocked = match reserve(class, fit.tokens) {
        Ok(reserved) => return Ok((reserved, fit.items)),
        Err(blocked) => blocked,
    };
    // Nothing is freed soon: the rest of the minute would be lost, so any part is worth a call.
    if least == 0 || blocked.cause != Cause::Tokens || blocked.until < terms.now + LULL {
        return Err(blocked);
    }
    let fit = fitting(items, terms, 0);
    let reserved = reserve(class, fit.tokens).map_err(|_| blocked)?;
    Ok((reserved, fit.items))
}

/// Returns how many of the items have budget, but `least` tokens' worth of them anyway.
fn fitting(items: impl Iterator<Item = Wanted>, terms: Terms, least: u64) -> Fit {
    let mut fit = Fit { items: 0, tokens: 0 };
    for Wanted { priority, tokens } in items {
        // Batch items in an interactive call do not use the part kept free for interactive ones.
        let whole = terms.starved || priority == Priority::Interactive;
        let limit = if whole { terms.room.interactive } else { terms.room.batch };
        let fits =
            fit.items == 0 || fit.tokens < least || terms.room.used + fit.tokens + tokens <= limit;
        if !fits {
            break;
        }
        fit = Fit { items: fit.items + 1, tokens: fit.tokens + tokens };
    }
    fit
}
