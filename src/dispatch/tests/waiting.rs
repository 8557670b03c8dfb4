//! Only a known wait is refused early, with the truth.

use super::*;

/// Three requests a minute, spent at 0, 10 and 20 s; the clock is left at 25 s.
async fn spent() -> Stage {
    let settings = Settings { limits: limits(3, 10_000), ..Settings::default() };
    let stage = Stage::new(Fake::after(millis(100)), &settings);
    for number in 0..3 {
        stage.start(request(&[format!("spends {number}")])).await;
        tokio::time::sleep(secs(if number < 2 { 10 } else { 5 })).await;
    }
    stage
}

fn retry_after(result: Result<Response, Error>) -> Duration {
    match result {
        Err(Error::QueueTimeout { retry_after }) => retry_after,
        other => panic!("{other:?}"),
    }
}

fn assert_close(told: Duration, truth: Duration) {
    assert!(told.abs_diff(truth) <= millis(500), "told {told:?}, in truth {truth:?}");
}

#[tokio::test(start_paused = true)]
async fn who_cannot_wait_is_refused_at_once_and_served_when_it_was_told() {
    let stage = spent().await;
    let start = Instant::now();
    let told = retry_after(stage.run(within(&["hasty"], secs(5))).await);
    assert!(start.elapsed() < millis(2), "{:?}", start.elapsed());
    assert_close(told, secs(35));
    tokio::time::sleep(told).await;
    stage.run(within(&["hasty"], millis(700))).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_known_wait_beyond_max_queue_wait_is_refused_at_once() {
    let stage = spent().await;
    let start = Instant::now();
    let hasty = Request { max_queue_wait: Some(secs(30)), ..request(&["hasty"]) };
    assert_close(retry_after(stage.run(hasty).await), secs(35));
    assert!(start.elapsed() < millis(2));
    let patient = Request { max_queue_wait: Some(secs(36)), ..request(&["patient"]) };
    stage.run(patient).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn the_others_of_the_lane_wait_on_and_share_the_call() {
    let stage = spent().await;
    let start = Instant::now();
    let patient = stage.start(request(&["patient", "shared"])).await;
    let hasty = stage.start(within(&["hasty", "shared"], secs(5))).await;
    assert!(hasty.is_finished(), "the refusal is immediate");
    retry_after(hasty.await.unwrap());
    let joiner = stage.start(request(&["shared"])).await;
    patient.await.unwrap().unwrap();
    joiner.await.unwrap().unwrap();
    assert_close(start.elapsed(), secs(35));
    assert_eq!(stage.fake.sent().len(), 4);
    assert_eq!(stage.fake.sent()[3].len(), 2, "nothing is sent for the one who left");
}

#[tokio::test(start_paused = true)]
async fn waiting_for_a_free_call_is_no_known_wait() {
    let settings = Settings { batch: batches(1, 1), ..Settings::default() };
    let stage = Stage::new(Fake::after(secs(20)), &settings);
    stage.start(request(&["takes its time"])).await;
    let late = stage.run(within(&["late"], secs(5))).await;
    assert_eq!(late.unwrap_err(), Error::DeadlineExceeded { phase: Phase::Queue });
}

/// A text of about so many tokens.
fn prose(name: &str, tokens: usize) -> String {
    format!("{name} {}", "word ".repeat(tokens - 4))
}

/// Ten thousand tokens a minute of which much is asked for, then somebody who waits for `patience` at most.
async fn behind_a_queue(queue: &[(Arc<Parameters>, usize)], patience: Duration) -> Stage {
    let settings = Settings { limits: limits(1_000, 10_000), ..Settings::default() };
    let stage = Stage::new(Fake::after(millis(100)), &settings);
    // The first call teaches the estimate and spends most of the minute.
    let spends: Vec<String> = (0..8).map(|n| prose(&format!("spends {n}"), 1_000)).collect();
    stage.run(request(&spends)).await.unwrap();
    for (number, (parameters, texts)) in queue.iter().enumerate() {
        let texts: Vec<String> =
            (0..*texts).map(|n| prose(&format!("queue {number} {n}"), 1_000)).collect();
        let parameters = Arc::clone(parameters);
        stage.start(Request { parameters, ..request(&texts) }).await;
    }
    let last = Request { max_queue_wait: Some(patience), ..request(&[prose("last", 1_000)]) };
    stage.start(last).await;
    stage
}

/// Returns what the last one was told, and when it would have been sent.
async fn told_and_true(queue: &[(Arc<Parameters>, usize)]) -> (Duration, Duration) {
    let stage = behind_a_queue(queue, HOUR).await;
    let start = Instant::now();
    tokio::time::sleep(MINUTE * 10).await;
    let sent = stage.fake.calls().into_iter();
    let sent = sent.filter(|call| call.texts.iter().any(|text| text.starts_with("last")));
    let truth = sent.map(|call| call.at).min().unwrap() - start;

    let stage = behind_a_queue(queue, secs(1)).await;
    let again = Request { max_queue_wait: Some(secs(1)), ..request(&[prose("last", 1_000)]) };
    let told = retry_after(stage.run(again).await);
    (told, truth)
}

#[tokio::test(start_paused = true)]
async fn the_wait_behind_ones_own_lane_is_told_as_it_will_be() {
    for texts in [3, 12, 25] {
        let (told, truth) = told_and_true(&[(parameters(), texts)]).await;
        println!("behind {texts} texts: told {told:?}, in truth {truth:?}");
        assert_close(told, truth);
    }
}
