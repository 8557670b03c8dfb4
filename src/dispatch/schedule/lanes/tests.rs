//! The index agrees with the lanes after any changes, and a visit is bounded.

use proptest::prelude::*;
use tokio::time::Instant;

use super::*;
use crate::{
    caller::{Caller, Priority},
    dispatch::{
        Bill, Config, Demand, FlightOwner, SendInfo,
        pending::{Item, Queued},
        pending_limit::PendingLimit,
        schedule::queue::FairClock,
    },
    error::Error,
    item::{Answer, EndpointParameters, Input, Query, RerankParameters, Size},
    tokens::Measure,
};

#[derive(Debug)]
struct Nobody;

impl FlightOwner for Nobody {
    fn demand(&self) -> Option<Demand> {
        None
    }
    fn send(&self, _: &Arc<SendInfo>) -> bool {
        false
    }
    fn requeue(&self) {}
    fn reject_late(&self, _: Instant, _: &Error) {}
    fn cancel(self: Box<Self>, _: u64) {}
    fn complete(self: Box<Self>, _: Result<Answer, Error>, _: Bill) {}
}

fn queued(id: u64, priority: Priority, tokens: u64) -> Queued {
    let limit = Arc::new(PendingLimit::new(&Config::default()));
    Queued {
        item: Item {
            id,
            request: id,
            input: Input::Candidate("a document".into()),
            measure: None,
            priority,
            caller: Caller::unruled(&format!("caller {}", id % 3)),
            owner: Box::new(Nobody),
        },
        measure: Measure::default(),
        size: Size { inputs: 1, chunks: 1, tokens, bytes: 10 },
        expected: tokens,
        at: Instant::now(),
        wasted: 0,
        _permit: limit.enter(1).expect("an empty limit"),
    }
}

fn parameters(number: u64) -> Arc<Parameters> {
    let query = Query::new(format!("query {number}"));
    let model = if number.is_multiple_of(2) { "rerank-3" } else { "rerank-2.5" };
    let of = EndpointParameters::Pairs(RerankParameters { query, truncation: true });
    Arc::new(Parameters::new(model, of))
}

/// A change of one lane, or of all.
#[derive(Clone, Debug)]
enum Change {
    Push { lane: u64, is_batch: bool, tokens: u64 },
    Take(u64),
    Lift(u64),
    Start(u64),
    End(u64),
    Block(u64),
    Unblock,
    Sweep,
}

fn change() -> impl Strategy<Value = Change> {
    let lane = 0..6_u64;
    prop_oneof![
        4 => (lane.clone(), any::<bool>(), 1..9_u64)
            .prop_map(|(lane, is_batch, tokens)| Change::Push { lane, is_batch, tokens }),
        1 => lane.clone().prop_map(Change::Take),
        1 => (0..40_u64).prop_map(Change::Lift),
        1 => lane.clone().prop_map(Change::Start),
        1 => lane.clone().prop_map(Change::End),
        1 => lane.prop_map(Change::Block),
        1 => Just(Change::Unblock),
        1 => Just(Change::Sweep),
    ]
}

fn apply(lanes: &mut Lanes, clock: &mut FairClock, id: u64, change: &Change) {
    match *change {
        Change::Push { lane, is_batch, tokens } => {
            let priority = if is_batch { Priority::Batch } else { Priority::Interactive };
            lanes.open(&parameters(lane), |lane| lane.push(queued(id, priority, tokens), clock));
        }
        Change::Take(lane) => {
            let take = |lane: &mut Lane| lane.queue.take_while(Priority::Interactive, |_| true);
            drop(lanes.change(&parameters(lane), take));
        }
        Change::Lift(id) => {
            for number in 0..6 {
                lanes.change(&parameters(number), |lane| lane.queue.lift(id, clock));
            }
        }
        Change::Start(lane) => lanes.open(&parameters(lane), |lane| lane.in_flight += 1),
        Change::End(lane) => {
            let end = |lane: &mut Lane| lane.in_flight = lane.in_flight.saturating_sub(1);
            lanes.change(&parameters(lane), end);
        }
        Change::Block(lane) => {
            let now = Instant::now();
            lanes.change(&parameters(lane), |lane| lane.blocked(now, now));
        }
        Change::Unblock => lanes.unblock(),
        Change::Sweep => lanes.change_all(|lane| drop(lane.queue.retain(|_| false))),
    }
    lanes.remove_idle();
}

/// The order as it is by the lanes themselves.
fn order(lanes: &Lanes, model: &str, position: fn(&Lane) -> Option<Position>) -> Vec<Position> {
    let of_model = lanes.values().filter(|lane| **lane.parameters.model == *model);
    let mut positions: Vec<_> = of_model.filter_map(position).collect();
    positions.sort_unstable();
    positions
}

proptest! {
    #[test]
    fn the_index_agrees_with_the_lanes(changes in proptest::collection::vec(change(), 0..60)) {
        let (mut lanes, mut clock) = (Lanes::default(), FairClock::default());
        for (id, change) in (0..).zip(&changes) {
            apply(&mut lanes, &mut clock, id, change);
            let items: usize = lanes.values().map(|lane| lane.queue.len()).sum();
            prop_assert_eq!(lanes.items(), items);
            let is_idle = |lane: &Lane| lane.in_flight == 0 && lane.queue.len() == 0;
            prop_assert!(!lanes.values().any(is_idle));
            for model in ["rerank-3", "rerank-2.5"] {
                let kept = lanes.index.orders.get(model);
                let kept = |of: fn(&Order) -> &BTreeMap<Position, Arc<Parameters>>| -> Vec<_> {
                    kept.into_iter().flat_map(|order| of(order).keys().copied()).collect()
                };
                prop_assert_eq!(kept(|order| &order.heads), order(&lanes, model, |lane| lane.queue.head()));
                let batch = |lane: &Lane| lane.queue.first(Priority::Batch).map(|(at, _)| at);
                prop_assert_eq!(kept(|order| &order.batches), order(&lanes, model, batch));
            }
            let blocked = lanes.values().filter(|lane| lane.blocked_until.is_some()).count();
            let listed = lanes.values().filter(|lane| lane.is_listed).count();
            prop_assert!(blocked <= listed && listed <= lanes.index.blocked.len());
        }
        lanes.unblock();
        prop_assert!(lanes.values().all(|lane| lane.blocked_until.is_none() && !lane.is_listed));
    }
}

#[test]
fn a_visit_is_bounded_and_begins_with_the_first() {
    let (mut lanes, mut clock) = (Lanes::default(), FairClock::default());
    for id in 0..1_000 {
        // Lanes of one model.
        let priority = if id < 900 { Priority::Interactive } else { Priority::Batch };
        lanes.open(&parameters(2 * id), |lane| lane.push(queued(id, priority, 5), &mut clock));
    }
    let expected = order(&lanes, "rerank-3", |lane| lane.queue.head());
    let mut visited = Vec::new();
    lanes.visit(8, |lane| visited.extend(lane.queue.head()));
    let most = TRIED + 8;
    assert_eq!(visited[..most], expected[..most]);
    // Batch lanes behind them are visited too, since they may be owed a turn.
    assert_eq!(visited.len(), 2 * most);
    assert!(visited[most..].iter().all(|position| position.priority == Priority::Batch));
}
