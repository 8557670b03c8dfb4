//! The content and the time of batches.

use super::*;
use crate::units::Size;

fn sizes(stage: &Stage) -> Vec<usize> {
    stage.fake.sent().iter().map(Vec::len).collect()
}

fn slow() -> Fake {
    Fake::after(millis(100))
}

#[tokio::test(start_paused = true)]
async fn a_lone_input_on_an_idle_lane_leaves_at_once() {
    let stage = Stage::new(slow(), &Settings::default());
    let start = Instant::now();
    stage.run(request(&["lone"])).await.unwrap();
    assert_eq!(stage.fake.sent_at("lone"), Some(start));
    assert!(start.elapsed() < millis(102), "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn others_gather_for_at_most_max_delay_while_a_call_is_in_flight() {
    let stage = Stage::new(slow(), &Settings::default());
    let start = Instant::now();
    stage.start(request(&["first"])).await;
    for number in 0..5 {
        stage.start(request(&[format!("gathers {number}")])).await;
        tokio::time::advance(millis(1)).await;
    }
    tokio::time::sleep(millis(1)).await;
    stage.start(request(&["comes later"])).await;
    tokio::time::sleep(millis(200)).await;
    assert_eq!(sizes(&stage), [1, 5, 1]);
    let waited = stage.fake.sent_at("gathers 0").unwrap() - start;
    assert!((millis(5)..millis(7)).contains(&waited), "{waited:?}");
}

#[tokio::test(start_paused = true)]
async fn what_gathered_leaves_as_soon_as_the_lane_is_idle() {
    let batch = Config { max_delay: TimeSpan::from_secs(10), ..Config::default() };
    let stage = Stage::new(slow(), &Settings { batch, ..Settings::default() });
    let start = Instant::now();
    stage.start(request(&["first"])).await;
    stage.start(request(&["second"])).await;
    tokio::time::sleep(millis(300)).await;
    let waited = stage.fake.sent_at("second").unwrap() - start;
    assert!((millis(100)..millis(103)).contains(&waited), "{waited:?}");
}

#[tokio::test(start_paused = true)]
async fn a_full_batch_leaves_at_once() {
    let batch = Config { max_delay: TimeSpan::from_secs(10), ..batches(10, 8) };
    let stage = Stage::new(slow(), &Settings { batch, ..Settings::default() });
    let start = Instant::now();
    stage.start(request(&["first"])).await;
    stage.start(request(&numbered("nearly full", 9))).await;
    assert_eq!(sizes(&stage), [1]);
    stage.start(request(&["the tenth"])).await;
    assert_eq!(sizes(&stage), [1, 10]);
    assert_eq!(start.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn concurrent_callers_share_a_call() {
    let stage = Stage::new(slow(), &Settings::default());
    for number in 0..64 {
        stage.spawn(request(&[format!("caller {number}")]));
    }
    settled().await;
    assert_eq!(sizes(&stage), [64]);
}

#[tokio::test(start_paused = true)]
async fn lanes_never_mix() {
    let stage = Stage::new(slow(), &Settings { batch: batches(1000, 1), ..Settings::default() });
    let base = (*parameters()).clone();
    let lanes = [
        Parameters { model: "voyage-4".into(), ..base.clone() },
        base.changed(|of| of.vector.input_type = Some(InputType::Query)),
        base.changed(|of| of.vector.dimension = Some(256)),
        base.changed(|of| of.vector.dtype = Dtype::Int8),
        base.changed(|of| of.truncation = false),
        base,
    ];
    for (number, parameters) in lanes.into_iter().enumerate() {
        let parameters = Arc::new(parameters);
        for half in ["a", "b"] {
            let texts = [format!("lane {number} {half}")];
            stage.spawn(Request { parameters: Arc::clone(&parameters), ..request(&texts) });
        }
    }
    tokio::time::sleep(secs(10)).await;
    for texts in stage.fake.sent() {
        assert!(texts.iter().all(|text| text[..6] == texts[0][..6]), "{texts:?}");
    }
    assert_eq!(stage.fake.sent().concat().len(), 12);
}

#[tokio::test(start_paused = true)]
async fn a_call_holds_no_more_than_its_tokens() {
    let stage = Stage::new(slow(), &Settings::default());
    // 40 texts of at least 6,000 tokens; voyage-4-large takes 120,000 in a call.
    let texts: Vec<String> = (0..40).map(|n| format!("{n} {}", "word ".repeat(6_000))).collect();
    stage.run(request(&texts)).await.unwrap();
    for call in stage.fake.sent() {
        let tokens: u64 = call.iter().map(|text| fake::tokens_of(text)).sum();
        assert!(tokens <= 120_000, "{tokens}");
        assert!(call.len() > 5 || stage.fake.sent().last() == Some(&call), "{}", call.len());
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_holds_no_more_than_its_bytes() {
    let stage = Stage::new(slow(), &Settings::default());
    // Texts are truncated to the model's context, so these cost few tokens for their bytes.
    let long = |n: usize| format!("{n} {}", "x".repeat(6 << 20));
    let texts: Vec<String> = (0..3).map(long).collect();
    stage.run(request(&texts)).await.unwrap();
    assert_eq!(sizes(&stage), [2, 1]);
}

#[tokio::test(start_paused = true)]
async fn no_more_than_max_in_flight_calls_are_out_over_all_lanes() {
    let batch = batches(1, 3);
    let stage = Stage::new(slow(), &Settings { batch, ..Settings::default() });
    stage.spawn(request(&numbered("query", 5)));
    stage.spawn(Request { parameters: documents(), ..request(&numbered("document", 5)) });
    settled().await;
    assert_eq!(sizes(&stage).len(), 3);
    tokio::time::sleep(millis(150)).await;
    assert_eq!(sizes(&stage).len(), 6);
}

#[tokio::test(start_paused = true)]
async fn idle_lanes_vanish_and_the_scheduler_ends_with_the_dispatch() {
    let stage = Stage::new(slow(), &Settings::default());
    let parameters = parameters();
    let lane = Request { parameters: Arc::clone(&parameters), ..request(&["text"]) };
    let task = stage.start(lane).await;
    assert!(Arc::strong_count(&parameters) > 1, "the lane is there while its call is out");
    task.await.unwrap().unwrap();
    stage.assert_idle(&parameters).await;

    let shared = stage.close();
    settled().await;
    assert!(shared.upgrade().is_none(), "the scheduler is still there");
}

#[tokio::test(start_paused = true)]
async fn what_the_dispatch_holds_is_bounded_and_the_rest_refused_at_once() {
    let batch = Config { max_waiting_inputs: 10, ..batches(1, 1) };
    let stage = Stage::new(slow(), &Settings { batch, ..Settings::default() });
    let waiting = stage.start(request(&numbered("fits", 10))).await;
    let refused = stage.run(request(&["one too many"])).await;
    assert_eq!(refused.unwrap_err(), Error::Overloaded { what: "inputs waiting for Voyage" });
    waiting.await.unwrap().unwrap();
    stage.run(request(&["one too many"])).await.unwrap();
    assert_eq!(stage.held(), (0, 0));

    let batch = Config { max_waiting_bytes: Size::from_bytes(100), ..batches(1, 1) };
    let stage = Stage::new(slow(), &Settings { batch, ..Settings::default() });
    let alone = stage.start(request(&["x".repeat(101)])).await;
    assert!(matches!(stage.run(request(&["x"])).await, Err(Error::Overloaded { .. })));
    alone.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn items_without_waiters_are_dropped_and_refunded() {
    let stage = Stage::new(slow(), &Settings { batch: batches(10, 1), ..Settings::default() });
    let parameters = parameters();
    let mut tasks = Vec::new();
    for number in 0..100 {
        let lane = Arc::clone(&parameters);
        let texts = [format!("text {number}")];
        tasks.push(stage.start(Request { parameters: lane, ..request(&texts) }).await);
    }
    // The first is in flight; of the others, every second caller leaves.
    tasks.iter().skip(1).step_by(2).for_each(JoinHandle::abort);
    tokio::time::sleep(secs(5)).await;
    let sent = stage.fake.sent().concat();
    assert_eq!(sent.len(), 50);
    assert_eq!(stage.used().1, stage.fake.reported());
    stage.assert_idle(&parameters).await;
}
