//! The status page: is it us, them or the caller? `/` for people, `/status` for programs.
//!
//! A [`StatusPage`] reads the metrics' own families, so that the page says what the metrics say. It keeps the numbers of the
//! last minute, and what it has written for [`FRESH`]: whoever asks more often gets the same again, and costs nothing.

mod format;
mod html;
mod page;
mod read;
mod report;
mod sample;
mod verdict;

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use parking_lot::{Mutex, MutexGuard};
use tokio::time::{Instant, MissedTickBehavior, interval};

use read::Sources;
use sample::{Counts, Samples};

use super::health::Health;
use crate::telemetry::{Metrics, recent::Recent};

/// How long what is written is good enough.
const FRESH: Duration = Duration::from_millis(500);

/// What the status page is written on; cheap to clone.
#[derive(Clone)]
pub struct StatusPage(Arc<Shared>);

struct Shared {
    metrics: Metrics,
    health: Health,
    /// Tells the time since 1970, by which certificates expire.
    wall_clock: fn() -> Duration,
    started: Instant,
    state: Mutex<State>,
}

struct State {
    samples: Samples,
    written: Option<Written>,
}

/// A status, written out.
#[derive(Clone, Debug)]
pub struct Written {
    at: Instant,
    /// As JSON.
    pub json: Bytes,
    /// As a page.
    pub page: Bytes,
    /// The parts of the page that change.
    pub parts: Bytes,
}

impl StatusPage {
    /// Begins with nothing counted; `wall_clock` tells the time since 1970.
    pub fn new(metrics: Metrics, health: Health, wall_clock: fn() -> Duration) -> Self {
        let started = Instant::now();
        let state = Mutex::new(State { samples: Samples::new(started), written: None });
        Self(Arc::new(Shared { metrics, health, wall_clock, started, state }))
    }

    /// Returns the metrics the page is about.
    pub fn metrics(&self) -> &Metrics {
        &self.0.metrics
    }

    /// Returns whether new work is taken.
    pub fn is_ready(&self) -> bool {
        self.0.health.is_ready()
    }

    /// Keeps the numbers of the last minute, for ever.
    pub async fn keep_samples(self) {
        let mut ticks = interval(sample::EVERY);
        // After a pause of the process the next sample is the usual span away: no two tell of the same moment.
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let now = Instant::now();
            let counts = Counts::of(&self.0.metrics.families());
            self.0.lock().samples.keep(now, counts);
            // RPCs are measured against those that are still kept.
            if let Some(recent) = self.0.metrics.recent() {
                recent.forget_old(now);
            }
        }
    }

    /// Returns the status, at most [`FRESH`] old.
    ///
    /// # Errors
    ///
    /// It cannot be written as JSON, which only a defect does.
    pub fn written(&self) -> Result<Written, serde_json::Error> {
        let now = Instant::now();
        let is_ready = self.is_ready();
        // Whoever asks meanwhile waits for the one who writes, and reads the same.
        let mut state = self.0.lock();
        if let Some(written) = &state.written
            && now.saturating_duration_since(written.at) < FRESH
        {
            return Ok(written.clone());
        }
        let nothing = Recent::default();
        let sources = Sources {
            families: self.0.metrics.families(),
            samples: &state.samples,
            recent: self.0.metrics.recent().unwrap_or(&nothing),
            is_ready,
            started: self.0.started,
            now,
            wall_seconds: (self.0.wall_clock)().as_secs_f64(),
        };
        let status = sources.status();
        let parts = page::parts(&status);
        let written = Written {
            at: now,
            json: serde_json::to_vec(&status)?.into(),
            page: page::whole(&status, &parts).into(),
            parts: parts.into(),
        };
        state.written = Some(written.clone());
        Ok(written)
    }

    /// Returns the page's Content-Security-Policy.
    pub fn policy() -> &'static str {
        &page::POLICY
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }
}

impl std::fmt::Debug for StatusPage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("StatusPage")
    }
}

#[cfg(test)]
mod tests;
