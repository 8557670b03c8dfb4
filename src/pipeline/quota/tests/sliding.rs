//! Tokens of a window.

use super::*;
use crate::pipeline::quota::sliding::Sliding;

const WINDOW: Duration = Duration::from_mins(1);
const LIMIT: u64 = 1_000;

/// Something that happens to a window.
#[derive(Clone, Debug)]
enum Step {
    Use(u64),
    Wait(u64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        3 => (1..=LIMIT).prop_map(Step::Use),
        2 => (0..30_000_u64).prop_map(Step::Wait),
    ];
    prop::collection::vec(step, 1..200)
}

/// Uses tokens when they fit, and otherwise as soon as it is said that they do.
fn use_up(log: &mut Sliding, tokens: u64, now: &mut Instant) -> Result<(), TestCaseError> {
    log.advance(*now);
    let at = log.free_at(tokens, LIMIT, *now).unwrap();
    prop_assert!(at >= *now);
    if at > *now {
        let before = at - Duration::from_nanos(1);
        log.advance(before);
        prop_assert!(log.free_at(tokens, LIMIT, before).unwrap() > before, "it was free earlier");
    }
    *now = at;
    log.advance(at);
    prop_assert_eq!(log.free_at(tokens, LIMIT, at), Some(at), "it was said to be free");
    log.add(tokens, at);
    Ok(())
}

proptest! {
    #[test]
    fn no_window_holds_more_than_the_limit(steps in steps()) {
        let mut now = Instant::now();
        let mut log = Sliding::new(WINDOW, now);
        let mut used: Vec<(Instant, u64)> = Vec::new();
        for step in steps {
            match step {
                Step::Wait(millis) => now += Duration::from_millis(millis),
                Step::Use(tokens) => {
                    use_up(&mut log, tokens, &mut now)?;
                    used.push((now, tokens));
                }
            }
        }
        for (first, (from, _)) in used.iter().enumerate() {
            let within = used[first..].iter().take_while(|(at, _)| *at < *from + WINDOW);
            let sum: u64 = within.map(|(_, tokens)| tokens).sum();
            prop_assert!(sum <= LIMIT, "{} tokens in a minute of {}", sum, LIMIT);
        }
    }

    #[test]
    fn what_is_taken_back_is_as_if_it_had_never_been(steps in steps()) {
        let mut now = Instant::now();
        let (mut log, mut other) = (Sliding::new(WINDOW, now), Sliding::new(WINDOW, now));
        for (nth, step) in steps.into_iter().enumerate() {
            match step {
                Step::Wait(millis) => now += Duration::from_millis(millis),
                Step::Use(tokens) => {
                    for log in [&mut log, &mut other] {
                        log.advance(now);
                        log.add(tokens, now);
                    }
                    if nth % 2 == 0 {
                        log.add(7, now);
                        log.take_back(7, now);
                    }
                }
            }
            log.advance(now);
            other.advance(now);
            prop_assert_eq!(log.used(), other.used());
            prop_assert_eq!(log.free_at(LIMIT, LIMIT, now), other.free_at(LIMIT, LIMIT, now));
        }
        now += 2 * WINDOW;
        log.advance(now);
        prop_assert_eq!(log.used(), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_always_retries_gets_at_least_95_percent() {
    for (size, window) in [(1, WINDOW), (37, WINDOW), (LIMIT, WINDOW), (9, 60 * 24 * WINDOW)] {
        let (mut now, start) = (Instant::now(), Instant::now());
        let (mut log, mut used) = (Sliding::new(window, now), 0_u64);
        while now < start + 10 * window {
            log.advance(now);
            now = log.free_at(size, LIMIT, now).unwrap();
            log.advance(now);
            log.add(size, now);
            used += size;
        }
        assert!((950 * 10..=1_000 * 11).contains(&used), "{used} of 10000, {size} at a time");
    }
}

#[tokio::test(start_paused = true)]
async fn a_need_beyond_the_limit_is_never_met() {
    let now = Instant::now();
    let log = Sliding::new(WINDOW, now);
    assert_eq!(log.free_at(LIMIT, LIMIT, now), Some(now));
    assert_eq!(log.free_at(LIMIT + 1, LIMIT, now), None);
}

#[tokio::test(start_paused = true)]
async fn a_debt_is_waited_for() {
    let now = Instant::now();
    let mut log = Sliding::new(WINDOW, now);
    log.add(2 * LIMIT, now);
    let free_at = log.free_at(1, LIMIT, now).unwrap();
    assert!(free_at > now + WINDOW, "{free_at:?}");
    log.advance(free_at);
    assert_eq!(log.used(), 0);
}

#[tokio::test(start_paused = true)]
async fn what_is_remembered_is_bounded() {
    let mut now = Instant::now();
    let mut log = Sliding::new(WINDOW, now);
    for _ in 0..1_000_000 {
        now += Duration::from_millis(1);
        log.advance(now);
        log.add(1, now);
    }
    let slots = format!("{log:?}").matches("number:").count();
    assert!(slots <= 102, "{slots} slots");
    assert!((60_000..=60_700).contains(&log.used()), "{}", log.used());
}
