//! The circuit breaker.
//!
//! Every attempt needs a permit and reports its result. When too many fail, the breaker opens for some time; then a
//! single probe decides whether it closes. One lock, taken once per step, serialises the steps.

mod config;
mod tally;

use std::{sync::Arc, time::Duration};

use parking_lot::{Mutex, MutexGuard};
use tokio::time::Instant;

pub use config::Config;

use crate::telemetry::BreakerState;
use tally::Tally;

/// The retry delay reported while a probe is in flight.
const PROBE_WAIT: Duration = Duration::from_secs(1);

/// The breaker of one upstream.
#[derive(Debug)]
pub(crate) struct Breaker {
    config: Config,
    /// Never held across an await.
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    phase: Phase,
    /// Counts how often the breaker opened. The result of an attempt of an earlier term is ignored. While the breaker is
    /// half open, only the probe belongs to the present term.
    term: u64,
}

#[derive(Debug)]
enum Phase {
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

/// The breaker is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Open {
    /// When an attempt may be permitted.
    pub(crate) retry_after: Duration,
}

/// The permit of an attempt. Dropped without a result, it is not counted.
#[derive(Debug)]
#[must_use]
pub(crate) struct BreakerPermit {
    /// Taken when the attempt has ended.
    breaker: Option<Arc<Breaker>>,
    term: u64,
}

impl Breaker {
    /// Returns a closed breaker.
    pub(crate) fn new(config: &Config) -> Arc<Self> {
        let state = State { phase: Phase::Closed(Tally::default()), term: 0 };
        Arc::new(Self { config: config.clone(), state: Mutex::new(state) })
    }

    /// Permits an attempt, or returns when one may be permitted.
    pub(crate) fn admit(self: &Arc<Self>, now: Instant) -> Result<BreakerPermit, Open> {
        let mut state = self.lock();
        match state.phase {
            // ## Closed => permitted.
            Phase::Closed(_) => {}
            // ## Open, and it is not yet time => rejected.
            Phase::Open { until, .. } if now < until => {
                return Err(Open { retry_after: until - now });
            }
            // ## Open, and it is time => permitted as the probe: HalfOpen.
            Phase::Open { lasted, .. } => {
                state.phase = Phase::HalfOpen { lasted };
            }
            // ## HalfOpen => rejected while the probe is in flight.
            Phase::HalfOpen { .. } => return Err(Open { retry_after: PROBE_WAIT }),
        }
        Ok(BreakerPermit { breaker: Some(Arc::clone(self)), term: state.term })
    }

    /// Returns the result of [`Self::admit`] without permitting an attempt.
    pub(crate) fn check(&self, now: Instant) -> Result<(), Open> {
        match self.lock().phase {
            Phase::Open { until, .. } if now < until => Err(Open { retry_after: until - now }),
            Phase::HalfOpen { .. } => Err(Open { retry_after: PROBE_WAIT }),
            Phase::Closed(_) | Phase::Open { .. } => Ok(()),
        }
    }

    /// Returns the phase; a breaker whose time is over is half open, as the next attempt is the probe.
    pub(crate) fn state(&self, now: Instant) -> BreakerState {
        match self.lock().phase {
            Phase::Closed(_) => BreakerState::Closed,
            Phase::Open { until, .. } if now < until => BreakerState::Open,
            Phase::Open { .. } | Phase::HalfOpen { .. } => BreakerState::HalfOpen,
        }
    }

    /// Records the end of an attempt of `term`.
    fn landed(&self, term: u64, end: End, now: Instant) {
        let Config { failure_percent, min_calls, window, open_for, max_open } = &self.config;
        let mut state = self.lock();
        if state.term != term {
            return;
        }
        match (&mut state.phase, end) {
            // ## Closed => the attempt is counted; with too many failures: Open, and a new term.
            (Phase::Closed(tally), End::Succeeded | End::Failed) => {
                tally.count(matches!(end, End::Failed), window.get(), now);
                if tally.is_bad(*failure_percent, *min_calls) {
                    state.phase = open(open_for.get(), now);
                    state.term += 1;
                }
            }
            // ## HalfOpen, the probe succeeded => Closed, with empty counts.
            (Phase::HalfOpen { .. }, End::Succeeded) => {
                state.phase = Phase::Closed(Tally::default());
            }
            // ## HalfOpen, the probe failed => Open, for twice as long as before.
            (Phase::HalfOpen { lasted }, End::Failed) => {
                state.phase = open(lasted.saturating_mul(2).min(max_open.get()), now);
            }
            // ## HalfOpen, the probe was cancelled => Open no longer: the next attempt is the probe.
            (Phase::HalfOpen { lasted }, End::Unknown) => {
                state.phase = Phase::Open { until: now, lasted: *lasted };
            }
            // ## Closed, the attempt was cancelled => not counted.
            // ## Open => attempts in flight are of an earlier term.
            (Phase::Closed(_), End::Unknown) | (Phase::Open { .. }, _) => {}
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }
}

fn open(lasts: Duration, now: Instant) -> Phase {
    Phase::Open { until: now + lasts, lasted: lasts }
}

/// The result of an attempt.
#[derive(Clone, Copy, Debug)]
enum End {
    Succeeded,
    Failed,
    Unknown,
}

impl BreakerPermit {
    /// The attempt was answered, or failed in a way that the upstream is not to blame for.
    pub(crate) fn succeeded(self, now: Instant) {
        self.landed(End::Succeeded, now);
    }

    /// The attempt failed, and its fault trips the breaker. Otherwise it [`Self::succeeded`]: the upstream works.
    pub(crate) fn failed(self, now: Instant) {
        self.landed(End::Failed, now);
    }

    fn landed(mut self, end: End, now: Instant) {
        if let Some(breaker) = self.breaker.take() {
            breaker.landed(self.term, end, now);
        }
    }
}

impl Drop for BreakerPermit {
    fn drop(&mut self) {
        if let Some(breaker) = self.breaker.take() {
            breaker.landed(self.term, End::Unknown, Instant::now());
        }
    }
}

#[cfg(test)]
mod tests;
