use proptest::prelude::*;

use super::*;

const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn breaker() -> Arc<Breaker> {
    Breaker::new(&Config::default())
}

fn end(breaker: &Arc<Breaker>, failed: bool, now: Instant) {
    let permit = breaker.admit(now).unwrap();
    if failed { permit.failed(now) } else { permit.succeeded(now) }
}

/// Ends so many attempts, the failures last.
fn attempts(breaker: &Arc<Breaker>, successes: u32, failures: u32, now: Instant) {
    (0..successes).for_each(|_| end(breaker, false, now));
    (0..failures).for_each(|_| end(breaker, true, now));
}

fn refused_for(breaker: &Arc<Breaker>, now: Instant) -> Option<Duration> {
    let checked = breaker.check(now);
    let admitted = breaker.admit(now).map(drop);
    assert_eq!(checked, admitted);
    admitted.err().map(|error| match error {
        Error::CircuitOpen { retry_after } => retry_after,
        other => panic!("{other}"),
    })
}

#[test]
fn opens_when_half_of_twenty_fail() {
    let now = Instant::now();
    for (successes, failures, opens) in [
        (0, 19, false),
        (0, 20, true),
        (10, 10, true),
        (11, 10, false),
        (100, 99, false),
        (100, 100, true),
    ] {
        let breaker = breaker();
        attempts(&breaker, successes, failures, now);
        assert_eq!(refused_for(&breaker, now), opens.then_some(secs(5)), "{successes} {failures}");
    }
}

#[test]
fn only_the_last_ten_seconds_count() {
    let (breaker, start) = (breaker(), Instant::now());
    attempts(&breaker, 0, 19, start);
    attempts(&breaker, 0, 19, start + secs(10));
    assert_eq!(refused_for(&breaker, start + secs(10)), None);
    end(&breaker, true, start + secs(15));
    assert_eq!(refused_for(&breaker, start + secs(15)), Some(secs(5)));
}

#[test]
fn the_tally_is_bounded() {
    let (mut tally, start) = (Tally::default(), Instant::now());
    for n in 0..100_000_u32 {
        tally.count(false, secs(10), start + Duration::from_millis(1) * n);
    }
    assert!(tally.intervals() <= 21, "{}", tally.intervals());
}

#[test]
fn the_configuration_decides() {
    let config = Config { failure_percent: 100, min_calls: 2, ..Config::default() };
    let (breaker, now) = (Breaker::new(&config), Instant::now());
    attempts(&breaker, 1, 50, now);
    assert_eq!(refused_for(&breaker, now), None);
    attempts(&breaker, 0, 2, now + secs(10));
    assert_eq!(refused_for(&breaker, now + secs(10)), Some(secs(5)));
}

#[test]
fn one_probe_decides_and_its_failure_doubles_the_wait_up_to_a_minute() {
    let (breaker, mut now) = (breaker(), Instant::now());
    attempts(&breaker, 0, 20, now);
    for wait in [5, 10, 20, 40, 60, 60] {
        assert_eq!(refused_for(&breaker, now), Some(secs(wait)));
        assert_eq!(
            refused_for(&breaker, now + secs(wait) - Duration::from_millis(1)),
            Some(Duration::from_millis(1))
        );
        now += secs(wait);
        let probe = breaker.admit(now).unwrap();
        assert_eq!(refused_for(&breaker, now + secs(100)), Some(PROBE_WAIT));
        now += secs(100);
        probe.failed(now);
    }
    now += secs(60);
    end(&breaker, false, now);
    // Closed, with a clean slate and the first wait.
    attempts(&breaker, 0, 19, now);
    assert_eq!(refused_for(&breaker, now), None);
    end(&breaker, true, now);
    assert_eq!(refused_for(&breaker, now), Some(secs(5)));
}

#[tokio::test(start_paused = true)]
async fn a_cancelled_attempt_says_nothing_and_a_cancelled_probe_makes_way() {
    let (breaker, now) = (breaker(), Instant::now());
    (0..100).for_each(|_| drop(breaker.admit(now).unwrap()));
    attempts(&breaker, 0, 20, now);
    tokio::time::advance(secs(5)).await;
    let now = Instant::now();
    drop(breaker.admit(now).unwrap());
    let probe = breaker.admit(now).unwrap();
    assert!(breaker.admit(now).is_err());
    // The wait still doubles from where it was.
    probe.failed(now);
    assert_eq!(refused_for(&breaker, now), Some(secs(10)));
}

#[test]
fn attempts_from_before_the_opening_are_old_news() {
    let (breaker, now) = (breaker(), Instant::now());
    let mut old: Vec<BreakerPermit> = (0..60).map(|_| breaker.admit(now).unwrap()).collect();
    attempts(&breaker, 0, 20, now);
    // While it is open.
    old.drain(..20).for_each(|permit| permit.succeeded(now));
    assert_eq!(refused_for(&breaker, now), Some(secs(5)));
    // While the probe is out.
    let later = now + secs(5);
    let probe = breaker.admit(later).unwrap();
    old.drain(..20).for_each(|permit| permit.succeeded(later));
    assert!(breaker.admit(later).is_err());
    // When it is closed again.
    probe.succeeded(later);
    old.drain(..).for_each(|permit| permit.failed(later));
    assert_eq!(refused_for(&breaker, later), None);
}

/// Something that happens to the breaker.
#[derive(Clone, Debug)]
enum Step {
    Admit,
    /// Ends the n-th attempt that is out; `None`: cancelled.
    End {
        which: prop::sample::Index,
        failed: Option<bool>,
    },
    Advance {
        millis: u64,
    },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let failed = prop_oneof![3 => Just(Some(true)), 1 => Just(Some(false)), 1 => Just(None)];
    let step = prop_oneof![
        3 => Just(Step::Admit),
        3 => (any::<prop::sample::Index>(), failed).prop_map(|(which, failed)| Step::End { which, failed }),
        1 => (0..4_000_u64).prop_map(|millis| Step::Advance { millis }),
    ];
    prop::collection::vec(step, 1..300)
}

proptest! {
    /// Every step takes the lock once, so concurrent tasks result in one of these sequences.
    #[test]
    fn at_most_one_probe_is_out_and_none_is_lost(steps in steps()) {
        let config = Config { min_calls: 2, ..Config::default() };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
        runtime.unwrap().block_on(async {
            let breaker = Breaker::new(&config);
            let mut out: Vec<(bool, BreakerPermit)> = Vec::new();
            for step in steps {
                let now = Instant::now();
                match step {
                    Step::Admit => {
                        let was_closed = matches!(breaker.term.lock().circuit, Circuit::Closed(_));
                        if let Ok(permit) = breaker.admit(now) {
                            out.push((!was_closed, permit));
                        }
                    }
                    Step::End { which, failed } if !out.is_empty() => {
                        let (_, permit) = out.swap_remove(which.index(out.len()));
                        match failed {
                            Some(true) => permit.failed(now),
                            Some(false) => permit.succeeded(now),
                            None => drop(permit),
                        }
                    }
                    Step::End { .. } => {}
                    Step::Advance { millis } => tokio::time::advance(Duration::from_millis(millis)).await,
                }
                let probes = out.iter().filter(|(probe, _)| *probe).count();
                let half_open = matches!(breaker.term.lock().circuit, Circuit::HalfOpen { .. });
                assert_eq!(probes, usize::from(half_open));
            }
            // When all attempts have ended, one is permitted a minute later.
            out.clear();
            tokio::time::advance(secs(60)).await;
            assert!(breaker.admit(Instant::now()).is_ok());
        });
    }
}
