//! Files that change while the gateway runs: certificates, keys, credentials, rules.
//!
//! They are polled and their contents compared, because Kubernetes swaps a symlink above a mounted file, which no
//! watch of the file itself sees. What cannot be read or does not make sense (a half-written file, a key that does
//! not fit its certificate) changes nothing: the last good content stays in force, and the log and a metric say so.

mod config;

use std::{fmt, path::PathBuf, sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use sha2::{Digest as _, Sha256};
use tokio::{
    sync::Notify,
    time::{MissedTickBehavior, interval},
};

pub use config::Config;

use crate::{file, telemetry::Metrics};

/// What files say, in the last version of them that made sense. Reading it never waits.
pub struct Live<T> {
    what: &'static str,
    paths: Vec<PathBuf>,
    parse: Parse<T>,
    current: ArcSwap<T>,
    /// Of the contents looked at last, good or bad. Held while they are looked at: never across an await.
    seen: Mutex<Digest>,
    metrics: Metrics,
}

/// Makes sense of the files' contents, in the order of their paths; says what is wrong without quoting them.
type Parse<T> = Box<dyn Fn(&[Vec<u8>]) -> Result<T, String> + Send + Sync>;

/// A fingerprint of contents, so that no secret is kept twice.
type Digest = [u8; 32];

/// What a look at the files came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReloadOutcome {
    /// The files say what they said before, good or bad.
    Unchanged,
    /// They say something new, which is in force now.
    Changed,
    /// They say something new that makes no sense; what was in force stays.
    Refused,
}

/// Why files cannot be used at the start.
#[derive(Debug, thiserror::Error)]
#[error("{what}: {problem}")]
pub struct LoadError {
    /// The setting that names them.
    what: &'static str,
    /// Which file, and what is wrong with it; never its content.
    problem: String,
}

impl<T> Live<T> {
    /// Reads files for the first time; `what` is the setting that names them.
    pub fn load(
        what: &'static str,
        paths: Vec<PathBuf>,
        metrics: Metrics,
        parse: impl Fn(&[Vec<u8>]) -> Result<T, String> + Send + Sync + 'static,
    ) -> Result<Arc<Self>, LoadError> {
        let failed = |problem| LoadError { what, problem };
        let contents = read_all(&paths).map_err(failed)?;
        let current = parse(&contents).map_err(|problem| failed(named(&paths, &problem)))?;
        metrics.expect_reloads(what);
        Ok(Arc::new(Self {
            what,
            paths,
            parse: Box::new(parse),
            current: ArcSwap::from_pointee(current),
            seen: Mutex::new(digest(&contents)),
            metrics,
        }))
    }

    /// Holds what no file says: it never changes.
    pub fn fixed(what: &'static str, value: T, metrics: Metrics) -> Arc<Self> {
        Arc::new(Self {
            what,
            paths: Vec::new(),
            parse: Box::new(|_| Err("there is no file to read it from".to_owned())),
            current: ArcSwap::from_pointee(value),
            seen: Mutex::new(digest(&[])),
            metrics,
        })
    }

    /// Returns what is in force.
    pub fn get(&self) -> Arc<T> {
        self.current.load_full()
    }

    fn refused(&self, problem: &str) -> ReloadOutcome {
        tracing::error!(
            what = self.what,
            problem,
            "a changed file is not usable; the old one stays in force"
        );
        self.metrics.reload(self.what, "refused");
        ReloadOutcome::Refused
    }
}

/// Something that looks at its files again.
pub trait Reload: Send + Sync + fmt::Debug {
    /// Looks at the files and takes over what is new and makes sense. Blocks: it reads files.
    fn reload(&self) -> ReloadOutcome;
}

impl<T: Send + Sync> Reload for Live<T> {
    fn reload(&self) -> ReloadOutcome {
        if self.paths.is_empty() {
            return ReloadOutcome::Unchanged;
        }
        let mut seen = self.seen.lock();
        let contents = match read_all(&self.paths) {
            Ok(contents) => contents,
            Err(problem) => {
                // Said once: the next look finds the same.
                let unreadable = digest(&[problem.clone().into_bytes()]);
                let known = std::mem::replace(&mut *seen, unreadable) == unreadable;
                return if known { ReloadOutcome::Unchanged } else { self.refused(&problem) };
            }
        };
        let found = digest(&contents);
        if std::mem::replace(&mut *seen, found) == found {
            return ReloadOutcome::Unchanged;
        }
        match (self.parse)(&contents) {
            Ok(value) => {
                self.current.store(Arc::new(value));
                tracing::info!(what = self.what, "took over a changed file");
                self.metrics.reload(self.what, "changed");
                ReloadOutcome::Changed
            }
            Err(problem) => self.refused(&named(&self.paths, &problem)),
        }
    }
}

/// Looks at everything in turn, for ever: every so often, and at once when it is `asked`.
pub async fn poll(files: Vec<Arc<dyn Reload>>, every: Duration, asked: Arc<Notify>) {
    let mut ticks = interval(every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    // The first tick is at once, and everything has just been read.
    ticks.tick().await;
    loop {
        let asked = tokio::select! {
            _ = ticks.tick() => false,
            () = asked.notified() => true,
        };
        let (mut changed, mut refused) = (0, 0);
        for file in &files {
            let file = Arc::clone(file);
            // A file system that hangs must not stop a worker.
            match tokio::task::spawn_blocking(move || file.reload()).await {
                Ok(ReloadOutcome::Unchanged) => {}
                Ok(ReloadOutcome::Changed) => changed += 1,
                Ok(ReloadOutcome::Refused) => refused += 1,
                Err(_) => tracing::error!("looking at a changed file panicked"),
            }
        }
        if asked {
            tracing::info!(changed, refused, "looked at all files again");
        }
    }
}

/// Reads all files; fails with the first problem.
fn read_all(paths: &[PathBuf]) -> Result<Vec<Vec<u8>>, String> {
    let read = |path: &PathBuf| {
        file::read(path).map_err(|problem| format!("{}: {problem}", path.display()))
    };
    paths.iter().map(read).collect()
}

fn named(paths: &[PathBuf], problem: &str) -> String {
    let paths: Vec<_> = paths.iter().map(|path| path.display().to_string()).collect();
    format!("{}: {problem}", paths.join(", "))
}

fn digest(contents: &[Vec<u8>]) -> Digest {
    let mut hash = Sha256::new();
    for content in contents {
        hash.update((content.len() as u64).to_le_bytes());
        hash.update(content);
    }
    hash.finalize().into()
}

/// Says which files, never what is in them.
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
