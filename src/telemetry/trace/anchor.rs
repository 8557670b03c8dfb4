//! Wall-clock times of tokio's instants.

use std::time::SystemTime;

use tokio::time::Instant;

/// One moment on both clocks. The spans of a trace share one, so that changes of the wall clock affect neither their order
/// nor their lengths.
#[derive(Clone, Copy, Debug)]
pub(super) struct Anchor {
    wall: SystemTime,
    at: Instant,
}

impl Anchor {
    #[expect(
        clippy::disallowed_methods,
        reason = "exported spans carry the wall's time; it is read here only, once a recorded tree of spans"
    )]
    pub(super) fn now() -> Self {
        Self { wall: SystemTime::now(), at: Instant::now() }
    }

    /// Returns the wall-clock time of `at`, which may be earlier or later than the anchor.
    pub(super) fn wall(&self, at: Instant) -> SystemTime {
        let wall = match at.checked_duration_since(self.at) {
            Some(after) => self.wall.checked_add(after),
            None => self.wall.checked_sub(self.at.duration_since(at)),
        };
        wall.unwrap_or(self.wall)
    }
}
