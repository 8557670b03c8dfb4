//! How much of a call has budget: of the present one, or of what is known of the future.

use std::{sync::Arc, time::Duration};

use tokio::time::Instant;

use crate::{
    caller::Priority,
    dispatch::limit::{Blocked, Cause, Class, Limiter, Outlook, Planned, Reservation, Usage},
};

/// When budget is freed later than this, nothing is gained by waiting for more of it.
const LULL: Duration = Duration::from_secs(1);

/// One model's budget, to reserve in.
pub(super) trait Budget {
    /// What a reservation is.
    type Reserved;

    /// Reserves one call, or says what stands in its way.
    fn reserve(
        &mut self,
        class: Class,
        tokens: u64,
        now: Instant,
    ) -> Result<Self::Reserved, Blocked>;

    /// Returns what is used.
    fn usage(&mut self, now: Instant) -> Usage;

    /// Returns the tokens of a minute that batch work may use.
    fn tokens_for_batch(&self) -> u64;
}

/// The budget as it is.
pub(super) struct Present<'a> {
    pub(super) limiter: &'a Arc<Limiter>,
    pub(super) model: &'a str,
}

impl Budget for Present<'_> {
    type Reserved = Reservation;

    fn reserve(&mut self, class: Class, tokens: u64, now: Instant) -> Result<Reservation, Blocked> {
        self.limiter.reserve(self.model, class, tokens, now)
    }

    fn usage(&mut self, now: Instant) -> Usage {
        self.limiter.usage(self.model, now)
    }

    fn tokens_for_batch(&self) -> u64 {
        self.limiter.max_tokens_per_call(self.model)
    }
}

impl Budget for Outlook {
    type Reserved = Planned;

    fn reserve(&mut self, class: Class, tokens: u64, now: Instant) -> Result<Planned, Blocked> {
        self.reserve(class, tokens, now)
    }

    fn usage(&mut self, now: Instant) -> Usage {
        self.usage(now)
    }

    fn tokens_for_batch(&self) -> u64 {
        self.tokens_for_batch()
    }
}

/// What a call may use, and what it must have.
#[derive(Clone, Copy, Debug)]
pub(super) struct Terms {
    /// A batch that is starved by interactive calls may use what is kept free for them.
    pub(super) starved: bool,
    /// The tokens that are worth a call to a batch.
    pub(super) worth: u64,
}

/// Reserves budget for the first of the items, given by class and tokens: for as many as have it, if that is worth a call.
///
/// Returns how many these are.
pub(super) fn reserve<B: Budget>(
    budget: &mut B,
    items: impl Iterator<Item = (Priority, u64)> + Clone,
    terms: Terms,
    now: Instant,
) -> Result<(B::Reserved, usize), Blocked> {
    let interactive = items.clone().next().is_some_and(|(head, _)| head == Priority::Interactive);
    let urgent = interactive || terms.starved;
    let class = if urgent { Class::Interactive } else { Class::Batch };
    let least = if urgent { 0 } else { terms.worth };
    let (fit, tokens) = fitting(budget, items.clone(), (terms.starved, least), now);
    let blocked = match budget.reserve(class, tokens, now) {
        Ok(reserved) => return Ok((reserved, fit)),
        Err(blocked) => blocked,
    };
    // Nothing is freed soon: what is left of the minute would be lost, so any part is worth a call.
    if least == 0 || blocked.cause != Cause::Tokens || blocked.until < now + LULL {
        return Err(blocked);
    }
    let (fit, tokens) = fitting(budget, items, (terms.starved, 0), now);
    let reserved = budget.reserve(class, tokens, now).map_err(|_| blocked)?;
    Ok((reserved, fit))
}

/// Returns how many of the items have budget, but `least` tokens' worth of them anyway, and their tokens.
fn fitting<B: Budget>(
    budget: &mut B,
    items: impl Iterator<Item = (Priority, u64)>,
    (starved, least): (bool, u64),
    now: Instant,
) -> (usize, u64) {
    let (usage, for_batch) = (budget.usage(now), budget.tokens_for_batch());
    let mut sum = 0;
    let fit = items.take_while(|&(priority, tokens)| {
        // Bulk that shares an urgent call does not use what is kept free for the urgent.
        let reserved = starved || priority == Priority::Interactive;
        let limit = if reserved { usage.tokens_limit } else { for_batch };
        let fits = sum == 0 || sum < least || usage.tokens + sum + tokens <= limit;
        sum += if fits { tokens } else { 0 };
        fits
    });
    (fit.count(), sum)
}
