//! Files that are reloaded when they change: certificates, keys, credentials, rules.
//!
//! They are polled, and their contents are compared: Kubernetes replaces a symlink above a mounted file, which a watch
//! of the file itself does not report. An unreadable or invalid file changes nothing, and is logged and counted.

mod config;

use std::{
    fmt,
    hash::{BuildHasher as _, RandomState},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use tokio::{
    sync::Notify,
    time::{MissedTickBehavior, interval},
};

pub use config::Config;

use crate::{file, telemetry::Metrics};

/// A value parsed from files: that of their last valid contents. Reading it does not block.
pub struct Live<T> {
    what: &'static str,
    paths: Vec<PathBuf>,
    parse: Parse<T>,
    current: ArcSwap<T>,
    /// A hash of the last contents, valid or not, so that no secret is kept twice. Locked during a reload.
    seen: Mutex<u64>,
    hasher: RandomState,
    metrics: Metrics,
}

/// Parses the files' contents, in the order of their paths. An error does not quote them.
type Parse<T> = Box<dyn Fn(&[Vec<u8>]) -> Result<T, String> + Send + Sync>;

/// The outcome of a reload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReloadOutcome {
    /// The contents have not changed.
    Unchanged,
    /// The new contents are in use.
    Changed,
    /// The new contents are invalid; the old value stays in use.
    Refused,
}

/// The first read of the files failed.
#[derive(Debug, thiserror::Error)]
#[error("{what}: {problem}")]
pub struct LoadError {
    /// The setting that names the files.
    what: &'static str,
    /// The file and its problem, without its content.
    problem: String,
}

impl<T> Live<T> {
    /// Reads files for the first time. `what` is the setting that names them.
    pub fn load(
        what: &'static str,
        paths: Vec<PathBuf>,
        metrics: Metrics,
        parse: impl Fn(&[Vec<u8>]) -> Result<T, String> + Send + Sync + 'static,
    ) -> Result<Arc<Self>, LoadError> {
        let names: Vec<_> = paths.iter().map(|path| path.display().to_string()).collect();
        let names = names.join(", ");
        let parse = move |contents: &[Vec<u8>]| {
            parse(contents).map_err(|problem| format!("{names}: {problem}"))
        };
        let contents = read_all(&paths);
        let hasher = RandomState::new();
        let seen = Mutex::new(hasher.hash_one(&contents));
        let current = contents.and_then(|contents| parse(&contents));
        let current =
            ArcSwap::from_pointee(current.map_err(|problem| LoadError { what, problem })?);
        metrics.expect_reloads(what);
        Ok(Arc::new(Self { what, paths, parse: Box::new(parse), current, seen, hasher, metrics }))
    }

    /// Returns a value without files, which never changes.
    pub fn fixed(what: &'static str, value: T, metrics: Metrics) -> Arc<Self> {
        Arc::new(Self {
            what,
            paths: Vec::new(),
            parse: Box::new(|_| Err("no file".to_owned())),
            current: ArcSwap::from_pointee(value),
            seen: Mutex::default(),
            hasher: RandomState::new(),
            metrics,
        })
    }

    /// Returns the value in use.
    pub fn get(&self) -> Arc<T> {
        self.current.load_full()
    }
}

/// Something that is reloaded when its files change.
pub trait Reload: Send + Sync + fmt::Debug {
    /// Reads the files, and uses their contents if they have changed and are valid. Blocks.
    fn reload(&self) -> ReloadOutcome;
}

impl<T: Send + Sync> Reload for Live<T> {
    fn reload(&self) -> ReloadOutcome {
        if self.paths.is_empty() {
            return ReloadOutcome::Unchanged;
        }
        let mut seen = self.seen.lock();
        let contents = read_all(&self.paths);
        // Of the error as well, so that it is logged once.
        let found = self.hasher.hash_one(&contents);
        if std::mem::replace(&mut *seen, found) == found {
            return ReloadOutcome::Unchanged;
        }
        let what = self.what;
        match contents.and_then(|contents| (self.parse)(&contents)) {
            Ok(value) => {
                self.current.store(Arc::new(value));
                tracing::info!(what, "changed file loaded");
                self.metrics.reload(what, "changed");
                ReloadOutcome::Changed
            }
            Err(problem) => {
                tracing::error!(
                    what,
                    problem,
                    "changed file is invalid; its old content stays in use"
                );
                self.metrics.reload(what, "refused");
                ReloadOutcome::Refused
            }
        }
    }
}

/// Reloads all files at every interval, and at once when `requested`. Never ends.
pub async fn poll(files: Vec<Arc<dyn Reload>>, every: Duration, requested: Arc<Notify>) {
    let mut ticks = interval(every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    // The first tick is immediate, and all files have just been read.
    ticks.tick().await;
    loop {
        let on_request = tokio::select! {
            _ = ticks.tick() => false,
            () = requested.notified() => true,
        };
        let (mut changed, mut refused) = (0, 0);
        for file in &files {
            let file = Arc::clone(file);
            // A file system may hang.
            match tokio::task::spawn_blocking(move || file.reload()).await {
                Ok(ReloadOutcome::Unchanged) => {}
                Ok(ReloadOutcome::Changed) => changed += 1,
                Ok(ReloadOutcome::Refused) => refused += 1,
                Err(_) => tracing::error!("reload panicked"),
            }
        }
        if on_request {
            tracing::info!(changed, refused, "all watched files reloaded");
        }
    }
}

/// Reads all files, or returns the first problem.
fn read_all(paths: &[PathBuf]) -> Result<Vec<Vec<u8>>, String> {
    let read = |path: &PathBuf| {
        file::read(path).map_err(|problem| format!("{}: {problem}", path.display()))
    };
    paths.iter().map(read).collect()
}

/// Shows the paths, not the contents.
impl<T> fmt::Debug for Live<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Live")
            .field("what", &self.what)
            .field("paths", &self.paths)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
