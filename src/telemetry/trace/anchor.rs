//! When things were on the wall's clock, told from tokio's.

use std::time::SystemTime;

use tokio::time::Instant;

/// One moment on both clocks. A tree of spans has one: their order and lengths are those of tokio's clock, whatever is
/// done to the wall's meanwhile.
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

    /// Returns the wall's time at `at`, which may lie on either side.
    pub(super) fn wall(&self, at: Instant) -> SystemTime {
        let wall = match at.checked_duration_since(self.at) {
            Some(after) => self.wall.checked_add(after),
            None => self.wall.checked_sub(self.at.duration_since(at)),
        };
        wall.unwrap_or(self.wall)
    }
}
