//! Several keys, and keys that Voyage rejects: callers notice nothing while one is good.

use std::fs;

use super::*;
use crate::upstream::ApiKey;

fn several(names: &[&str]) -> KeySources {
    let secrets: Vec<String> = names.iter().map(|name| format!("pa-{name}")).collect();
    let keys = names.iter().zip(&secrets);
    let keys: Vec<_> =
        keys.map(|(name, secret)| (*name, secret.as_str(), KeyLimits::default())).collect();
    KeySources::several(&keys)
}

fn settings(keys: KeySources) -> Settings {
    Settings { keys, ..Settings::default() }
}

fn key(secret: &str) -> Arc<ApiKey> {
    let keys = KeySources::from(Secret::new(secret)).load(&Metrics::new().unwrap()).unwrap();
    keys.members().next().unwrap().key()
}

fn fake() -> Fake {
    Fake::after(millis(100))
}

/// The aliases of the calls so far, in order.
fn aliases(stage: &Stage) -> Vec<String> {
    stage.fake.calls().iter().map(|call| call.key.to_string()).collect()
}

/// A file that is gone with its test.
struct File(tempfile::TempPath);

impl File {
    fn new(content: &str) -> Self {
        let file = Self(tempfile::NamedTempFile::new().unwrap().into_temp_path());
        file.write(content);
        file
    }

    fn write(&self, content: &str) {
        fs::write(&self.0, content).unwrap();
    }

    fn sources(&self) -> KeySources {
        KeySources::file("VOYAGE_API_KEY_FILE", &self.0)
    }
}

fn failure(result: Result<Response, Error>) -> Arc<crate::error::Upstream> {
    match result {
        Err(Error::Upstream(failure)) => failure,
        other => panic!("{other:?}"),
    }
}

fn gauge(stage: &Stage, alias: &str) -> bool {
    let rendered = stage.metrics.render().unwrap();
    let name = format!("voyage_gateway_upstream_key_rejected{{key=\"{alias}\"}} ");
    let line = rendered.lines().find_map(|line| line.strip_prefix(&name));
    line.expect("a gauge for each key") == "1"
}

fn count(stage: &Stage, metric: &str) -> u64 {
    let rendered = stage.metrics.render().unwrap();
    let line = rendered.lines().find_map(|line| line.strip_prefix(metric)?.strip_prefix(' '));
    line.map_or(0, |value| value.parse().unwrap())
}

#[tokio::test(start_paused = true)]
async fn a_rejected_key_moves_its_traffic_to_the_other() {
    let stage = Stage::new(fake(), &settings(several(&["a", "b"])));
    stage.fake.accept_only([key("pa-b")]);
    let mut calls = Vec::new();
    for number in 0..100 {
        calls.push(stage.spawn(request(&[format!("text {number}")])));
        tokio::time::sleep(millis(20)).await;
    }
    for call in calls {
        let response = call.await.unwrap().unwrap();
        assert!(response.items.iter().all(|outcome| outcome.result.is_ok()));
    }
    // Only the calls that were in flight together met it.
    let rejected = aliases(&stage).iter().filter(|alias| *alias == "a").count();
    assert!((1..=8).contains(&rejected), "{rejected} calls with a bad key");
    assert!(gauge(&stage, "a") && !gauge(&stage, "b"));
    assert_eq!(count(&stage, "voyage_gateway_retries_total"), 0);
}

#[tokio::test(start_paused = true)]
async fn another_key_is_no_retry_and_no_attempt() {
    let keys = settings(several(&["a", "b", "c"]));
    let stage = Stage::new(fake(), &Settings { retry: RetryConfig { max_attempts: 1 }, ..keys });
    stage.fake.accept_only([key("pa-c")]);
    stage.run(request(&["text"])).await.unwrap();
    assert_eq!(aliases(&stage), ["a", "b", "c"]);
    assert_eq!(count(&stage, "voyage_gateway_retries_total"), 0);
    let [first, .., last] = &stage.fake.calls()[..] else { panic!("three calls") };
    assert_eq!(last.at - first.at, millis(100), "at once: the fake refuses half-way");
}

#[tokio::test(start_paused = true)]
async fn while_every_key_is_rejected_nothing_is_sent_and_hits_are_served() {
    let stage = Stage::new(fake(), &settings(several(&["a", "b"])));
    stage.run(request(&["a hit"])).await.unwrap();
    stage.fake.accept_only([]);
    let reported = failure(stage.run(request(&["a miss"])).await);
    assert_eq!(reported.fault, Fault::Unauthenticated);
    assert_eq!(stage.fake.calls().len(), 3, "each key is tried once");
    // One 401 may be a slip: the next two calls try each again.
    for text in ["a try", "another try"] {
        let reported = failure(stage.run(request(&[text])).await);
        assert_eq!(reported.fault, Fault::Unauthenticated);
    }
    let sent = stage.fake.calls().len();
    assert_eq!(sent, 5);
    for number in 0..50 {
        let started = Instant::now();
        let reported = failure(stage.run(request(&[format!("miss {number}")])).await);
        assert_eq!((&reported.fault, reported.status), (&Fault::Unauthenticated, None));
        assert_eq!(started.elapsed(), Duration::ZERO);
        stage.run(request(&["a hit"])).await.unwrap();
    }
    assert_eq!(stage.fake.calls().len(), sent);

    // Voyage takes them back: a few seconds later a call finds out, and all others follow.
    *stage.fake.accepts.lock().unwrap() = None;
    tokio::time::sleep(secs(5)).await;
    stage.run(request(&["a good try"])).await.unwrap();
    stage.run(request(&["another"])).await.unwrap();
    assert_eq!(stage.fake.calls().len(), sent + 2);
}

#[tokio::test(start_paused = true)]
async fn queued_items_fail_when_the_last_key_is_rejected() {
    let keys = settings(several(&["a"]));
    let stage = Stage::new(fake(), &Settings { batch: batches(1, 1), ..keys });
    stage.fake.accept_only([]);
    let started = Instant::now();
    let calls = [0, 1, 2].map(|number| stage.spawn(request(&[format!("text {number}")])));
    for call in calls {
        assert_eq!(failure(call.await.unwrap()).fault, Fault::Unauthenticated);
    }
    assert_eq!((stage.fake.calls().len(), started.elapsed()), (2, millis(100)));
    stage.assert_idle(&parameters()).await;
}

#[tokio::test(start_paused = true)]
async fn a_401_reads_the_file_again_within_the_request() {
    let file = File::new("pa-old");
    let stage = Stage::new(fake(), &settings(file.sources()));
    stage.run(request(&["one"])).await.unwrap();
    file.write("pa-new\n");
    stage.fake.accept_only([key("pa-new")]);
    let response = stage.run(request(&["two"])).await.unwrap();
    assert!(response.items.iter().all(|outcome| outcome.result.is_ok()));
    assert_eq!(stage.fake.sent(), [["one"], ["two"], ["two"]]);
    assert!(!gauge(&stage, "default"), "the current key is valid");
}

#[tokio::test(start_paused = true)]
async fn a_rejected_new_key_falls_back_within_the_request() {
    let file = File::new("pa-old");
    let stage = Stage::new(fake(), &settings(file.sources()));
    stage.fake.accept_only([key("pa-old")]);
    stage.run(request(&["one"])).await.unwrap();
    file.write("pa-mistyped");
    // The poll would do this.
    stage.dispatch.shared.pool.reload();
    for text in ["two", "three", "four"] {
        stage.run(request(&[text])).await.unwrap();
    }
    assert_eq!(stage.fake.calls().len(), 5, "the new key was tried once");
    assert!(gauge(&stage, "default"));
    // The right one, by the same way.
    file.write("pa-new");
    stage.dispatch.shared.pool.reload();
    stage.fake.accept_only([key("pa-new")]);
    stage.run(request(&["five"])).await.unwrap();
    assert_eq!(stage.fake.calls().len(), 6);
    assert!(!gauge(&stage, "default"));
}

#[tokio::test(start_paused = true)]
async fn a_file_that_changes_as_fast_as_it_is_read_ends_a_call_all_the_same() {
    let file = File::new("pa-0");
    let stage = Stage::new(fake(), &settings(file.sources()));
    stage.fake.accept_only([]);
    let call = stage.spawn(request(&["text"]));
    for number in 1.. {
        if call.is_finished() {
            break;
        }
        file.write(&format!("pa-{number}"));
        tokio::time::sleep(millis(10)).await;
    }
    assert_eq!(failure(call.await.unwrap()).fault, Fault::Unauthenticated);
    assert_eq!(stage.fake.calls().len(), 3, "what the file says and said before");
}

#[tokio::test(start_paused = true)]
async fn a_429_of_one_key_is_the_others_business_at_once() {
    let limited = Fault::RateLimited { retry_after: Some(secs(30)), free_tier: false };
    let stage = Stage::new(Fake::failing([Some(limited)]), &settings(several(&["a", "b"])));
    let started = Instant::now();
    stage.run(request(&["text"])).await.unwrap();
    assert_eq!((aliases(&stage), started.elapsed()), (vec!["a".into(), "b".into()], millis(200)));
}

#[tokio::test(start_paused = true)]
async fn the_wait_for_full_keys_ends_with_the_first_free_key() {
    let limits = Settings { limits: limits(1, 1_000_000), ..settings(several(&["a", "b"])) };
    let stage = Stage::new(fake(), &limits);
    stage.run(request(&["one"])).await.unwrap();
    tokio::time::sleep(secs(10)).await;
    stage.run(request(&["two"])).await.unwrap();
    let reported = stage.run(within(&["three"], secs(20))).await;
    let Err(Error::QueueTimeout { retry_after }) = reported else { panic!("{reported:?}") };
    // A minute after the first reply; the second came ten seconds later.
    assert_eq!(retry_after + secs(10) + millis(100), MINUTE);
    tokio::time::sleep(retry_after).await;
    stage.run(within(&["three"], secs(20))).await.unwrap();
    assert_eq!(aliases(&stage), ["a", "b", "a"]);
}

#[tokio::test(start_paused = true)]
async fn a_call_must_fit_one_key_not_both_together() {
    let two = settings(several(&["a", "b"]));
    let limits = Settings { limits: limits(1_000, 1_000), batch: batches(1, 8), ..two };
    let stage = Stage::new(fake(), &limits);
    saturation::calibrate(&stage, 400);
    let words = |count: usize| "word ".repeat(count);
    for text in [words(700), words(701)] {
        stage.run(request(&[text])).await.unwrap();
        tokio::time::sleep(secs(10)).await;
    }
    assert_eq!(aliases(&stage), ["a", "b"]);
    // 300 tokens are left of each.
    let reported = stage.run(within(&[words(450)], secs(20))).await;
    let Err(Error::QueueTimeout { retry_after }) = reported else { panic!("{reported:?}") };
    assert_eq!(retry_after + secs(20) + millis(100), MINUTE);
    stage.run(within(&[words(250)], secs(20))).await.unwrap();
}

/// The estimated waits for several calls over both keys are right.
#[tokio::test(start_paused = true)]
async fn the_wait_behind_other_items_is_estimated_right() {
    let two = settings(several(&["a", "b"]));
    let limits = Settings { limits: limits(1, 1_000_000), batch: batches(1, 8), ..two };
    let stage = Stage::new(fake(), &limits);
    // Both keys' one request of this minute, and of the next two.
    let calls: Vec<_> =
        (0..6).map(|number| stage.spawn(request(&[format!("text {number}")]))).collect();
    tokio::time::sleep(secs(1)).await;
    let reported = stage.run(within(&["text 6"], secs(150))).await;
    let Err(Error::QueueTimeout { retry_after }) = reported else { panic!("{reported:?}") };
    let foretold = Instant::now() + retry_after;
    let seventh = stage.spawn(request(&["text 6"]));
    for call in calls {
        call.await.unwrap().unwrap();
    }
    seventh.await.unwrap().unwrap();
    let sent_at = stage.fake.sent_at("text 6").unwrap();
    // Every minute begins at the end of the previous call.
    let off = sent_at.max(foretold) - sent_at.min(foretold);
    assert!(off <= millis(500), "{off:?}");
}
