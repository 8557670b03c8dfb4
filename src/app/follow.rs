//! What changes while the gateway runs: files, and keys that are fetched.

use std::{fmt, sync::Arc, time::Duration};

use tokio::sync::Notify;

use crate::{
    grpc::auth::FetchedKeys,
    reload::{self, Reload},
};

/// What is looked at again and again.
pub(super) struct Followed {
    /// Files, …
    pub(super) files: Vec<Arc<dyn Reload>>,
    /// … every so often.
    interval: Duration,
    /// Keys of callers' tokens, at their own pace.
    keys: Option<Arc<FetchedKeys>>,
    /// Somebody wants the files looked at now.
    asked: Arc<Notify>,
}

/// Has everything that is followed looked at now rather than soon; cheap to clone.
#[derive(Clone, Debug)]
pub struct ReloadHandle {
    asked: Arc<Notify>,
    keys: Option<Arc<FetchedKeys>>,
}

impl ReloadHandle {
    /// Asks for it and does not wait. Keys that are fetched keep their least time between two fetches.
    pub fn ask(&self) {
        self.asked.notify_one();
        if let Some(keys) = &self.keys {
            keys.request_refresh();
        }
    }
}

impl Followed {
    pub(super) fn new(
        files: Vec<Arc<dyn Reload>>,
        interval: Duration,
        keys: Option<Arc<FetchedKeys>>,
    ) -> Self {
        Self { files, interval, keys, asked: Arc::default() }
    }

    /// Returns what asks for a look at once.
    pub(super) fn reload_handle(&self) -> ReloadHandle {
        ReloadHandle { asked: Arc::clone(&self.asked), keys: self.keys.clone() }
    }

    /// Looks at all of it, for ever.
    pub(super) async fn follow(self) {
        let Self { files, interval, keys, asked } = self;
        let fetching = async {
            if let Some(keys) = keys {
                keys.keep_fresh().await;
            }
        };
        tokio::join!(reload::poll(files, interval, asked), fetching);
    }
}

impl fmt::Debug for Followed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Followed").field("files", &self.files).finish_non_exhaustive()
    }
}
