//! Retries: their conditions, times and number.

use super::*;

const BUSY: Fault = Fault::Unavailable { retry_after: None };

fn limited(retry_after: Duration) -> Fault {
    Fault::RateLimited { retry_after: Some(retry_after), free_tier: false }
}

fn upstream_failure(result: Result<Response, Error>) -> (Fault, u32) {
    match result {
        Err(Error::Upstream(upstream)) => (upstream.fault.clone(), upstream.attempts),
        other => panic!("{other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn two_failures_and_a_success_are_a_success_of_three_attempts() {
    let stage = Stage::new(Fake::failing([Some(BUSY), Some(BUSY)]), &Settings::default());
    let start = Instant::now();
    let response = stage.run(request(&["text"])).await.unwrap();
    assert_eq!(response.upstream_requests(), 3);
    // Three calls of 100 ms, and waits of at most 100 and 200 ms.
    assert!((millis(300)..millis(610)).contains(&start.elapsed()), "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn the_last_attempts_failure_is_the_answer() {
    let script = [Some(BUSY), Some(BUSY), Some(Fault::ServerError { retry_after: None })];
    let stage = Stage::new(Fake::failing(script), &Settings::default());
    let failure = upstream_failure(stage.run(request(&["text"])).await);
    assert_eq!(failure, (Fault::ServerError { retry_after: None }, 3));
    assert_eq!(stage.fake.calls().len(), 3);
}

#[tokio::test(start_paused = true)]
async fn what_cannot_pass_is_not_repeated() {
    for fault in [Fault::Unauthenticated, Fault::Forbidden, Fault::ModelNotSupported] {
        let stage = Stage::new(Fake::failing([Some(fault.clone())]), &Settings::default());
        assert_eq!(upstream_failure(stage.run(request(&["text"])).await), (fault, 1));
        assert_eq!(stage.fake.calls().len(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn no_attempt_starts_when_the_last_waiters_time_is_up() {
    let patient = Fault::Unavailable { retry_after: Some(secs(10)) };
    let stage = Stage::new(Fake::failing([Some(patient.clone())]), &Settings::default());
    let start = Instant::now();
    let short = stage.start(within(&["text"], secs(2))).await;
    let long = stage.start(within(&["text"], secs(9))).await;
    // Neither can wait for ten seconds, so both fail at once.
    for task in [short, long] {
        assert_eq!(upstream_failure(task.await.unwrap()), (patient.clone(), 1));
    }
    assert!(start.elapsed() < millis(110));
    tokio::time::sleep(MINUTE).await;
    assert_eq!(stage.fake.calls().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_waiter_whose_time_passes_before_the_retry_leaves_and_the_other_is_served() {
    let patient = Fault::Unavailable { retry_after: Some(secs(10)) };
    let stage = Stage::new(Fake::failing([Some(patient)]), &Settings::default());
    let start = Instant::now();
    let short = stage.start(within(&["text"], secs(2))).await;
    let long = stage.start(within(&["text"], secs(30))).await;
    assert!(matches!(short.await.unwrap(), Err(Error::DeadlineExceeded { .. })));
    assert!(start.elapsed() < secs(2) + millis(5));
    long.await.unwrap().unwrap();
    assert!(start.elapsed() >= secs(10));
    assert_eq!(stage.fake.calls().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn nothing_is_repeated_for_callers_who_left() {
    let stage = Stage::new(Fake::failing([Some(BUSY)]), &Settings::default());
    let parameters = parameters();
    let lane = Request { parameters: Arc::clone(&parameters), ..request(&["text"]) };
    let task = stage.start(lane).await;
    task.abort();
    tokio::time::sleep(secs(5)).await;
    assert_eq!(stage.fake.calls().len(), 1);
    stage.assert_idle(&parameters).await;
}

#[tokio::test(start_paused = true)]
async fn a_stale_connection_is_resent_once_at_once_and_free() {
    // Without a single retry.
    let settings = Settings { retry: RetryConfig { max_attempts: 1 }, ..Settings::default() };
    let stage = Stage::new(Fake::failing([Some(Fault::ConnectionLost)]), &settings);
    let start = Instant::now();
    let response = stage.run(request(&["text"])).await.unwrap();
    assert!(start.elapsed() < millis(205), "{:?}", start.elapsed());
    assert_eq!(response.upstream_requests(), 2);

    *stage.fake.down.lock().unwrap() = Some(Fault::ConnectionLost);
    let failure = upstream_failure(stage.run(request(&["lost twice"])).await);
    assert_eq!(failure, (Fault::ConnectionLost, 1));
    assert_eq!(stage.fake.calls().len(), 4);
}

#[tokio::test(start_paused = true)]
async fn a_minute_of_failures_is_not_amplified() {
    // Thirty attempts a second would be possible: the calls do not share batches.
    let settings = Settings { batch: batches(1, 64), ..Settings::default() };
    let stage = Stage::new(Fake::after(millis(50)), &settings);
    *stage.fake.down.lock().unwrap() = Some(Fault::ServerError { retry_after: None });
    let mut tasks = Vec::new();
    for text in numbered("text", 600) {
        tasks.push(stage.spawn(request(&[text])));
        tokio::time::sleep(millis(100)).await;
    }
    for task in tasks {
        task.await.unwrap().unwrap_err();
    }
    let attempts = stage.fake.calls().len();
    println!("{attempts} attempts of 600 requests");
    assert!(attempts <= 600 * 11 / 10 + 60 + 10, "{attempts}");
    assert!(attempts > 650, "{attempts}: some retries are affordable");
}

#[tokio::test(start_paused = true)]
async fn a_429_closes_the_gate_for_all_calls_until_retry_after() {
    let stage = Stage::new(Fake::failing([Some(limited(secs(20)))]), &Settings::default());
    let met = stage.start(within(&["met it, hasty"], secs(10))).await;
    let start = Instant::now();
    assert_eq!(upstream_failure(met.await.unwrap()).1, 1);
    assert!(start.elapsed() < millis(110));

    let closed = Instant::now();
    let patient = stage.start(request(&["patient"])).await;
    for parameters in [parameters(), documents()] {
        let hasty = Request { parameters, ..within(&["hasty"], secs(10)) };
        match stage.run(hasty).await {
            Err(Error::QueueTimeout { retry_after }) => {
                assert!(retry_after.abs_diff(secs(20)) < millis(500), "{retry_after:?}");
            }
            other => panic!("{other:?}"),
        }
    }
    assert!(closed.elapsed() < millis(10), "they are reported at once");
    patient.await.unwrap().unwrap();
    assert!(stage.fake.sent_at("patient").unwrap() - closed >= secs(19) + millis(995));
    assert_eq!(stage.fake.sent(), [["met it, hasty"], ["patient"]]);
}

#[tokio::test(start_paused = true)]
async fn items_that_met_a_429_and_can_wait_are_sent_after_the_gate_at_no_retry_cost() {
    let stage = Stage::new(Fake::failing([Some(limited(secs(20)))]), &Settings::default());
    let start = Instant::now();
    let tasks = [
        (stage.start(request(&["shared", "patient"])).await, true),
        (stage.start(within(&["shared"], secs(10))).await, false),
    ];
    for (task, patient) in tasks {
        let result = task.await.unwrap();
        if patient {
            assert_eq!(result.unwrap().upstream_requests(), 2);
            assert!(start.elapsed() >= secs(20));
        } else {
            assert!(matches!(upstream_failure(result), (Fault::RateLimited { .. }, 1)));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_gate_reopens_with_one_call_and_then_for_all() {
    let script = [Some(limited(secs(20))), Some(limited(secs(20)))];
    let settings = Settings { batch: batches(1, 8), ..Settings::default() };
    let stage = Stage::new(Fake::failing(script), &settings);
    let start = Instant::now();
    // Two calls meet the 429; six more texts wait in another lane.
    let met = stage.start(request(&["met 0", "met 1"])).await;
    tokio::time::sleep(millis(150)).await;
    let waits =
        stage.start(Request { parameters: documents(), ..request(&numbered("waits", 6)) }).await;
    met.await.unwrap().unwrap();
    waits.await.unwrap().unwrap();
    let times: Vec<Duration> = stage.fake.calls().iter().map(|call| call.at - start).collect();
    println!("{times:?}");
    assert!(times[2] >= secs(20), "{times:?}");
    assert!(times[3] >= times[2] + millis(100), "one call goes first: {times:?}");
    // No item waits longer than the probe.
    assert!(*times.last().unwrap() <= times[2] + millis(250), "{times:?}");
}

#[tokio::test(start_paused = true)]
async fn the_third_429_is_the_answer() {
    let script = [Some(limited(secs(1))), Some(limited(secs(1))), Some(limited(secs(1)))];
    let stage = Stage::new(Fake::failing(script), &Settings::default());
    let (fault, attempts) = upstream_failure(stage.run(request(&["text"])).await);
    assert!(matches!(fault, Fault::RateLimited { .. }));
    assert_eq!(attempts, 3);
}
