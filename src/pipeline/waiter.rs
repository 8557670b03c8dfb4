//! A request's wait for one flight, and the charge for it.

use std::sync::Arc;

use tokio::{sync::mpsc, time::Instant};

use super::quota::Charge;
use crate::{
    caller::{Caller, Priority},
    dispatch::{Bill, Demand},
    error::Error,
    item::{Answer, Parameters},
    telemetry::trace::TraceContext,
};

/// The part of a request that its waiters share.
#[derive(Debug)]
pub(super) struct Requester {
    /// The request's span.
    pub(super) trace: TraceContext,
    pub(super) parameters: Arc<Parameters>,
    pub(super) caller: Caller,
    pub(super) priority: Priority,
    /// Whether the answers are to be stored.
    pub(super) stores: bool,
    /// The request's deadline.
    pub(super) deadline: Instant,
    /// The latest time to be sent, not after the deadline.
    pub(super) patience: Instant,
    pub(super) results: mpsc::UnboundedSender<FlightResult>,
}

/// One request's wait for one flight.
#[derive(Debug)]
pub(super) struct Waiter {
    pub(super) requester: Arc<Requester>,
    /// The request's number of the input.
    pub(super) number: usize,
    /// The number of the request's inputs that are identical to this one.
    pub(super) copies: u32,
    /// The quota held for it, refunded when dropped.
    pub(super) charge: Charge,
}

/// The result of a flight for one waiter.
#[derive(Debug)]
pub(super) struct FlightResult {
    /// The waiter's `number`.
    pub(super) number: usize,
    pub(super) result: Result<Answer, Error>,
    /// The cost, for the one waiter that is billed.
    pub(super) bill: Option<Bill>,
}

impl Waiter {
    pub(super) fn can_wait(&self, until: Instant) -> bool {
        until < self.requester.patience
    }

    pub(super) fn demand(&self) -> Demand {
        let &Requester { priority, deadline, patience, .. } = &*self.requester;
        Demand { until: deadline, priority, least_patience: patience, most_patience: patience }
    }

    pub(super) fn is_waiting(&self, now: Instant) -> bool {
        now < self.requester.deadline && !self.has_left()
    }

    pub(super) fn has_left(&self) -> bool {
        self.requester.results.is_closed()
    }

    /// Sends the result to the request; returns it if the request is gone.
    pub(super) fn send(
        &self,
        result: Result<Answer, Error>,
        bill: Option<Bill>,
    ) -> Result<(), FlightResult> {
        let result = FlightResult { number: self.number, result, bill };
        self.requester.results.send(result).map_err(|mpsc::error::SendError(result)| result)
    }
}

/// Returns the waiter to charge: the billed one, else the first one that left. If the billed quota is used up and the
/// one that left holds tokens, that one pays: otherwise two callers, one of which always leaves, could spend without
/// limit.
pub(super) fn debtor(billed: Option<Waiter>, left: Option<Waiter>) -> Option<Waiter> {
    match (billed, left) {
        (Some(billed), Some(left))
            if left.charge.holds() && billed.charge.is_spent(Instant::now()) =>
        {
            Some(left)
        }
        (billed, left) => billed.or(left),
    }
}
