//! The gate of a window: a 429 closes it; afterwards one probe passes first, and its success opens the gate.

use std::time::Duration;

use tokio::time::Instant;

/// The first wait after a 429 without `Retry-After`, such as Voyage's; it doubles with every further one.
const FIRST_WAIT: Duration = Duration::from_secs(1);

/// The longest such wait.
const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// The most that jitter adds to such a wait, so that replicas do not retry together.
const JITTER: f64 = 0.2;

/// The gate of one key and model.
#[derive(Clone, Debug, Default)]
pub(super) struct Gate {
    /// Set by a 429, cleared by a successful probe. After this time, one probe at a time may pass.
    closed_until: Option<Instant>,
    probe_out: bool,
    /// 429s without a success in between.
    strikes: u32,
    /// How often it was closed. The result of a call from before the last closing is ignored.
    epoch: u64,
}

/// Whether a call may pass now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Passage {
    /// Every call may pass.
    Open,
    /// One call may pass, as the probe.
    Probe,
    /// The probe is in flight: no other call may pass until it ends.
    ProbeOut,
    /// No call may pass before that time.
    Closed(Instant),
}

/// When and how a call passed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stamp {
    epoch: u64,
    probe: bool,
}

impl Gate {
    pub(super) fn passage(&self, now: Instant) -> Passage {
        match self.closed_until {
            None => Passage::Open,
            Some(until) if until > now => Passage::Closed(until),
            Some(_) if self.probe_out => Passage::ProbeOut,
            Some(_) => Passage::Probe,
        }
    }

    /// Lets a call pass, after `passage` returned `Open` or `Probe`.
    pub(super) fn pass(&mut self) -> Stamp {
        let probe = self.closed_until.is_some();
        self.probe_out |= probe;
        Stamp { epoch: self.epoch, probe }
    }

    /// Records a success; it opens the gate unless the call passed before the last closing.
    pub(super) fn succeeded(&mut self, stamp: Stamp) {
        self.returned(stamp);
        if stamp.epoch == self.epoch {
            self.closed_until = None;
            self.strikes = 0;
        }
    }

    /// Records a call that failed or was not sent: if it was the probe, the next call is.
    pub(super) fn returned(&mut self, stamp: Stamp) {
        self.probe_out &= !stamp.probe;
    }

    /// Records a 429; returns whether it is the first since the last closing. For a call that passed before that, only
    /// `retry_after` counts.
    pub(super) fn refused(
        &mut self,
        stamp: Stamp,
        retry_after: Option<Duration>,
        now: Instant,
    ) -> bool {
        self.returned(stamp);
        let news = stamp.epoch == self.epoch;
        let wait = retry_after.or_else(|| news.then(|| own_wait(self.strikes)));
        if let Some(wait) = wait {
            self.closed_until = self.closed_until.max(Some(now + wait));
            self.epoch += 1;
        }
        self.strikes += u32::from(news);
        news
    }

    /// Opens the gate if the probe is in flight.
    pub(super) fn trust_the_probe(&mut self) {
        if std::mem::take(&mut self.probe_out) {
            self.closed_until = None;
        }
    }

    /// Returns until when the gate is closed.
    pub(super) fn closed_until(&self, now: Instant) -> Option<Instant> {
        self.closed_until.filter(|until| *until > now)
    }
}

/// Returns the wait after a 429 without `Retry-After`.
fn own_wait(strikes: u32) -> Duration {
    let wait = FIRST_WAIT.saturating_mul(1 << strikes.min(5)).min(LONGEST_WAIT);
    wait.mul_f64(1.0 + JITTER * rand::random::<f64>())
}
