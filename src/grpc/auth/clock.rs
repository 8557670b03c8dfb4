//! The wall clock, for the times in tokens.

use std::{
    fmt,
    sync::Arc,
    time::{Duration, UNIX_EPOCH},
};

/// Returns the time since 1970.
#[derive(Clone)]
pub(super) struct Clock(Arc<dyn Fn() -> Duration + Send + Sync>);

impl Clock {
    /// The system's clock.
    pub(super) fn system() -> Self {
        Self::new(system)
    }

    pub(super) fn new(now: impl Fn() -> Duration + Send + Sync + 'static) -> Self {
        Self(Arc::new(now))
    }

    pub(super) fn now(&self) -> Duration {
        (self.0)()
    }
}

/// Returns the time since 1970 by the system's clock.
#[expect(
    clippy::disallowed_methods,
    reason = "the only place: the times in tokens are on this clock"
)]
pub fn system() -> Duration {
    // Before 1970 the clock is wrong: every token is expired.
    std::time::SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::MAX)
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Clock")
    }
}
