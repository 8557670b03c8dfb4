//! Every vector belongs to its text, for any arrangement of hits, duplicates, joined and fresh inputs, splits and
//! refused inputs, in any number of concurrent requests.

use std::collections::HashSet;

use proptest::prelude::*;

use super::{
    fake::{TOKENS, vector_of},
    *,
};
use crate::error::Fault;

/// Few enough that requests overlap, enough that batches differ.
const TEXTS: usize = 9;

#[derive(Clone, Debug)]
struct Ask {
    texts: Vec<usize>,
    mode: CacheMode,
    allow_partial: bool,
    /// When it comes, in milliseconds; a call takes 100.
    at: u64,
}

#[derive(Clone, Debug)]
struct Arrangement {
    asks: Vec<Ask>,
    cached: Vec<usize>,
    named: Vec<usize>,
    unnamed: Vec<usize>,
    max_inputs: u32,
    max_in_flight: u32,
}

fn text(number: usize) -> String {
    format!("text {number}")
}

fn asks() -> impl Strategy<Value = Ask> {
    let mode = prop_oneof![
        4 => Just(CacheMode::ReadWrite),
        1 => Just(CacheMode::ReadOnly),
        1 => Just(CacheMode::Refresh),
        1 => Just(CacheMode::Bypass),
    ];
    let texts = prop::collection::vec(0..TEXTS, 1..8);
    (texts, mode, any::<bool>(), 0..250_u64).prop_map(|(texts, mode, allow_partial, at)| Ask {
        texts,
        mode,
        allow_partial,
        at,
    })
}

fn arrangements() -> impl Strategy<Value = Arrangement> {
    let some = |most| prop::collection::vec(0..TEXTS, 0..most);
    (prop::collection::vec(asks(), 1..8), some(4), some(3), some(3), 1..6_u32, 1..4_u32).prop_map(
        |(asks, cached, named, unnamed, max_inputs, max_in_flight)| Arrangement {
            asks,
            // Refused inputs cannot have been cached.
            cached: cached
                .into_iter()
                .filter(|number| !named.contains(number) && !unnamed.contains(number))
                .collect(),
            named,
            unnamed,
            max_inputs,
            max_in_flight,
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_vector_belongs_to_its_text(arrangement in arrangements()) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap();
        runtime.block_on(check(arrangement))?;
    }
}

async fn check(arrangement: Arrangement) -> Result<(), TestCaseError> {
    let fake = Fake::with(|fake| {
        fake.named = arrangement.named.iter().copied().map(text).collect();
        fake.unnamed = arrangement.unnamed.iter().copied().map(text).collect();
    });
    let bad: HashSet<String> = fake.named.union(&fake.unnamed).cloned().collect();
    let pipeline = pipeline_with(&fake, arrangement.max_inputs, arrangement.max_in_flight);
    warm(&pipeline, &arrangement.cached).await;

    let mut tasks = Vec::new();
    for ask in &arrangement.asks {
        let (pipeline, ask) = (Arc::clone(&pipeline), ask.clone());
        tasks.push(tokio::spawn(async move {
            tokio::time::sleep(Duration::from_millis(ask.at)).await;
            let texts: Vec<String> = ask.texts.iter().copied().map(text).collect();
            let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
            let request = Request { allow_partial: ask.allow_partial, ..in_mode(ask.mode, &texts) };
            pipeline.answer(request).await
        }));
    }

    let mut billed = arrangement.cached.iter().collect::<HashSet<_>>().len() as u64 * TOKENS;
    let mut everyone_stayed = true;
    for (ask, task) in arrangement.asks.iter().zip(tasks) {
        let texts: Vec<String> = ask.texts.iter().copied().map(text).collect();
        match task.await.unwrap() {
            Ok(response) => {
                billed += response.usage.tokens;
                check_answers(&texts, &response, &bad, ask.allow_partial)?;
            }
            Err(error) => {
                everyone_stayed = false;
                prop_assert!(!ask.allow_partial, "a partial request failed: {error}");
                prop_assert!(texts.iter().any(|text| bad.contains(text)), "innocent, yet: {error}");
                check_index(&texts, &error, &fake.named)?;
            }
        }
    }
    // Refreshes and bypasses fetch inputs that are already in flight.
    if arrangement
        .asks
        .iter()
        .all(|ask| matches!(ask.mode, CacheMode::ReadWrite | CacheMode::ReadOnly))
    {
        prop_assert_eq!(fake.twice(), HashSet::new());
    }
    if everyone_stayed {
        prop_assert_eq!(billed, fake.billed(), "tokens billed to callers and by the upstream");
    }
    Ok(())
}

async fn warm(pipeline: &Arc<Pipeline>, cached: &[usize]) {
    let texts: Vec<String> = cached.iter().copied().map(text).collect();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    if !texts.is_empty() {
        pipeline.answer(request(&texts)).await.unwrap();
    }
}

fn check_answers(
    texts: &[String],
    response: &Response,
    bad: &HashSet<String>,
    partial: bool,
) -> Result<(), TestCaseError> {
    prop_assert_eq!(response.items.len(), texts.len());
    for (text, outcome) in texts.iter().zip(&response.items) {
        match &outcome.result {
            Ok(answer) => {
                prop_assert_eq!(answer, &vector_of(text));
                prop_assert!(!bad.contains(text));
            }
            Err(error) => prop_assert!(partial && bad.contains(text), "{text}: {error}"),
        }
    }
    Ok(())
}

/// A named input is named with the caller's own index.
fn check_index(
    texts: &[String],
    error: &Error,
    named: &HashSet<String>,
) -> Result<(), TestCaseError> {
    let Error::Upstream(upstream) = error else {
        return Err(TestCaseError::fail(format!("an unexpected error: {error}")));
    };
    if let Fault::InputTooLong { index, .. } = upstream.fault {
        prop_assert!(named.contains(&texts[index]));
    }
    Ok(())
}
