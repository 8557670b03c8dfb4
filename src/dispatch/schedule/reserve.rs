//! Reserves budget for the first items of a call.

use std::time::Duration;

use tokio::time::Instant;

use crate::{
    caller::Priority,
    dispatch::limit::{Blocked, Cause, TokenRoom},
};

/// If more budget is freed later than this, a call does not wait for it.
const LULL: Duration = Duration::from_secs(1);

/// An item that needs budget.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wanted {
    pub(super) priority: Priority,
    pub(super) tokens: u64,
}

/// The conditions of a reservation.
#[derive(Clone, Copy, Debug)]
pub(super) struct Terms {
    /// The tokens of the minute.
    pub(super) room: TokenRoom,
    /// Whether a batch starved by interactive calls may use the budget reserved for them.
    pub(super) starved: bool,
    /// The least tokens of a batch call, unless more budget is freed too late.
    pub(super) worth: u64,
    pub(super) now: Instant,
}

/// How many items fit, and their tokens.
struct Fit {
    items: usize,
    tokens: u64,
}

/// Reserves budget, with `reserve`, for as many of the first items as fit, if they are worth a call; returns the
/// reservation and their number.
pub(super) fn reserve_for<R>(
    items: impl Iterator<Item = Wanted> + Clone,
    terms: Terms,
    mut reserve: impl FnMut(Priority, u64) -> Result<R, Blocked>,
) -> Result<(R, usize), Blocked> {
    let is_urgent = |head: Wanted| head.priority == Priority::Interactive;
    let urgent = terms.starved || items.clone().next().is_some_and(is_urgent);
    let (priority, least) =
        if urgent { (Priority::Interactive, 0) } else { (Priority::Batch, terms.worth) };
    let fit = fitting(items.clone(), terms, least);
    let blocked = match reserve(priority, fit.tokens) {
        Ok(reserved) => return Ok((reserved, fit.items)),
        Err(blocked) => blocked,
    };
    // No budget is freed soon: the rest of the minute would be unused, so any part is worth a call.
    if least == 0 || blocked.cause != Cause::Tokens || blocked.until < terms.now + LULL {
        return Err(blocked);
    }
    let fit = fitting(items, terms, 0);
    let reserved = reserve(priority, fit.tokens).map_err(|_| blocked)?;
    Ok((reserved, fit.items))
}

/// Returns how many of the first items have budget; items up to `least` tokens are included without it.
fn fitting(items: impl Iterator<Item = Wanted>, terms: Terms, least: u64) -> Fit {
    let mut fit = Fit { items: 0, tokens: 0 };
    for Wanted { priority, tokens } in items {
        // Batch items in an interactive call do not use the budget reserved for interactive ones.
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
