//! Closed by a 429 for everyone; reopens gently: one call first, the others when it has succeeded.

use std::time::Duration;

use tokio::time::Instant;

/// The first wait after a 429 that names none, as Voyage's do; it doubles with every further one.
const FIRST_WAIT: Duration = Duration::from_secs(1);

/// The longest such wait.
const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// Added to such a wait at most, so that the replicas of an account do not return together.
const JITTER: f64 = 0.2;

/// The gate of one model.
#[derive(Clone, Debug, Default)]
pub(super) struct Gate {
    /// Set by a 429 and cleared by the probe's success; between its passing and that, one probe at a time is
    /// let through.
    closed_until: Option<Instant>,
    probe_out: bool,
    /// 429s without a success in between.
    strikes: u32,
    /// How often it was closed. What became of a call from before the last closing is no news.
    epoch: u64,
}

/// What the gate says to who comes now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Passage {
    /// Everyone may pass.
    Open,
    /// One may pass, as the probe.
    Probe,
    /// The probe is out: nobody else may pass until it is known how it fared.
    ProbeOut,
    /// Nobody may pass before that time.
    Closed(Instant),
}

/// What a call that passed has to show when it is back.
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

    /// Lets a call pass; only after `passage` said `Open` or `Probe`.
    pub(super) fn pass(&mut self) -> Stamp {
        let probe = self.closed_until.is_some();
        self.probe_out |= probe;
        Stamp { epoch: self.epoch, probe }
    }

    /// The call succeeded. If it passed before the last closing, that proves nothing.
    pub(super) fn succeeded(&mut self, stamp: Stamp) {
        self.returned(stamp);
        if stamp.epoch == self.epoch {
            self.closed_until = None;
            self.strikes = 0;
        }
    }

    /// The call failed, or was not sent: if it was the probe, the next call is.
    pub(super) fn returned(&mut self, stamp: Stamp) {
        self.probe_out &= !stamp.probe;
    }

    /// The call met a 429. Returns whether that is news: if the call passed before the last closing, only a
    /// `retry_after` still counts.
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

    /// Opens if the probe is out.
    pub(super) fn trust_the_probe(&mut self) {
        if std::mem::take(&mut self.probe_out) {
            self.closed_until = None;
        }
    }

    /// Returns until when the gate is closed, if it is.
    pub(super) fn closed_until(&self, now: Instant) -> Option<Instant> {
        self.closed_until.filter(|until| *until > now)
    }
}

/// Returns how long to wait after a 429 that does not say it.
fn own_wait(strikes: u32) -> Duration {
    let wait = FIRST_WAIT.saturating_mul(1 << strikes.min(5)).min(LONGEST_WAIT);
    wait.mul_f64(1.0 + JITTER * rand::random::<f64>())
}
