//! The limit on pending items under shuttle, which chooses the next thread at each step of its atomics.
//!
//! `src/pipeline/tests/models.rs` has the reason for `#[path]`.

#[expect(clippy::duplicate_mod, reason = "the second time with shuttle's atomics")]
#[path = "../pending_limit.rs"]
mod pending_limit;

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use shuttle::{sync, thread};

use crate::{dispatch::Config, units::Size};
use pending_limit::PendingLimit;

/// Schedules tried.
const SCHEDULES: usize = 3_000;

fn model() {
    let bounds = Config {
        max_waiting_inputs: 2,
        max_waiting_bytes: Size::from_bytes(10),
        ..Config::default()
    };
    let limit = Arc::new(PendingLimit::new(&bounds));
    // std's, so that no other thread comes between a look and its count.
    let inside = Arc::new((AtomicUsize::new(0), AtomicUsize::new(0)));
    let items = [3, 3, 4, 20].map(|bytes| {
        let (limit, inside) = (Arc::clone(&limit), Arc::clone(&inside));
        thread::spawn(move || {
            let Some(permit) = limit.enter(bytes) else { return };
            let inputs = inside.0.fetch_add(1, Ordering::Relaxed) + 1;
            let together = inside.1.fetch_add(bytes, Ordering::Relaxed) + bytes;
            assert!(inputs <= 2, "{inputs} inputs of 2");
            assert!(inputs == 1 || together <= 10, "{together} bytes of 10");
            thread::yield_now();
            inside.0.fetch_sub(1, Ordering::Relaxed);
            inside.1.fetch_sub(bytes, Ordering::Relaxed);
            drop(permit);
        })
    });
    for item in items {
        item.join().unwrap();
    }
    assert_eq!(limit.inputs.load(sync::atomic::Ordering::Relaxed), 0);
    assert_eq!(limit.bytes.load(sync::atomic::Ordering::Relaxed), 0);
}

#[test]
fn the_pending_limit_holds_and_ends_empty_in_any_order_of_steps() {
    shuttle::check_random(model, SCHEDULES);
    shuttle::check_pct(model, SCHEDULES, 3);
}
