//! What a request would need, without sending it.

use std::time::Duration;

use tokio::time::Instant;

use super::{Scheduler, estimate::Estimate, lane::Caps};
use crate::{
    caller::Priority,
    item::{Parameters, Size},
};

/// The calls of a request.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Planned {
    /// Their number.
    pub(crate) calls: usize,
    /// The known time until the last of them can be sent.
    pub(crate) wait: Duration,
}

impl Scheduler {
    /// Plans the calls of inputs of these sizes, behind the items of equal or higher priority that wait already.
    pub(super) fn plan(
        &mut self,
        parameters: &Parameters,
        sizes: &[Size],
        priority: Priority,
        now: Instant,
    ) -> Planned {
        self.caps.clear();
        let caps = self.caps.of(parameters);
        let calls = divide(sizes, caps);
        let model = &parameters.model;
        let lanes: Vec<_> =
            self.lanes.values_mut().filter(|lane| lane.parameters.model == *model).collect();
        let forecast = self.shared.limiter.forecast(model, now);
        let mut estimate = Estimate::new(forecast, caps, &lanes, now);
        for returned in &self.returned {
            if returned.batch.parameters.model == *model {
                estimate.add_returned(returned);
            }
        }
        let last = estimate.after(priority, &calls);
        Planned { calls: calls.len(), wait: last.saturating_duration_since(now) }
    }
}

/// Divides inputs among calls; returns the tokens of each call.
fn divide(sizes: &[Size], caps: Caps) -> Vec<u64> {
    let (mut calls, mut fits) = (Vec::new(), caps.filter());
    for size in sizes {
        if calls.is_empty() || !fits(size) {
            fits = caps.filter();
            fits(size);
            calls.push(0);
        }
        if let Some(tokens) = calls.last_mut() {
            *tokens += size.tokens;
        }
    }
    calls
}
