//! Early rejection: only known waits, with the right time.

use proptest::prelude::*;

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

/// The largest error of an estimate: 1 s or 10 %.
fn tolerance(truth: Duration) -> Duration {
    secs(1).max(truth / 10)
}

fn assert_close(estimate: Duration, truth: Duration) {
    assert!(
        estimate.abs_diff(truth) <= tolerance(truth),
        "estimate {estimate:?}, in truth {truth:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_request_that_cannot_wait_is_rejected_at_once_and_served_after_retry_after() {
    let stage = spent().await;
    let start = Instant::now();
    let estimate = retry_after(stage.run(within(&["hasty"], secs(5))).await);
    assert!(start.elapsed() < millis(2), "{:?}", start.elapsed());
    assert_close(estimate, secs(35));
    tokio::time::sleep(estimate).await;
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

/// One request of those that wait.
#[derive(Clone, Debug)]
struct Ask {
    lane: usize,
    priority: Priority,
    caller: u32,
    /// Tokens of each of its texts.
    texts: Vec<usize>,
}

/// An interactive request of so many texts of a thousand tokens.
fn ask(lane: usize, texts: usize) -> Ask {
    Ask { lane, priority: Priority::Interactive, caller: 0, texts: vec![1_000; texts] }
}

fn batch(lane: usize, texts: usize) -> Ask {
    Ask { priority: Priority::Batch, ..ask(lane, texts) }
}

impl Ask {
    fn request(&self, name: &str) -> Request {
        let dimension = [None, Some(256), Some(512), Some(1024)][self.lane];
        let texts: Vec<String> = self
            .texts
            .iter()
            .enumerate()
            .map(|(n, size)| prose(&format!("{name} {n}"), *size))
            .collect();
        Request {
            parameters: Arc::new(parameters().changed(|of| of.vector.dimension = dimension)),
            priority: self.priority,
            caller: named(&format!("caller {}", self.caller), 1 + self.caller),
            ..request(&texts)
        }
    }
}

/// The state when the last request arrives.
#[derive(Clone, Debug)]
struct Scene {
    rpm: u32,
    /// Of a minute's 10,000 tokens, those that are spent by calls ten seconds apart.
    spent: Vec<usize>,
    /// The failure of the first call after these.
    fault: Option<Fault>,
    queue: Vec<Ask>,
    last: Ask,
}

impl Scene {
    fn behind(queue: impl Into<Vec<Ask>>, last: Ask) -> Self {
        Self { rpm: 1_000, spent: vec![8_000], fault: None, queue: queue.into(), last }
    }

    /// The stage, and all requests but the last.
    async fn set(&self) -> Stage {
        let settings = Settings { limits: limits(self.rpm, 10_000), ..Settings::default() };
        let script = self.spent.iter().map(|_| None).chain([self.fault.clone()]);
        let stage = Stage::new(Fake::failing(script), &settings);
        saturation::calibrate(&stage, 1_000);
        for (number, tokens) in self.spent.iter().enumerate() {
            stage.run(request(&[prose(&format!("spends {number}"), *tokens)])).await.unwrap();
            tokio::time::sleep(secs(10)).await;
        }
        for (number, ask) in self.queue.iter().enumerate() {
            stage.start(ask.request(&format!("queue {number}"))).await;
        }
        // Items that are sent at once have returned.
        tokio::time::sleep(secs(1)).await;
        stage
    }

    /// Returns the estimate that the last request gets with a wait of one second, and when its texts are sent without.
    async fn outcome(&self) -> Waits {
        let stage = self.set().await;
        let start = Instant::now();
        let sent = stage.fake.calls().len();
        stage.run(self.last.request("last")).await.unwrap();
        let calls = stage.fake.calls().into_iter().skip(sent);
        let of_last = calls.filter(|call| call.texts.iter().any(|text| text.starts_with("last")));
        let truth = of_last.map(|call| call.at).max().unwrap() - start;

        let stage = self.set().await;
        let tokens = self.last.texts.iter().max().map_or(0, |tokens| *tokens as u64);
        let (limiter, now) = (&stage.dispatch.shared.limiter, Instant::now());
        let next = limiter.free_at(MODEL, Priority::Interactive, tokens, now);
        let hasty = Request { max_queue_wait: Some(secs(1)), ..self.last.request("last") };
        let estimate = match stage.run(hasty).await {
            Err(Error::QueueTimeout { retry_after }) => Some(retry_after),
            result => {
                result.unwrap();
                None
            }
        };
        let waits = Waits { estimate, truth, if_next: next - now };
        println!("{waits:?}");
        waits
    }

    /// Asserts the bounds with several lanes and classes. The next of them can depend on a single token, so the
    /// time of the estimate is no promise there. It is not before the item could be sent if it were next, and no item
    /// is rejected that would be sent in time.
    async fn check_roughly(&self) {
        let Waits { estimate, truth, if_next } = self.outcome().await;
        if let Some(estimate) = estimate {
            assert!(
                estimate + tolerance(if_next) >= if_next,
                "estimate {estimate:?}, {if_next:?} if next"
            );
        }
        let stage = self.set().await;
        let max_queue_wait = Some(truth + tolerance(truth));
        let patient = Request { max_queue_wait, ..self.last.request("last") };
        stage.run(patient).await.expect("it would have been sent in time");
    }

    /// Asserts that the estimate for the last request is right.
    async fn check(&self) {
        let Waits { estimate, truth, .. } = self.outcome().await;
        match estimate {
            Some(estimate) => assert_close(estimate, truth),
            None => assert!(truth <= secs(1) + tolerance(truth), "in truth {truth:?}"),
        }
    }
}

/// The results for the last request.
#[derive(Debug)]
struct Waits {
    /// Its estimate, if it was rejected.
    estimate: Option<Duration>,
    /// When all of its texts were sent.
    truth: Duration,
    /// When its largest text would have had budget if it had been next.
    if_next: Duration,
}

#[tokio::test(start_paused = true)]
async fn the_wait_behind_the_same_lane_is_estimated_right() {
    for texts in [3, 12, 25] {
        Scene::behind([ask(0, texts)], ask(0, 1)).check().await;
        Scene::behind([batch(0, texts)], batch(0, 1)).check().await;
    }
}

#[tokio::test(start_paused = true)]
async fn behind_other_lanes_of_the_model_no_request_is_rejected_that_would_be_sent_in_time() {
    for texts in [3, 12, 25] {
        Scene::behind([ask(1, texts), ask(2, texts)], ask(0, 1)).check_roughly().await;
        Scene::behind([batch(1, texts), batch(2, texts)], batch(0, 1)).check_roughly().await;
    }
}

#[tokio::test(start_paused = true)]
async fn behind_another_class_no_request_is_rejected_that_would_be_sent_in_time() {
    Scene::behind([batch(1, 12)], ask(0, 1)).check_roughly().await;
    Scene::behind([ask(1, 12)], batch(0, 1)).check_roughly().await;
    Scene::behind([ask(1, 4), batch(2, 4), ask(0, 4)], batch(1, 2)).check_roughly().await;
    Scene::behind([batch(0, 12), ask(0, 7)], batch(0, 1)).check_roughly().await;
}

#[tokio::test(start_paused = true)]
async fn a_batch_that_waits_to_go_again_is_ahead() {
    for retry_after in [secs(20), secs(55)] {
        let fault = Some(Fault::RateLimited { retry_after: Some(retry_after), free_tier: false });
        let scene = Scene { fault, ..Scene::behind([ask(0, 2)], ask(0, 4)) };
        scene.check().await;
    }
}

#[tokio::test(start_paused = true)]
async fn the_end_of_a_call_makes_blocked_lanes_try_again() {
    let sized = |lane, texts: &[usize]| Ask { texts: texts.to_vec(), ..batch(lane, 0) };
    // The first part of the last one's texts is out when the rest must wait: the other lane waits for more by then.
    let queue = [sized(2, &[1_712, 425]), sized(2, &[1_764, 825, 2_023])];
    let last = sized(0, &[688, 153, 661, 1_501]);
    let spent = vec![3_000, 2_000, 3_000];
    Scene { spent, ..Scene::behind(queue, last) }.check_roughly().await;
}

#[tokio::test(start_paused = true)]
async fn a_request_that_cannot_wait_does_not_delay_others() {
    let scene = Scene::behind([ask(0, 5)], ask(0, 1));
    let stage = scene.set().await;
    let hasty = Request { max_queue_wait: Some(MINUTE), ..ask(0, 9).request("hasty") };
    let hasty = stage.start(hasty).await;
    assert!(hasty.is_finished(), "nine texts more do not fit into the next minute");
    let last = Request { max_queue_wait: Some(secs(1)), ..scene.last.request("last") };
    let estimate = retry_after(stage.run(last).await);
    let without = scene.outcome().await.estimate;
    assert_close(estimate, without.unwrap());
}

#[tokio::test(start_paused = true)]
async fn the_wait_for_budget_is_known_while_all_calls_are_busy() {
    let settings =
        Settings { batch: batches(10, 1), limits: limits(2, 10_000), ..Settings::default() };
    let fake = Fake { latencies: vec![millis(100), secs(20)], ..Fake::after(Duration::ZERO) };
    let stage = Stage::new(fake, &settings);
    stage.run(request(&["the first call of the minute"])).await.unwrap();
    tokio::time::sleep(secs(10)).await;
    stage.start(request(&["the last, which takes its time"])).await;
    tokio::time::sleep(secs(2)).await;
    for parameters in [parameters(), documents()] {
        let start = Instant::now();
        let hasty = Request { parameters, ..within(&["hasty"], secs(5)) };
        assert_close(retry_after(stage.run(hasty).await), secs(48));
        assert!(start.elapsed() < millis(2), "{:?}", start.elapsed());
    }
}

/// Lanes, classes and callers of the requests that wait.
#[derive(Clone, Copy)]
struct Variety {
    lanes: usize,
    classes: bool,
    callers: u32,
}

const ONE_LANE: Variety = Variety { lanes: 1, classes: false, callers: 1 };
const SEVERAL_LANES: Variety = Variety { lanes: 4, classes: true, callers: 3 };

/// Sizes with a clear number that fits into 10,000: with others, the error of a count can decide it.
fn size() -> impl Strategy<Value = usize> {
    (1..=3_usize).prop_map(|n| n * 1_000)
}

fn any_ask(Variety { lanes, classes, callers }: Variety) -> impl Strategy<Value = Ask> {
    let texts = prop::collection::vec(size(), 1..8);
    (0..lanes, any::<bool>(), 0..callers, texts).prop_map(move |(lane, batch, caller, texts)| {
        let priority = if batch && classes { Priority::Batch } else { Priority::Interactive };
        Ask { lane, priority, caller, texts }
    })
}

prop_compose! {
    fn scene(variety: Variety)(
        rpm in prop_oneof![Just(1_000_u32), 4..10_u32],
        spent in prop::collection::vec(size(), 1..4),
        queue in prop::collection::vec(any_ask(variety), 0..8),
        last in any_ask(variety),
    ) -> Scene {
        Scene { rpm, spent, fault: None, queue, last }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn in_one_lane_the_estimate_is_right(scene in scene(ONE_LANE)) {
        on_a_paused_clock(scene.check());
    }

    #[test]
    fn no_request_is_rejected_that_would_be_sent_in_time(scene in scene(SEVERAL_LANES)) {
        on_a_paused_clock(scene.check_roughly());
    }

    /// With any sizes, a token can decide which item is next: the estimate may be wrong, but no rejection.
    #[test]
    fn with_any_sizes_no_request_is_rejected_that_would_be_sent_in_time(
        scene in prop_oneof![scene(ONE_LANE), scene(SEVERAL_LANES)],
        spent in prop::collection::vec(5..4_000_usize, 1..4),
        sizes in prop::collection::vec(5..3_500_usize, 8..64),
    ) {
        let mut scene = scene;
        scene.spent = spent;
        let texts = scene.queue.iter_mut().chain([&mut scene.last]).flat_map(|ask| &mut ask.texts);
        for (text, size) in texts.zip(sizes.into_iter().cycle()) {
            *text = size;
        }
        on_a_paused_clock(scene.check_roughly());
    }
}
