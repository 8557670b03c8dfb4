//! In any mix of requests, no input is lost, doubled or answered with another's vector, and nothing leaks.

use std::collections::HashSet;

use proptest::prelude::*;

use super::*;

/// One request of a random load.
#[derive(Clone, Debug)]
struct Ask {
    /// Milliseconds after the one before.
    pause: u64,
    /// Numbers of texts; the same number is the same text.
    texts: Vec<usize>,
    lane: usize,
    caller: u32,
    interactive: bool,
    read_only: bool,
    /// Milliseconds until the caller must have the answer.
    patience: u64,
    /// Milliseconds after which the caller leaves.
    leaves: Option<u64>,
}

fn ask() -> impl Strategy<Value = Ask> {
    let texts = prop::collection::vec(0..30_usize, 1..8);
    let leaves = prop::option::weighted(0.2, 0..500_u64);
    let patience = prop_oneof![50..3_000_u64, Just(600_000)];
    (0..60_u64, texts, 0..3_usize, 0..4_u32, any::<[bool; 2]>(), patience, leaves).prop_map(
        |(pause, texts, lane, caller, [interactive, read_only], patience, leaves)| Ask {
            pause,
            texts,
            lane,
            caller,
            interactive,
            read_only,
            patience,
            leaves,
        },
    )
}

fn fault() -> impl Strategy<Value = Option<Fault>> {
    prop_oneof![
        6 => Just(None),
        1 => Just(Some(Fault::Unavailable { retry_after: None })),
        1 => Just(Some(Fault::Unavailable { retry_after: Some(secs(2)) })),
        1 => Just(Some(Fault::RateLimited { retry_after: None, free_tier: false })),
        1 => Just(Some(Fault::RateLimited { retry_after: Some(secs(3)), free_tier: false })),
        1 => Just(Some(Fault::ConnectionLost)),
        1 => Just(Some(Fault::TooManyTokens { limit: None, actual: None })),
    ]
}

prop_compose! {
    fn upstream()(
        latencies in prop::collection::vec(0..300_u64, 1..6),
        named in prop::collection::hash_set(0..30_usize, 0..3),
        unnamed in prop::collection::hash_set(0..30_usize, 0..3),
        most in prop::option::of(1..10_usize),
        script in prop::collection::vec(fault(), 0..30),
    ) -> Fake {
        let of = |numbers: HashSet<usize>| numbers.into_iter().map(text).collect();
        let fake = Fake {
            latencies: latencies.into_iter().map(millis).collect(),
            named: of(named),
            unnamed: of(unnamed),
            most,
            ..Fake::after(Duration::ZERO)
        };
        *fake.script.lock().unwrap() = script.into();
        fake
    }
}

fn text(number: usize) -> String {
    format!("text {number}")
}

fn lanes() -> [Arc<Parameters>; 3] {
    [None, Some(256), Some(512)]
        .map(|dimension| Arc::new(parameters().changed(|of| of.vector.dimension = dimension)))
}

impl Ask {
    fn request(&self, lanes: &[Arc<Parameters>]) -> Request {
        let texts: Vec<String> = self.texts.iter().copied().map(text).collect();
        Request {
            parameters: Arc::clone(&lanes[self.lane]),
            cache_mode: if self.read_only { CacheMode::ReadOnly } else { CacheMode::ReadWrite },
            allow_partial: true,
            priority: if self.interactive { Priority::Interactive } else { Priority::Batch },
            caller: named(&format!("caller {}", self.caller), 1 + self.caller),
            ..within(&texts, millis(self.patience))
        }
    }

    /// Checks the answer, and returns the tokens that were billed for it.
    fn check(&self, fake: &Fake, response: &Response) -> u64 {
        assert_eq!(response.items.len(), self.texts.len());
        for (&number, outcome) in self.texts.iter().zip(&response.items) {
            let text = text(number);
            match &outcome.result {
                Ok(answer) => assert_eq!(answer, &vector_of(&text)),
                Err(Error::Internal { cause }) => panic!("{cause}"),
                Err(_) => {}
            }
            let guilty = fake.named.contains(&text) || fake.unnamed.contains(&text);
            assert!(!guilty || outcome.result.is_err(), "{text} was to be refused");
        }
        response.usage.tokens
    }
}

/// Returns the metric's sum over all callers and `abandoned`.
fn metered(stage: &Stage) -> u64 {
    let page = stage.metrics.render().unwrap();
    let tokens = page.lines().filter(|line| line.starts_with("voyage_gateway_tokens_total{"));
    tokens.map(|line| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap()).sum()
}

async fn check(asks: Vec<Ask>, fake: Fake, batch: Config, rpm: u32) {
    let stage =
        Stage::new(fake, &Settings { batch, limits: limits(rpm, 100_000), ..Settings::default() });
    let lanes = lanes();
    let mut tasks = Vec::new();
    for ask in asks {
        tokio::time::sleep(millis(ask.pause)).await;
        let task = stage.spawn(ask.request(&lanes));
        if let Some(leaves) = ask.leaves {
            let left = task.abort_handle();
            tokio::spawn(async move {
                tokio::time::sleep(millis(leaves)).await;
                left.abort();
            });
        }
        tasks.push((ask, task));
    }
    let mut billed = 0;
    for (ask, task) in tasks {
        match task.await {
            Ok(result) => billed += ask.check(&stage.fake, &result.unwrap()),
            Err(left) => assert!(left.is_cancelled(), "{left}"),
        }
    }
    tokio::time::sleep(MINUTE * 10).await;
    assert_eq!(stage.fake.twice(), HashSet::new(), "in flight twice");
    assert_eq!(metered(&stage), stage.fake.reported());
    assert!(billed <= stage.fake.reported());
    assert_eq!(lanes.iter().map(Arc::strong_count).max(), Some(1), "a lane was left");
    // All calls are free again, in every lane.
    stage.assert_idle(&parameters()).await;
    for parameters in lanes {
        let fresh = Request { parameters, allow_partial: true, ..request(&numbered("fresh", 20)) };
        stage.run(fresh).await.unwrap();
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn nothing_is_lost_doubled_confused_or_leaked(
        asks in prop::collection::vec(ask(), 1..40),
        fake in upstream(),
        max_inputs in 1..12_u32,
        max_in_flight in 1..4_u32,
        rpm in prop_oneof![Just(1_000_u32), 10..60_u32],
    ) {
        let batch = batches(max_inputs, max_in_flight);
        on_a_paused_clock(check(asks, fake, batch, rpm));
    }
}
