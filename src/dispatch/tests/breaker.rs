//! While the circuit is open, requests fail at once.

use super::*;

/// Opens after five failures for five seconds.
fn brittle(batch: Config) -> Settings {
    let breaker = BreakerConfig { min_calls: 5, ..BreakerConfig::default() };
    let retry = RetryConfig { max_attempts: 1 };
    Settings { batch, retry, breaker, ..Settings::default() }
}

async fn opened(batch: Config) -> Stage {
    let stage = Stage::new(Fake::after(millis(100)), &brittle(batch));
    stage.run(request(&["known"])).await.unwrap();
    *stage.fake.down.lock().unwrap() = Some(Fault::Unavailable { retry_after: None });
    for number in 0..5 {
        stage.run(request(&[format!("fails {number}")])).await.unwrap_err();
    }
    stage
}

fn assert_open(result: Result<Response, Error>, at_most: Duration) {
    match result {
        Err(Error::CircuitOpen { retry_after }) => {
            assert!(retry_after <= at_most, "{retry_after:?}");
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn an_open_circuit_refuses_at_once_and_still_serves_what_is_known() {
    let stage = opened(Config::default()).await;
    let (start, calls) = (Instant::now(), stage.fake.calls().len());
    assert_open(stage.run(request(&["new"])).await, secs(5));
    stage.run(request(&["known"])).await.unwrap();
    assert!(start.elapsed() < millis(2));
    assert_eq!(stage.fake.calls().len(), calls);
}

#[tokio::test(start_paused = true)]
async fn one_probe_decides() {
    let stage = opened(Config::default()).await;
    let calls = stage.fake.calls().len();
    tokio::time::sleep(secs(5)).await;
    let probe = stage.start(request(&["probe"])).await;
    assert_open(stage.run(request(&["beside the probe"])).await, secs(5));
    assert!(matches!(probe.await.unwrap(), Err(Error::Upstream(_))));
    assert_eq!(stage.fake.calls().len(), calls + 1);

    // It failed, so the rest is twice as long.
    tokio::time::sleep(secs(9)).await;
    assert_open(stage.run(request(&["too early"])).await, secs(1));
    tokio::time::sleep(secs(1)).await;
    *stage.fake.down.lock().unwrap() = None;
    stage.run(request(&["probe"])).await.unwrap();
    stage.run(request(&["closed again"])).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn requests_waiting_for_a_free_call_fail_when_the_circuit_opens() {
    let stage = Stage::new(Fake::after(millis(100)), &brittle(batches(1, 5)));
    *stage.fake.down.lock().unwrap() = Some(Fault::ServerError { retry_after: None });
    let start = Instant::now();
    let tasks: Vec<_> =
        numbered("text", 200).iter().map(|text| stage.spawn(request(&[text]))).collect();
    let mut refused = 0;
    for task in tasks {
        refused += usize::from(matches!(task.await.unwrap(), Err(Error::CircuitOpen { .. })));
    }
    assert!(start.elapsed() < millis(110), "{:?}", start.elapsed());
    assert_eq!((stage.fake.calls().len(), refused), (5, 195));
}

#[tokio::test(start_paused = true)]
async fn requests_waiting_for_budget_fail_when_the_circuit_opens() {
    let settings = Settings { limits: limits(5, 1_000_000), ..brittle(batches(1, 8)) };
    let stage = Stage::new(Fake::after(millis(100)), &settings);
    *stage.fake.down.lock().unwrap() = Some(Fault::ServerError { retry_after: None });
    let start = Instant::now();
    let tasks: Vec<_> =
        numbered("text", 6).iter().map(|text| stage.spawn(request(&[text]))).collect();
    for task in tasks {
        task.await.unwrap().unwrap_err();
    }
    assert!(start.elapsed() < millis(110), "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn requests_waiting_for_a_batch_fail_when_the_circuit_opens() {
    let batch = Config { max_delay: TimeSpan::from_secs(1), ..Config::default() };
    let stage = Stage::new(Fake::after(millis(100)), &brittle(batch));
    *stage.fake.down.lock().unwrap() = Some(Fault::ServerError { retry_after: None });
    let mut lanes = Vec::new();
    for dimension in [256, 512, 1024, 2048] {
        let lane = parameters().changed(|of| of.vector.dimension = Some(dimension));
        lanes
            .push(stage.start(Request { parameters: Arc::new(lane), ..request(&["fails"]) }).await);
    }
    lanes.push(stage.start(request(&["fails"])).await);
    let gathers = stage.start(request(&["gathers"])).await;
    let start = Instant::now();
    assert_open(gathers.await.unwrap(), secs(5));
    assert!(start.elapsed() < millis(110), "{:?}", start.elapsed());
}
