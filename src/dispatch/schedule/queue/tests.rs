//! The clock remembers a bounded number of callers, and what it remembers is fair.

use super::*;

fn stranger(number: u32) -> Caller {
    Caller::unruled(&format!("stranger {number}"))
}

#[test]
fn callers_who_come_once_are_not_remembered_for_ever() {
    let mut clock = FairClock::default();
    for number in 0..1_000_000 {
        // Each of them starts at the clock and is served at once: that never moves it on.
        let tag = clock.tag(Priority::Interactive, &stranger(number), 10);
        clock.serve(Priority::Interactive, tag);
        assert!(clock.ends.len() <= MOST_KEPT_CALLERS);
    }
    assert!(clock.ends.capacity() <= 4 * MOST_KEPT_CALLERS);
}

#[test]
fn a_sweep_forgets_nobody_who_is_ahead_of_the_clock() {
    let mut clock = FairClock::default();
    let busy = Caller::unruled("busy");
    clock.tag(Priority::Batch, &busy, 1_000);
    for number in 0..10_000 {
        clock.tag(Priority::Interactive, &stranger(number), 10);
    }
    assert_eq!(clock.tag(Priority::Batch, &busy, 1), 1_000 * SCALE);
    // Those whom the clock has passed are forgotten.
    clock.serve(Priority::Interactive, 11 * SCALE);
    clock.sweep();
    assert_eq!(clock.ends.len(), 1);
}
