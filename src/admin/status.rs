//! The status page: the health of the gateway, and the side that causes problems. `/` is HTML, `/status` is JSON.
//!
//! A [`StatusPage`] reads the metrics, so that the page agrees with them. It keeps the past of a few counters, and each
//! page for [`FRESH`]: the cost does not grow with the number of requests.

mod format;
mod history;
mod page;
mod read;
mod report;
mod verdict;

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::time::{Instant, MissedTickBehavior, interval};

use history::History;
use read::Sources;

use super::health::Health;
use crate::telemetry::{Metrics, recent::Recent};

/// How long a page is served again.
const FRESH: Duration = Duration::from_millis(500);

/// The status page; cheap to clone.
#[derive(Clone)]
pub struct StatusPage(Arc<Shared>);

struct Shared {
    metrics: Metrics,
    health: Health,
    /// Returns the time since 1970, by which certificates expire.
    wall_clock: fn() -> Duration,
    started: Instant,
    state: Mutex<State>,
}

struct State {
    history: History,
    rendered: Option<Rendered>,
}

/// A status in each format.
#[derive(Clone, Debug)]
pub(super) struct Rendered {
    at: Instant,
    pub(super) json: Bytes,
    /// The whole page.
    pub(super) page: Bytes,
    /// The parts of the page that change.
    pub(super) parts: Bytes,
}

impl StatusPage {
    /// Starts with an empty history; `wall_clock` returns the time since 1970.
    pub fn new(metrics: Metrics, health: Health, wall_clock: fn() -> Duration) -> Self {
        let started = Instant::now();
        let state = Mutex::new(State { history: History::new(started), rendered: None });
        Self(Arc::new(Shared { metrics, health, wall_clock, started, state }))
    }

    pub(super) fn metrics(&self) -> &Metrics {
        &self.0.metrics
    }

    pub(super) fn is_ready(&self) -> bool {
        self.0.health.is_ready()
    }

    /// Takes the samples; never ends.
    pub async fn keep_samples(self) {
        let mut ticks = interval(history::EVERY);
        // After a pause of the process the next sample is a whole interval away, not at the same moment.
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let families = self.0.metrics.families();
            self.0.state.lock().history.keep(Instant::now(), families);
        }
    }

    /// Returns the status, at most [`FRESH`] old.
    ///
    /// # Errors
    ///
    /// A defect: it cannot be written as JSON.
    pub(super) fn rendered(&self) -> Result<Rendered, serde_json::Error> {
        let now = Instant::now();
        // Held while a status is rendered: concurrent requests wait for it and get the same.
        let mut state = self.0.state.lock();
        if let Some(rendered) = &state.rendered
            && now.saturating_duration_since(rendered.at) < FRESH
        {
            return Ok(rendered.clone());
        }
        let nothing = Recent::default();
        let sources = Sources {
            families: self.0.metrics.families(),
            history: &state.history,
            recent: self.0.metrics.recent().unwrap_or(&nothing),
            is_ready: self.is_ready(),
            started: self.0.started,
            now,
            wall_seconds: (self.0.wall_clock)().as_secs_f64(),
        };
        let status = sources.status();
        let parts = page::parts(&status);
        let rendered = Rendered {
            at: now,
            json: serde_json::to_vec(&status)?.into(),
            page: page::whole(&status, &parts).into(),
            parts: parts.into(),
        };
        state.rendered = Some(rendered.clone());
        Ok(rendered)
    }

    /// Returns the page's Content-Security-Policy.
    pub(super) fn policy() -> &'static str {
        &page::POLICY
    }
}

impl std::fmt::Debug for StatusPage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("StatusPage")
    }
}

#[cfg(test)]
mod tests;
