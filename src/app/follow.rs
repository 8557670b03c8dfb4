//! Reloads of changed files, and fetches of keys.

use std::{sync::Arc, time::Duration};

use tokio::sync::Notify;

use crate::{
    grpc::auth::FetchedKeys,
    reload::{self, Reload},
};

/// Requests an immediate reload of all watched files and fetched keys; cheap to clone.
#[derive(Clone, Debug)]
pub struct ReloadHandle {
    requested: Arc<Notify>,
    keys: Option<Arc<FetchedKeys>>,
}

impl ReloadHandle {
    pub(super) fn new(keys: Option<Arc<FetchedKeys>>) -> Self {
        Self { requested: Arc::default(), keys }
    }

    /// Requests a reload without waiting for it. The minimum time between two fetches of keys still applies.
    pub fn request(&self) {
        self.requested.notify_one();
        if let Some(keys) = &self.keys {
            keys.request_refresh();
        }
    }

    /// Reloads the files at every interval and on request, and keeps the keys fresh. Never ends.
    pub(super) async fn follow(self, files: Vec<Arc<dyn Reload>>, interval: Duration) {
        let fetching = async {
            if let Some(keys) = &self.keys {
                keys.keep_fresh().await;
            }
        };
        tokio::join!(reload::poll(files, interval, self.requested), fetching);
    }
}
