//! Which lane is served next.

use super::queue::Position;
use crate::caller::Priority;

/// Interactive calls in a row before a batch item that is owed a turn gets one.
pub(super) const TURN: u32 = 4;

/// A lane that may send a call.
pub(super) struct Candidate<T> {
    pub(super) lane: T,
    /// Its next item.
    pub(super) head: Position,
    /// Its next batch item, if that is owed a turn.
    pub(super) owed: Option<Position>,
}

/// Chooses the lane to be served, and the class its call is filled from: the first in the order of service, or after
/// [`TURN`] interactive calls the first that is owed a turn.
pub(super) fn choose<T: Copy>(
    candidates: impl Iterator<Item = Candidate<T>>,
    interactive_run: u32,
) -> Option<(T, Priority)> {
    let (mut first, mut owed) = (None, None);
    let keep_first = |chosen: &mut Option<(Position, T)>, position: Position, lane: T| {
        if chosen.is_none_or(|(first, _)| position < first) {
            *chosen = Some((position, lane));
        }
    };
    for candidate in candidates {
        keep_first(&mut first, candidate.head, candidate.lane);
        if let Some(position) = candidate.owed {
            keep_first(&mut owed, position, candidate.lane);
        }
    }
    let turn = owed.filter(|_| interactive_run >= TURN);
    turn.or(first).map(|(position, lane)| (lane, position.priority))
}
