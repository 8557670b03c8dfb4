//! A JWKS from a URL: fetched at the start, every 5 minutes, and when a token names an unknown key.

use std::{fmt, sync::Arc, time::Duration};

use arc_swap::ArcSwapOption;
use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use sha2::{Digest as _, Sha256};
use tokio::{
    sync::Notify,
    time::{Instant, sleep, sleep_until},
};

use super::key_set::KeySet;
use crate::telemetry::Metrics;

/// Time between fetches.
const REFRESH: Duration = Duration::from_mins(5);

/// Minimum time between fetches, even after failures and for unknown keys.
const GAP: Duration = Duration::from_secs(10);

/// The setting, for the log and the metric.
const WHAT: &str = "auth.jwt.jwks_url";

/// Fetches the URL; errors contain no secret.
pub type Fetch = Box<dyn Fn() -> BoxFuture<'static, Result<Vec<u8>, String>> + Send + Sync>;

/// The last valid JWKS of a URL; none before the first.
pub struct FetchedKeys {
    fetch: Fetch,
    current: ArcSwapOption<KeySet>,
    /// Hash of the content: an unchanged JWKS keeps the verified tokens.
    digest: Mutex<Option<[u8; 32]>>,
    refresh_requested: Notify,
    metrics: Metrics,
}

impl FetchedKeys {
    /// Builds one without keys.
    pub fn new(fetch: Fetch, metrics: Metrics) -> Arc<Self> {
        metrics.expect_reloads(WHAT);
        Arc::new(Self {
            fetch,
            current: ArcSwapOption::empty(),
            digest: Mutex::new(None),
            refresh_requested: Notify::new(),
            metrics,
        })
    }

    pub(super) fn get(&self) -> Option<Arc<KeySet>> {
        self.current.load_full()
    }

    /// Makes [`Self::keep_fresh`] fetch the JWKS soon.
    pub fn request_refresh(&self) {
        self.refresh_requested.notify_one();
    }

    /// Fetches the JWKS once and returns whether it is valid; if not, the last one stays.
    pub async fn refresh(&self) -> bool {
        let keys = (self.fetch)().await.and_then(|content| {
            let digest = Sha256::digest(&content).into();
            KeySet::parse(&content).map(|keys| (digest, keys))
        });
        match keys {
            Ok((digest, keys)) => {
                let mut known = self.digest.lock();
                if known.replace(digest) != Some(digest) {
                    tracing::info!(what = WHAT, ?keys, "JWKS loaded");
                    self.metrics.reload(WHAT, "changed");
                    self.current.store(Some(Arc::new(keys)));
                }
                true
            }
            Err(problem) => {
                let kept = self.current.load().is_some();
                tracing::error!(what = WHAT, problem, kept, "JWKS fetch failed");
                self.metrics.reload(WHAT, "refused");
                false
            }
        }
    }

    /// Fetches the JWKS again and again, forever.
    pub async fn keep_fresh(&self) {
        let mut is_valid = self.current.load().is_some();
        loop {
            let last = Instant::now();
            tokio::select! {
                () = sleep(if is_valid { REFRESH } else { GAP }) => {}
                () = self.refresh_requested.notified() => sleep_until(last + GAP).await,
            }
            is_valid = self.refresh().await;
        }
    }
}

impl fmt::Debug for FetchedKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FetchedKeys")
    }
}

#[cfg(test)]
mod tests;
