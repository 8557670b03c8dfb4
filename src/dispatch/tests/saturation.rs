//! Under more load than fits, the budget is used to the full and never exceeded, and queries do not wait for bulk.

use std::sync::Mutex;

use super::*;

/// Both sides' limits, and a load that is more than they allow.
#[derive(Clone)]
struct Load {
    /// Each has the limits.
    keys: KeySources,
    rpm: u32,
    tpm: u64,
    batch: Config,
    latency: Duration,
    /// Tokens of a bulk document, and how many there are in a request.
    document: usize,
    documents: usize,
    /// The time between two queries; any other items may share their lane.
    query_every: Duration,
    queries: Arc<Parameters>,
}

/// The result: used budget in percent of all keys', and the queries' times.
struct Used {
    requests: f64,
    tokens: f64,
    p99: Duration,
}

fn query() -> Arc<Parameters> {
    Arc::new(parameters().changed(|of| of.vector.input_type = Some(InputType::Query)))
}

/// Keeps one request of a bulk caller waiting for as long as the load lasts.
async fn send_in_bulk(stage: Stage, load: Load, caller: usize) {
    let words = "word ".repeat(load.document);
    for number in 0.. {
        // Every third request has documents of other lengths.
        let words = if number % 3 == 2 { &words[..words.len() / 2] } else { &words };
        let texts: Vec<String> =
            (0..load.documents).map(|n| format!("{caller} {number} {n} {words}")).collect();
        let request = bulk(&texts, &format!("caller {caller}"));
        stage.run(Request { parameters: documents(), ..request }).await.unwrap();
    }
}

/// Asks at a steady pace and notes how long the answers take.
async fn ask(stage: Stage, load: Load, times: Arc<Mutex<Vec<Duration>>>) {
    for number in 0.. {
        tokio::time::sleep(load.query_every).await;
        let (stage, times) = (stage.clone(), Arc::clone(&times));
        let parameters = Arc::clone(&load.queries);
        tokio::spawn(async move {
            let start = Instant::now();
            let text = [format!("what is the answer to question {number}?")];
            stage.run(Request { parameters, ..request(&text) }).await.unwrap();
            times.lock().unwrap().push(start.elapsed());
        });
    }
}

/// Trains the estimate: a new one reserves twice the tokens of such texts, which other tests cover.
pub(super) fn calibrate(stage: &Stage, words: usize) {
    let counter = &stage.dispatch.shared.counter;
    let text = format!("1 2 3 {}", "word ".repeat(words));
    for _ in 0..20 {
        let measures = vec![counter.measure(MODEL, [text.as_str()]); 50];
        counter.learn(&MODEL.into(), &measures, fake::tokens_of(&text) * 50);
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts of a test")]
async fn three_minutes(load: &Load, bulk_callers: usize) -> Used {
    let fake = Fake { limits: Some((load.rpm as usize, load.tpm)), ..Fake::after(load.latency) };
    let batch = load.batch.clone();
    let (limits, keys) = (limits(load.rpm, load.tpm), load.keys.clone());
    let settings = Settings { batch, limits, keys, ..Settings::default() };
    let stage = Stage::new(fake, &settings);
    calibrate(&stage, load.document);
    let times = Arc::default();
    let mut tasks = tokio::task::JoinSet::new();
    for caller in 0..bulk_callers {
        tasks.spawn(send_in_bulk(stage.clone(), load.clone(), caller));
    }
    tasks.spawn(ask(stage.clone(), load.clone(), Arc::clone(&times)));
    tokio::time::sleep(MINUTE * 3).await;
    tasks.shutdown().await;

    assert_eq!(stage.fake.refused(), 0, "429s");
    let (requests, tokens) = stage.fake.counted(MODEL);
    let keys = f64::from(u32::try_from(stage.dispatch.shared.pool.len()).unwrap());
    let mut times = std::mem::take(&mut *times.lock().unwrap());
    times.sort_unstable();
    let p99 = times.get(times.len() * 99 / 100).copied().unwrap_or_default();
    let outcome = Used {
        requests: requests as f64 * 100.0 / (f64::from(load.rpm) * 3.0 * keys),
        tokens: tokens as f64 * 100.0 / (load.tpm as f64 * 3.0 * keys),
        p99,
    };
    println!(
        "{:.1} % of the requests, {:.1} % of the tokens, queries' p99 {:?} of {}",
        outcome.requests,
        outcome.tokens,
        outcome.p99,
        times.len()
    );
    outcome
}

fn tier_1() -> Load {
    Load {
        keys: Settings::default().keys,
        rpm: 2_000,
        tpm: 3_000_000,
        batch: Config::default(),
        latency: millis(400),
        document: 400,
        documents: 200,
        query_every: millis(50),
        queries: query(),
    }
}

#[tokio::test(start_paused = true)]
async fn bulk_uses_tier_1s_tokens_and_queries_wait_for_one_call_at_most() {
    let load = tier_1();
    let alone = three_minutes(&load, 0).await.p99;
    for queries in [query(), documents()] {
        let loaded = three_minutes(&Load { queries, ..load.clone() }, 8).await;
        assert!(loaded.tokens >= 95.0, "{} %", loaded.tokens);
        let most = alone * 2 + load.latency;
        assert!(loaded.p99 <= most, "{:?} beside bulk, {alone:?} alone", loaded.p99);
    }
}

#[tokio::test(start_paused = true)]
async fn single_texts_use_tier_1s_requests() {
    let load = Load { batch: batches(1, 8), latency: millis(100), document: 20, ..tier_1() };
    // One request a second is reserved for queries.
    let load = Load { documents: 20, query_every: secs(2), ..load };
    let alone = three_minutes(&load, 0).await.p99;
    let loaded = three_minutes(&load, 8).await;
    assert!(loaded.requests >= 95.0, "{} %", loaded.requests);
    assert!(loaded.p99 <= alone * 2 + load.latency, "{:?} beside bulk", loaded.p99);
}

#[tokio::test(start_paused = true)]
async fn bulk_uses_the_free_tiers_tokens() {
    for document in [100, 400] {
        let load = Load { rpm: 3, tpm: 10_000, document, documents: 60, ..tier_1() };
        // A query of its own lane would take a third of the requests, and they would bind.
        let load = Load { query_every: MINUTE, queries: documents(), ..load };
        let loaded = three_minutes(&load, 4).await;
        // A call holds the whole minute here, so the margin of its estimate is lost.
        assert!(loaded.tokens >= 95.0, "{} %", loaded.tokens);
    }
}

#[tokio::test(start_paused = true)]
async fn small_texts_use_the_free_tiers_requests() {
    let load = Load { rpm: 3, tpm: 10_000, document: 20, documents: 3, ..tier_1() };
    let loaded = three_minutes(&Load { query_every: MINUTE, ..load }, 8).await;
    assert!(loaded.requests >= 95.0, "{} %", loaded.requests);
}

fn two_keys() -> KeySources {
    let limits = KeyLimits::default();
    KeySources::several(&[("a", "pa-a", limits), ("b", "pa-b", limits)])
}

#[tokio::test(start_paused = true)]
async fn two_keys_are_used_to_the_full() {
    let load = Load { keys: two_keys(), tpm: 1_000_000, latency: millis(200), ..tier_1() };
    let loaded = three_minutes(&load, 8).await;
    assert!(loaded.tokens >= 95.0, "{} % of the tokens", loaded.tokens);

    let load = Load { batch: batches(1, 16), latency: millis(100), document: 20, ..load };
    let loaded = three_minutes(&Load { documents: 40, query_every: secs(2), ..load }, 12).await;
    assert!(loaded.requests >= 95.0, "{} % of the requests", loaded.requests);
}
