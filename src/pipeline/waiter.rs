//! One request's wait for one flight, and who pays for it.

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
    /// The request's own number for the input.
    pub(super) number: usize,
    /// The request's span.
    pub(super) trace: TraceContext,
    /// How many of the request's inputs are this one.
    pub(super) places: u32,
    /// What the request asks for.
    pub(super) parameters: Arc<Parameters>,
    /// Where the request hears of it.
    pub(super) results: mpsc::UnboundedSender<FlightResult>,
    /// Whether the answer is to be stored.
    pub(super) stores: bool,
    /// How urgent the request is.
    pub(super) priority: Priority,
    /// Who pays.
    pub(super) caller: Caller,
    /// What is held for it; dropped with the seat, it is given back.
    pub(super) charge: Charge,
    /// When the request must have its answer.
    pub(super) deadline: Instant,
    /// When the request would rather fail than go on waiting to be sent.
    pub(super) patience: Instant,
}

/// What became of a flight, as told to one passenger.
#[derive(Debug)]
pub(super) struct FlightResult {
    /// The number given with the seat.
    pub(super) number: usize,
    pub(super) result: Result<Answer, Error>,
    /// The cost, for the one passenger who is billed.
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

    /// Tells the request; gives the message back when it has left.
    pub(super) fn tell(
        &self,
        result: Result<Answer, Error>,
        bill: Option<Bill>,
    ) -> Result<(), FlightResult> {
        let landed = FlightResult { number: self.number, result, bill };
        self.results.send(landed).map_err(|mpsc::error::SendError(landed)| landed)
    }
}

/// Returns whose quota pays: of the one who is billed, else of the first who left. A quota that is used up pays nothing
/// that another holds tokens for: otherwise two callers, of whom one orders and leaves, could spend without end.
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
