//! The clock keeps a bounded number of callers, and is fair to them.

use super::*;

fn stranger(number: u32) -> Caller {
    Caller::unruled(&format!("stranger {number}"))
}

#[test]
fn callers_with_one_item_are_removed() {
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
fn a_sweep_keeps_callers_ahead_of_the_clock() {
    let mut clock = FairClock::default();
    let busy = Caller::unruled("busy");
    clock.tag(Priority::Batch, &busy, 1_000);
    for number in 0..10_000 {
        clock.tag(Priority::Interactive, &stranger(number), 10);
    }
    assert_eq!(clock.tag(Priority::Batch, &busy, 1), 1_000 * SCALE);
    // Callers behind the clock are removed.
    clock.serve(Priority::Interactive, 11 * SCALE);
    clock.sweep();
    assert_eq!(clock.ends.len(), 1);
}
