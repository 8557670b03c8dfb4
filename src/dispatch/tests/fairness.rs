//! The order of service when budget is short.

use super::*;

/// One input a call and one call at a time: the calls are the order of service.
fn one_by_one() -> Stage {
    let batch = Config { max_delay: TimeSpan::from_millis(0), ..batches(1, 1) };
    Stage::new(Fake::after(millis(10)), &Settings { batch, ..Settings::default() })
}

/// The first words of the texts in the order they were sent.
fn order(stage: &Stage) -> Vec<String> {
    let first = |text: &String| text.split(' ').next().unwrap().to_owned();
    stage.fake.sent().concat().iter().map(first).collect()
}

fn count(order: &[String], name: &str) -> usize {
    order.iter().filter(|served| *served == name).count()
}

#[tokio::test(start_paused = true)]
async fn five_thousand_queued_inputs_do_not_delay_anothers_first() {
    let stage = one_by_one();
    stage.start(bulk(&numbered("greedy", 5_000), "greedy")).await;
    tokio::time::sleep(millis(500)).await;
    let before = stage.fake.calls().len();
    let start = Instant::now();
    stage.run(bulk(&["modest"], "modest")).await.unwrap();
    let order = order(&stage);
    assert!(order.len() - before <= 3, "{} calls went before", order.len() - before);
    assert!(start.elapsed() < millis(33), "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn fair_shares_hold_across_lanes() {
    let stage = one_by_one();
    let greedy = bulk(&numbered("greedy", 5_000), "greedy");
    stage.start(Request { parameters: documents(), ..greedy }).await;
    tokio::time::sleep(millis(500)).await;
    let start = Instant::now();
    stage.run(bulk(&["modest"], "modest")).await.unwrap();
    assert!(start.elapsed() < millis(33), "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn service_is_in_proportion_to_the_weights() {
    let stage = one_by_one();
    for (name, weight) in [("light", 1), ("heavy", 3)] {
        let caller = named(name, weight);
        // Equal lengths: shares are of tokens.
        let texts: Vec<String> = (0..1_000).map(|number| format!("{name} {number:04}")).collect();
        stage.start(Request { caller, ..bulk(&texts, name) }).await;
    }
    tokio::time::sleep(secs(4)).await;
    let order = order(&stage);
    let (light, heavy) = (count(&order, "light"), count(&order, "heavy"));
    println!("{light} to {heavy}");
    assert!(heavy * 10 > light * 28 && heavy * 10 < light * 32, "{light} to {heavy}");
}

#[tokio::test(start_paused = true)]
async fn interactive_goes_before_batch() {
    let stage = one_by_one();
    stage.start(bulk(&numbered("bulk", 50), "bulk")).await;
    tokio::time::sleep(millis(100)).await;
    let before = stage.fake.calls().len();
    stage.start(request(&numbered("query", 3))).await;
    tokio::time::sleep(secs(1)).await;
    assert_eq!(order(&stage)[before..before + 3], ["query", "query", "query"]);
}

#[tokio::test(start_paused = true)]
async fn an_interactive_joiner_lifts_what_it_waits_for() {
    let stage = one_by_one();
    stage.start(bulk(&numbered("bulk", 50), "bulk")).await;
    let start = Instant::now();
    stage.run(request(&["bulk 40"])).await.unwrap();
    assert!(start.elapsed() < millis(25), "{:?}", start.elapsed());
    let order = stage.fake.sent().concat();
    assert!(order.iter().position(|text| text == "bulk 40") <= Some(2), "{order:?}");
}

/// Keeps ten interactive inputs waiting for `time`.
async fn endless_queries(stage: &Stage, name: &str, text: &str, time: Duration) {
    let start = Instant::now();
    let askers = (0..10).map(|asker| {
        let (stage, name, text) = (stage.clone(), name.to_owned(), text.to_owned());
        async move {
            let mut number = 0;
            while start.elapsed() < time {
                let text = format!("{name} {asker} {number} {text}");
                stage.run(request(&[text])).await.unwrap();
                number += 1;
            }
        }
    });
    futures_util::future::join_all(askers).await;
}

#[tokio::test(start_paused = true)]
async fn batch_is_served_every_few_calls_under_endless_queries() {
    for parameters in [parameters(), documents()] {
        let stage = one_by_one();
        let starved = bulk(&numbered("bulk", 1_000), "bulk");
        stage.spawn(Request { parameters, ..starved });
        endless_queries(&stage, "query", "", secs(10)).await;
        let order = order(&stage);
        let owed = order.split_at(250).1;
        let longest = owed.split(|served| served == "bulk").map(<[String]>::len).max().unwrap();
        println!(
            "{} of {} calls were bulk, {longest} without at most",
            count(owed, "bulk"),
            owed.len()
        );
        assert!(longest <= 5, "{longest} calls without one of the batch");
    }
}

#[tokio::test(start_paused = true)]
async fn batch_is_served_though_queries_use_up_the_tokens() {
    for parameters in [parameters(), documents()] {
        let batch = batches(20, 4);
        let settings = Settings { batch, limits: limits(2_000, 100_000), ..Settings::default() };
        let stage = Stage::new(Fake::after(millis(100)), &settings);
        let words = "word ".repeat(500);
        let texts: Vec<String> = (0..500).map(|n| format!("bulk {n} {words}")).collect();
        stage.spawn(Request { parameters, ..bulk(&texts, "bulk") });
        endless_queries(&stage, "query", &words, MINUTE * 5).await;
        let order = order(&stage);
        let (bulk, queries) = (count(&order, "bulk"), count(&order, "query"));
        println!("{bulk} bulk, {queries} queries");
        assert!(bulk * 20 >= queries, "{bulk} of the batch beside {queries} queries");
        assert!(queries > bulk, "{bulk} of the batch beside {queries} queries");
    }
}

#[tokio::test(start_paused = true)]
async fn a_rejected_caller_is_not_charged_for_unsent_items() {
    let batch = Config { max_delay: TimeSpan::from_millis(0), ..batches(1, 1) };
    let settings = Settings { batch, limits: limits(100, 1_000_000), ..Settings::default() };
    let stage = Stage::new(Fake::after(millis(10)), &settings);
    stage.start(bulk(&numbered("other", 1_000), "other")).await;
    tokio::time::sleep(secs(2)).await;
    let spent = stage.fake.calls().len();
    let hasty = bulk(&numbered("refused", 500), "unlucky");
    let refused = stage.run(Request { max_queue_wait: Some(secs(1)), ..hasty }).await;
    assert!(matches!(refused, Err(Error::QueueTimeout { .. })));
    stage.run(bulk(&["wanted"], "unlucky")).await.unwrap();
    let before = stage.fake.calls().len() - spent;
    assert!(before <= 4, "{before} calls went before");
}

#[tokio::test(start_paused = true)]
async fn a_cancelled_caller_is_refunded_soon() {
    let stage = one_by_one();
    stage.start(bulk(&numbered("other", 5_000), "other")).await;
    let cancelled = stage.start(bulk(&numbered("cancelled", 2_000), "fickle")).await;
    tokio::time::sleep(millis(100)).await;
    cancelled.abort();
    // Long enough to remove the items without waiters.
    tokio::time::sleep(secs(2)).await;
    let before = order(&stage).len();
    stage.run(bulk(&["again"], "fickle")).await.unwrap();
    let served = order(&stage).len() - before;
    assert!(served <= 4, "{served} calls until the next input of who cancelled");
}
