//! The circuit breaker.
//!
//! Every attempt needs a permit and reports its result. When too many fail, the breaker opens for some time; then a
//! single probe decides whether it closes. One lock, taken once per step, serialises the steps.

mod config;
mod tally;

use std::{sync::Arc, time::Duration};

use parking_lot::Mutex;
use tokio::time::Instant;

pub use config::Config;

use crate::{error::Error, telemetry::BreakerState};
use tally::Tally;

/// The retry delay reported while a probe is in flight.
const PROBE_WAIT: Duration = Duration::from_secs(1);

/// The breaker of one upstream.
#[derive(Debug)]
pub(crate) struct Breaker {
    config: Config,
    /// Never held across an await.
    term: Mutex<Term>,
}

#[derive(Debug)]
struct Term {
    circuit: Circuit,
    /// Counts how often the breaker opened. The result of an attempt of an earlier term is ignored. While the breaker
    /// is half open, only the probe belongs to the current term.
    number: u64,
}

#[derive(Debug)]
enum Circuit {
    /// All attempts are permitted.
    Closed(Tally),
    /// No attempt is permitted until then, and one probe afterwards.
    Open {
        until: Instant,
        /// From opening until then.
        lasted: Duration,
    },
    /// The probe is in flight.
    HalfOpen {
        /// How long the breaker was open before.
        lasted: Duration,
    },
}

/// The permit of an attempt. Dropped without a result, it is not counted.
#[derive(Debug)]
#[must_use]
pub(crate) struct BreakerPermit {
    /// `None` once the attempt has ended.
    breaker: Option<Arc<Breaker>>,
    term: u64,
}

impl Breaker {
    /// Returns a closed breaker.
    pub(crate) fn new(config: &Config) -> Arc<Self> {
        let term = Term { circuit: Circuit::Closed(Tally::default()), number: 0 };
        Arc::new(Self { config: config.clone(), term: Mutex::new(term) })
    }

    /// Permits an attempt, or returns [`Error::CircuitOpen`].
    pub(crate) fn admit(self: &Arc<Self>, now: Instant) -> Result<BreakerPermit, Error> {
        let mut term = self.term.lock();
        term.circuit.check(now)?;
        // ## Open, and it is time => permitted as the probe: HalfOpen.
        if let Circuit::Open { lasted, .. } = term.circuit {
            term.circuit = Circuit::HalfOpen { lasted };
        }
        Ok(BreakerPermit { breaker: Some(Arc::clone(self)), term: term.number })
    }

    /// Returns the error of [`Self::admit`] without permitting an attempt.
    pub(crate) fn check(&self, now: Instant) -> Result<(), Error> {
        self.term.lock().circuit.check(now)
    }

    /// Returns the state; a breaker whose time is over is half open, as the next attempt is the probe.
    pub(crate) fn state(&self, now: Instant) -> BreakerState {
        match self.term.lock().circuit {
            Circuit::Closed(_) => BreakerState::Closed,
            Circuit::Open { until, .. } if now < until => BreakerState::Open,
            Circuit::Open { .. } | Circuit::HalfOpen { .. } => BreakerState::HalfOpen,
        }
    }

    /// Records the end of an attempt of `term`.
    fn ended(&self, number: u64, end: End, now: Instant) {
        let Config { failure_percent, min_calls, window, open_for, max_open } = &self.config;
        let mut term = self.term.lock();
        if term.number != number {
            return;
        }
        match (&mut term.circuit, end) {
            // ## Closed => the attempt is counted; with too many failures: Open, and a new term.
            (Circuit::Closed(tally), End::Succeeded | End::Failed) => {
                tally.count(matches!(end, End::Failed), window.get(), now);
                if tally.is_bad(*failure_percent, *min_calls) {
                    term.circuit = open(open_for.get(), now);
                    term.number += 1;
                }
            }
            // ## HalfOpen, the probe succeeded => Closed, with empty counts.
            (Circuit::HalfOpen { .. }, End::Succeeded) => {
                term.circuit = Circuit::Closed(Tally::default());
            }
            // ## HalfOpen, the probe failed => Open, for twice as long as before.
            (Circuit::HalfOpen { lasted }, End::Failed) => {
                term.circuit = open(lasted.saturating_mul(2).min(max_open.get()), now);
            }
            // ## HalfOpen, the probe was cancelled => Open no longer: the next attempt is the probe.
            (Circuit::HalfOpen { lasted }, End::Unknown) => {
                term.circuit = Circuit::Open { until: now, lasted: *lasted };
            }
            // ## Closed, the attempt was cancelled => not counted.
            // ## Open => attempts in flight are of an earlier term.
            (Circuit::Closed(_), End::Unknown) | (Circuit::Open { .. }, _) => {}
        }
    }
}

impl Circuit {
    fn check(&self, now: Instant) -> Result<(), Error> {
        let retry_after = match self {
            // ## Open, and it is not yet time => rejected.
            Self::Open { until, .. } if now < *until => *until - now,
            // ## HalfOpen => rejected while the probe is in flight.
            Self::HalfOpen { .. } => PROBE_WAIT,
            Self::Closed(_) | Self::Open { .. } => return Ok(()),
        };
        Err(Error::CircuitOpen { retry_after })
    }
}

fn open(lasts: Duration, now: Instant) -> Circuit {
    Circuit::Open { until: now + lasts, lasted: lasts }
}

/// The result of an attempt.
#[derive(Clone, Copy, Debug)]
enum End {
    Succeeded,
    Failed,
    Unknown,
}

impl BreakerPermit {
    /// Records an answer, or a failure that does not trip the breaker.
    pub(crate) fn succeeded(self, now: Instant) {
        self.end(End::Succeeded, now);
    }

    /// Records a failure that trips the breaker.
    pub(crate) fn failed(self, now: Instant) {
        self.end(End::Failed, now);
    }

    fn end(mut self, end: End, now: Instant) {
        if let Some(breaker) = self.breaker.take() {
            breaker.ended(self.term, end, now);
        }
    }
}

impl Drop for BreakerPermit {
    fn drop(&mut self) {
        if let Some(breaker) = self.breaker.take() {
            breaker.ended(self.term, End::Unknown, Instant::now());
        }
    }
}

#[cfg(test)]
mod tests;
