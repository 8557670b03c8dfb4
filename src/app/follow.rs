//! What changes while the gateway runs: files, and keys that are fetched.

use std::{fmt, sync::Arc, time::Duration};

use crate::{
    grpc::auth::FetchedKeys,
    reload::{self, Reload},
};

/// What is looked at again and again.
pub(super) struct Followed {
    /// Files, …
    pub(super) files: Vec<Arc<dyn Reload>>,
    /// … every so often.
    pub(super) interval: Duration,
    /// Keys of callers' tokens, at their own pace.
    pub(super) keys: Option<Arc<FetchedKeys>>,
}

impl Followed {
    /// Looks at all of it, for ever.
    pub(super) async fn follow(self) {
        let Self { files, interval, keys } = self;
        let fetching = async {
            if let Some(keys) = keys {
                keys.keep_fresh().await;
            }
        };
        tokio::join!(reload::poll(files, interval), fetching);
    }
}

impl fmt::Debug for Followed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Followed").field("files", &self.files).finish_non_exhaustive()
    }
}
