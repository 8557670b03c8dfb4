//! No wall clock opens or freezes a limiter, however it jumps.
//!
//! A test cannot set the machine's clock, but it can part the two: on the paused clock the gateway's minutes pass while
//! the wall clock stands still, as if that had been set back by as much; and real time passes while the gateway's clock
//! stands still, as if the wall clock had been set forward. That no code asks another clock is clippy's matter
//! (`disallowed-methods`) and `tests/it/tidy`'s.

use super::*;

/// Two requests a minute, both used, and a third that waits.
async fn waiting(stage: &Stage, round: u32) -> (JoinHandle<Result<Response, Error>>, Instant) {
    let start = Instant::now();
    for number in 0..2 {
        stage.run(request(&[format!("uses {round} {number}")])).await.unwrap();
    }
    (stage.start(request(&[format!("waits {round}")])).await, start)
}

fn stage() -> Stage {
    let settings = Settings { limits: limits(2, 100_000), ..Settings::default() };
    Stage::new(Fake::after(Duration::ZERO), &settings)
}

#[tokio::test(start_paused = true)]
async fn a_wall_clock_that_jumps_back_by_an_hour_neither_opens_nor_freezes_the_limiters() {
    let stage = stage();
    for round in 0..3 {
        let (waits, start) = waiting(&stage, round).await;
        tokio::time::advance(secs(59)).await;
        settled().await;
        assert!(!waits.is_finished(), "opened in round {round}");
        waits.await.unwrap().unwrap();
        let waited = start.elapsed();
        assert!((MINUTE..=MINUTE + millis(2)).contains(&waited), "{waited:?} in round {round}");
        // The wall clock is an hour further behind.
        tokio::time::advance(HOUR).await;
    }
}

#[tokio::test(start_paused = true)]
#[expect(clippy::disallowed_methods, reason = "real time is to pass, and the gateway's is not")]
async fn a_wall_clock_that_jumps_forward_opens_no_limiter() {
    let stage = stage();
    let (waits, start) = waiting(&stage, 0).await;
    let refused = || stage.run(within(&["hasty"], secs(5)));
    let Err(Error::QueueTimeout { retry_after: before }) = refused().await else {
        panic!("there is no budget");
    };
    let at = Instant::now();
    std::thread::sleep(millis(100));
    // The reported wait is not shorter by the jump of the wall clock.
    let Err(Error::QueueTimeout { retry_after: after }) = refused().await else {
        panic!("there is no budget");
    };
    assert_eq!(after + at.elapsed(), before);
    assert!(!waits.is_finished());
    waits.await.unwrap().unwrap();
    assert!(start.elapsed() >= MINUTE);
}
