//! Keys that come from a URL: fetched at the start, every so often, and when a token names one that is not there.

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

/// How long keys are taken to be the issuer's.
const REFRESH: Duration = Duration::from_mins(5);

/// The least time between two fetches, whatever tokens ask for and however they fail.
const GAP: Duration = Duration::from_secs(10);

/// The setting, for the log and the metric.
const WHAT: &str = "auth.jwt.jwks_url";

/// Gets the content of the URL, or says why not, without a secret.
pub type Fetch = Box<dyn Fn() -> BoxFuture<'static, Result<Vec<u8>, String>> + Send + Sync>;

/// The keys of a URL, in the last version that made sense; none before the first.
pub struct FetchedKeys {
    fetch: Fetch,
    current: ArcSwapOption<KeySet>,
    /// A fingerprint of the content in force: the same again must not forget what was verified.
    digest: Mutex<Option<[u8; 32]>>,
    /// Somebody misses a key.
    asked: Notify,
    metrics: Metrics,
}

impl FetchedKeys {
    /// Has no keys yet.
    pub fn new(fetch: Fetch, metrics: Metrics) -> Arc<Self> {
        Arc::new(Self {
            fetch,
            current: ArcSwapOption::empty(),
            digest: Mutex::new(None),
            asked: Notify::new(),
            metrics,
        })
    }

    pub(super) fn get(&self) -> Option<Arc<KeySet>> {
        self.current.load_full()
    }

    /// Has the keys fetched soon.
    pub fn ask(&self) {
        self.asked.notify_one();
    }

    /// Fetches the keys, once. Returns whether they came; what was in force stays if not.
    pub async fn look(&self) -> bool {
        let keys = (self.fetch)().await.and_then(|content| {
            let digest = Sha256::digest(&content).into();
            KeySet::parse(&content).map(|keys| (digest, keys))
        });
        match keys {
            Ok((digest, keys)) => {
                let mut known = self.digest.lock();
                if known.replace(digest) != Some(digest) {
                    tracing::info!(what = WHAT, ?keys, "took over fetched keys");
                    self.metrics.reload(WHAT, "changed");
                    self.current.store(Some(Arc::new(keys)));
                }
                true
            }
            Err(problem) => {
                let kept = self.current.load().is_some();
                tracing::error!(
                    what = WHAT,
                    problem,
                    kept,
                    "the keys of callers' tokens cannot be fetched"
                );
                self.metrics.reload(WHAT, "refused");
                false
            }
        }
    }

    /// Fetches the keys again and again, for ever.
    pub async fn keep_fresh(&self) {
        let mut came = self.current.load().is_some();
        loop {
            let looked = Instant::now();
            tokio::select! {
                () = sleep(if came { REFRESH } else { GAP }) => {}
                () = self.asked.notified() => sleep_until(looked + GAP).await,
            }
            came = self.look().await;
        }
    }
}

/// Says nothing of the keys.
impl fmt::Debug for FetchedKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FetchedKeys")
    }
}

#[cfg(test)]
mod tests;
