//! A request's wait for one flight, and the charge for it.

use std::sync::Arc;

use tokio::{sync::mpsc, time::Instant};

use super::quota::Charge;
use crate::{
    caller::{Caller, Priority},
    dispatch::{Bill, Demand, Patience},
    embedding::{Answer, Parameters},
    error::Error,
    telemetry::trace::TraceContext,
};

/// One request's wait for one flight.
#[derive(Debug)]
pub(super) struct Waiter {
    /// The request's number of the input.
    pub(super) number: usize,
    /// The request's span.
    pub(super) trace: TraceContext,
    /// The number of the request's inputs that are identical to this one.
    pub(super) places: u32,
    pub(super) parameters: Arc<Parameters>,
    /// The request's channel for results.
    pub(super) results: mpsc::UnboundedSender<FlightResult>,
    /// Whether the answer is to be stored.
    pub(super) stores: bool,
    pub(super) priority: Priority,
    pub(super) caller: Caller,
    /// The quota held for it, refunded when dropped.
    pub(super) charge: Charge,
    /// The request's deadline.
    pub(super) deadline: Instant,
    /// The latest time to be sent.
    pub(super) patience: Instant,
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
        until < self.deadline.min(self.patience)
    }

    pub(super) fn demand(&self) -> Demand {
        let patience = self.deadline.min(self.patience);
        Demand {
            until: self.deadline,
            priority: self.priority,
            patience: Patience { least: patience, most: patience },
        }
    }

    pub(super) fn is_waiting(&self, now: Instant) -> bool {
        now < self.deadline && !self.results.is_closed()
    }

    /// Sends the result to the request; returns it if the request is gone.
    pub(super) fn tell(
        &self,
        result: Result<Answer, Error>,
        bill: Option<Bill>,
    ) -> Result<(), FlightResult> {
        let landed = FlightResult { number: self.number, result, bill };
        self.results.send(landed).map_err(|mpsc::error::SendError(landed)| landed)
    }
}

/// Returns the waiter to charge: the billed one, else the first one that left. If the billed quota is used up and the one
/// that left holds tokens, that one pays: otherwise two callers, one of which always leaves, could spend without limit.
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
