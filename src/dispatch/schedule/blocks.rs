//! Reservations that failed in this round, so that lanes which need as much are not tried.
//!
//! Every query of a reranking is a lane of its own. Without this, each of thousands of lanes would try to reserve the
//! same missing budget after every event.

use std::{collections::HashMap, sync::Arc};

use tokio::time::Instant;

use super::{lane::Lane, queue::Position};
use crate::{
    caller::Priority,
    dispatch::limit::{Blocked, Cause},
};

/// The failed reservations of a round, by model and class. Within a round, budget is only used.
#[derive(Debug, Default)]
pub(super) struct Blocks(HashMap<Arc<str>, [Option<Block>; 2]>);

#[derive(Clone, Copy, Debug)]
struct Block {
    need: Need,
    until: Instant,
}

/// The tokens that a lane needs at least: those of its next item, and of all items, which a batch call may wait for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Need {
    head: u64,
    all: u64,
}

impl Need {
    /// Returns the need of a lane whose next item is at `head`.
    pub(super) fn of(lane: &Lane, head: Position) -> Option<Self> {
        let head = lane.queue.get(head)?.size.tokens;
        Some(Self { head, all: lane.queue.size().tokens })
    }
}

impl Blocks {
    /// Begins a new round.
    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    /// Notes that a reservation failed. Any call is blocked unless tokens are the cause.
    pub(super) fn note(
        &mut self,
        model: &Arc<str>,
        priority: Priority,
        need: Need,
        blocked: &Blocked,
    ) {
        let need = if blocked.cause == Cause::Tokens { need } else { Need { head: 0, all: 0 } };
        let known = &mut self.0.entry(Arc::clone(model)).or_default()[priority as usize];
        if known.is_none_or(|known| need.head <= known.need.head && need.all <= known.need.all) {
            *known = Some(Block { need, until: blocked.until });
        }
    }

    /// Returns until when a lane of this need is known to be blocked.
    pub(super) fn until(
        &self,
        model: &Arc<str>,
        priority: Priority,
        need: Need,
    ) -> Option<Instant> {
        let known = self.0.get(model)?[priority as usize]?;
        let needs_as_much = need.head >= known.need.head && need.all >= known.need.all;
        needs_as_much.then_some(known.until)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn need() -> impl Strategy<Value = Need> {
        (0..4_u64, 0..4_u64).prop_map(|(head, more)| Need { head, all: head + more })
    }

    proptest! {
        /// A lane is blocked without a try only if a lane that needs no more than it was blocked.
        #[test]
        fn only_lanes_that_need_as_much_are_blocked(
            noted in proptest::collection::vec((need(), any::<bool>()), 0..5),
            asked in need(),
        ) {
            let (model, until) = (Arc::from("voyage-4"), Instant::now());
            let mut blocks = Blocks::default();
            for (need, by_tokens) in &noted {
                let cause = if *by_tokens { Cause::Tokens } else { Cause::Requests };
                blocks.note(&model, Priority::Interactive, *need, &Blocked { until, cause });
            }
            let must = |(need, by_tokens): &(Need, bool)| {
                !by_tokens || (asked.head >= need.head && asked.all >= need.all)
            };
            let blocked = blocks.until(&model, Priority::Interactive, asked).is_some();
            prop_assert!(!blocked || noted.iter().any(must));
            prop_assert!(blocked || noted.iter().all(|(_, by_tokens)| *by_tokens));
            prop_assert_eq!(blocks.until(&model, Priority::Batch, asked), None);
            prop_assert_eq!(blocks.until(&Arc::from("rerank-3"), Priority::Interactive, asked), None);
        }
    }
}
