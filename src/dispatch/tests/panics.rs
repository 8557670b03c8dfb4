//! A panic in a call fails its waiters and leaks nothing.

use super::{fake::Panic, *};

/// Everything is as if nothing had happened: a hundred requests pass, one after the other and all at once.
async fn assert_sound(stage: &Stage, parameters: &Arc<Parameters>) {
    for text in numbered("one by one", 50) {
        stage.run(request(&[text])).await.unwrap();
    }
    let tasks: Vec<_> =
        numbered("at once", 50).iter().map(|text| stage.spawn(request(&[text]))).collect();
    for task in tasks {
        task.await.unwrap().unwrap();
    }
    stage.assert_idle(parameters).await;
}

#[tokio::test(start_paused = true)]
async fn a_panic_at_any_point_blocks_no_key_and_leaks_nothing() {
    for point in [Panic::Calling, Panic::Sending, Panic::Reading] {
        let settings = Settings { batch: batches(10, 2), ..Settings::default() };
        let stage = Stage::new(Fake::after(millis(100)), &settings);
        let lane = parameters();
        // More panics than there are calls to lose.
        *stage.fake.panics.lock().unwrap() = [point; 5].into();
        for _ in 0..5 {
            let unlucky = || Request {
                parameters: Arc::clone(&lane),
                ..request(&["unlucky", "its neighbour"])
            };
            let (opener, joiner) = (stage.spawn(unlucky()), stage.spawn(unlucky()));
            for task in [opener, joiner] {
                let result = task.await.unwrap();
                assert!(matches!(result, Err(Error::Internal { .. })), "{point:?}: {result:?}");
            }
        }
        assert!(stage.fake.panics.lock().unwrap().is_empty());
        stage.run(request(&["unlucky", "its neighbour"])).await.unwrap();
        assert_sound(&stage, &lane).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_panicking_probe_keeps_neither_gate_nor_circuit_shut() {
    let breaker = BreakerConfig { min_calls: 3, ..BreakerConfig::default() };
    let retry = RetryConfig { max_attempts: 1 };
    let settings = Settings { retry, breaker, ..Settings::default() };
    let limited = Fault::RateLimited { retry_after: Some(secs(1)), free_tier: false };
    let stage = Stage::new(Fake::failing([Some(limited)]), &settings);
    stage.run(request(&["limited"])).await.unwrap_err();
    tokio::time::sleep(secs(1)).await;
    stage.fake.panics.lock().unwrap().push_back(Panic::Reading);
    stage.run(request(&["the gate's probe"])).await.unwrap_err();
    stage.run(request(&["limited"])).await.unwrap();

    *stage.fake.down.lock().unwrap() = Some(Fault::ServerError { retry_after: None });
    for number in 0..3 {
        stage.run(request(&[format!("fails {number}")])).await.unwrap_err();
    }
    *stage.fake.down.lock().unwrap() = None;
    tokio::time::sleep(secs(5)).await;
    stage.fake.panics.lock().unwrap().push_back(Panic::Reading);
    stage.run(request(&["the circuit's probe"])).await.unwrap_err();
    assert_sound(&stage, &parameters()).await;
}

/// A defect in the scheduler itself, as far as a test can make one.
#[derive(Debug)]
struct Defect;

impl FlightOwner for Defect {
    fn demand(&self) -> Option<Demand> {
        panic!("a canary")
    }

    fn send(&self, _send_info: &Arc<SendInfo>) -> bool {
        panic!("a canary")
    }

    fn requeue(&self) {}

    fn reject_late(&self, _until: Instant, _refusal: &Error) {}

    fn cancel(self: Box<Self>, _wasted: u64) {}

    fn complete(self: Box<Self>, _result: Result<Answer, Error>, _bill: Bill) {}
}

#[tokio::test(start_paused = true)]
async fn a_scheduler_that_is_gone_is_noticed() {
    let stage = Stage::new(Fake::after(millis(100)), &Settings::default());
    stage.run(request(&["before"])).await.unwrap();
    let ended = tokio::time::timeout(HOUR, stage.dispatch.ended()).await;
    assert!(ended.is_err(), "it is there");
    let item = Item {
        id: u64::MAX,
        request: u64::MAX,
        input: Input::Text("unlucky".to_owned()),
        priority: Priority::Interactive,
        caller: Caller::anonymous(),
        measure: None,
        owner: Box::new(Defect),
    };
    stage.dispatch.submit(&parameters(), vec![item]);
    tokio::time::timeout(HOUR, stage.dispatch.ended()).await.unwrap();
    let refused = stage.run(request(&["afterwards"])).await;
    assert!(matches!(refused, Err(Error::Internal { .. })), "{refused:?}");
}
