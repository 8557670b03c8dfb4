//! The shares of interactive and batch calls in the last minute.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use tokio::time::Instant;

use crate::caller::Priority;

/// As long as the provider's own window.
const MINUTE: Duration = Duration::from_mins(1);

/// Tokens sent in the last minute, by model and class.
#[derive(Debug, Default)]
pub(super) struct Shares(HashMap<Arc<str>, Sent>);

/// Tokens sent to one model in the last minute, by class.
#[derive(Debug, Default)]
struct Sent {
    calls: VecDeque<(Instant, Priority, u64)>,
    tokens: [u64; 2],
}

impl Shares {
    /// Records a sent call.
    pub(super) fn note(&mut self, model: &Arc<str>, class: Priority, tokens: u64, now: Instant) {
        // Models without a call for a minute are removed.
        self.0.retain(|_, sent| {
            sent.expire(now);
            !sent.calls.is_empty()
        });
        let sent = self.0.entry(Arc::clone(model)).or_default();
        sent.calls.push_back((now, class, tokens));
        sent.tokens[class as usize] += tokens;
    }

    /// Returns whether interactive calls used more than half of the used tokens.
    pub(super) fn is_mostly_interactive(&mut self, model: &Arc<str>, now: Instant) -> bool {
        self.0.get_mut(model).is_some_and(|sent| {
            sent.expire(now);
            sent.tokens[Priority::Interactive as usize] > sent.tokens[Priority::Batch as usize]
        })
    }
}

impl Sent {
    fn expire(&mut self, now: Instant) {
        while let Some(&(at, class, tokens)) = self.calls.front()
            && now >= at + MINUTE
        {
            self.calls.pop_front();
            self.tokens[class as usize] -= tokens;
        }
    }
}
