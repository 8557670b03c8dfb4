//! The wall clock: a token says itself until when it is good, in seconds since 1970.

use std::{
    fmt,
    sync::Arc,
    time::{Duration, UNIX_EPOCH},
};

/// Tells the time since 1970.
#[derive(Clone)]
pub(super) struct Clock(Arc<dyn Fn() -> Duration + Send + Sync>);

impl Clock {
    /// The machine's own.
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

/// Returns the time since 1970 by the machine's own clock.
#[expect(
    clippy::disallowed_methods,
    reason = "the one place: a token's own times are on this clock and no other"
)]
pub fn system() -> Duration {
    // A clock that stands before 1970 is wrong: no token is good by it.
    std::time::SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::MAX)
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Clock")
    }
}
