//! Which lane is served next.

use std::sync::Arc;

use super::queue::Position;
use crate::{caller::Priority, item::Parameters};

/// Interactive calls in a row before a batch item that is owed a turn gets one.
pub(super) const TURN: u32 = 4;

/// The first of the lanes that may send a call.
#[derive(Debug, Default)]
pub(super) struct Choice {
    first: Option<(Position, Arc<Parameters>)>,
    /// The first that is owed a turn.
    owed: Option<(Position, Arc<Parameters>)>,
}

impl Choice {
    /// Adds a lane with its next item, and its next batch item if that is owed a turn.
    pub(super) fn add(&mut self, lane: &Arc<Parameters>, head: Position, owed: Option<Position>) {
        keep_first(&mut self.first, head, lane);
        if let Some(position) = owed {
            keep_first(&mut self.owed, position, lane);
        }
    }

    /// Returns the lane to be served, and the class its call is filled from: the first in the order of service, or after
    /// [`TURN`] interactive calls the first that is owed a turn.
    pub(super) fn made(self, interactive_run: u32) -> Option<(Arc<Parameters>, Priority)> {
        let turn = self.owed.filter(|_| interactive_run >= TURN);
        turn.or(self.first).map(|(position, lane)| (lane, position.priority))
    }
}

fn keep_first(
    kept: &mut Option<(Position, Arc<Parameters>)>,
    position: Position,
    lane: &Arc<Parameters>,
) {
    if kept.as_ref().is_none_or(|(first, _)| position < *first) {
        *kept = Some((position, Arc::clone(lane)));
    }
}
