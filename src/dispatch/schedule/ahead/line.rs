//! A lane as it is looked at: what stands in it, and until when it must wait.

use std::collections::VecDeque;

use tokio::time::Instant;

use crate::{
    caller::Priority,
    dispatch::{
        Queued,
        lane::{Caps, Lane},
        queue::Position,
    },
};

/// What stands in a lane.
pub(super) struct Line<'a> {
    pub(super) urgent: VecDeque<Standing<'a>>,
    pub(super) batch: VecDeque<Standing<'a>>,
    pub(super) blocked_until: Instant,
    pub(super) no_turn_until: Instant,
    /// Who could not wait.
    pub(super) gone: Vec<u64>,
}

/// One item in it.
pub(super) struct Standing<'a> {
    pub(super) position: Position,
    pub(super) queued: &'a Queued,
    /// When it was last asked who can wait for it.
    pub(super) looked_at: Option<Instant>,
}

impl<'a> Line<'a> {
    pub(super) fn new(lane: &'a Lane, is_known: bool, now: Instant) -> Self {
        let stand = |(position, queued): (Position, &'a Queued)| Standing {
            position,
            queued,
            looked_at: None,
        };
        let (urgent, batch) = lane
            .queue
            .iter()
            .map(stand)
            .partition(|standing| standing.position.priority == Priority::Interactive);
        let until = |time: Option<Instant>| time.filter(|_| is_known).unwrap_or(now);
        let (blocked_until, no_turn_until) = (until(lane.blocked_until), until(lane.no_turn_until));
        Self { urgent, batch, blocked_until, no_turn_until, gone: Vec::new() }
    }

    pub(super) fn head(&self) -> Option<&Standing<'a>> {
        self.urgent.front().or_else(|| self.batch.front())
    }

    /// Returns the classes and tokens of the next call, filled from a class.
    pub(super) fn call(
        &self,
        from: Priority,
        caps: Caps,
    ) -> impl Iterator<Item = (Priority, u64)> + Clone {
        let urgent = if from == Priority::Interactive { self.urgent.len() } else { 0 };
        let mut fits = caps.filter();
        let items = self.urgent.iter().take(urgent).chain(&self.batch);
        items
            .take_while(move |standing| {
                fits(standing.queued.tokens, standing.queued.item.input.size())
            })
            .map(|standing| (standing.position.priority, standing.queued.tokens))
    }

    /// Takes so many items out that are served next, filled from a class.
    pub(super) fn take(&mut self, from: Priority, count: usize) -> Vec<Standing<'a>> {
        let urgent = if from == Priority::Interactive { self.urgent.len().min(count) } else { 0 };
        let batch = (count - urgent).min(self.batch.len());
        self.urgent.drain(..urgent).chain(self.batch.drain(..batch)).collect()
    }

    pub(super) fn put_back(&mut self, taken: Vec<Standing<'a>>) {
        for standing in taken.into_iter().rev() {
            match standing.position.priority {
                Priority::Interactive => self.urgent.push_front(standing),
                Priority::Batch => self.batch.push_front(standing),
            }
        }
    }
}
