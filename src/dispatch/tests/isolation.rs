//! Batches against an upstream within the test.

use std::{
    collections::HashSet,
    sync::{Mutex, mpsc},
    time::Duration,
};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use proptest::prelude::*;

use super::{apportion::apportion, *};
use crate::{
    embedding::{Dtype, Endpoint, Vector},
    error::{Fault, Upstream as UpstreamError},
    upstream::Reply,
};

/// Answers with the text itself; refuses what it is told to.
#[derive(Default)]
struct Fake {
    named: HashSet<String>,
    unnamed: HashSet<String>,
    /// Texts one call may have; more are "too many tokens".
    most: Option<usize>,
    /// What every call is refused with.
    refuses: Option<Fault>,
    calls: Mutex<Vec<(Vec<String>, bool)>>,
}

impl Fake {
    fn verdict(&self, texts: &[String]) -> Option<Fault> {
        if let Some(fault) = &self.refuses {
            return Some(fault.clone());
        }
        if self.most.is_some_and(|most| texts.len() > most) {
            return Some(Fault::TooManyTokens { limit: None, actual: None });
        }
        if let Some(index) = texts.iter().position(|text| self.named.contains(text)) {
            return Some(Fault::InputTooLong { index, limit: None });
        }
        let unnamed = texts.iter().any(|text| self.unnamed.contains(text));
        unnamed.then_some(Fault::InvalidRequest { detail: None, field: None })
    }
}

impl Upstream for Fake {
    fn call<'a>(
        &'a self,
        parameters: &'a Parameters,
        inputs: &'a [&'a Input],
    ) -> BoxFuture<'a, Result<Reply, Error>> {
        let texts: Vec<String> = inputs.iter().map(|input| text_of(input)).collect();
        let verdict = self.verdict(&texts);
        self.calls.lock().unwrap().push((texts.clone(), verdict.is_none()));
        Box::pin(async move {
            match verdict {
                Some(fault) => Err(Error::Upstream(Arc::new(UpstreamError {
                    fault,
                    endpoint: parameters.endpoint,
                    model: parameters.model.clone(),
                    status: Some(400),
                    attempts: 1,
                    request_id: None,
                }))),
                None => Ok(Reply {
                    total_tokens: Some(texts.len() as u64),
                    answers: texts.into_iter().map(|text| answer_of(&text)).collect(),
                    request_id: None,
                    warning: None,
                }),
            }
        })
    }
}

fn text_of(input: &Input) -> String {
    match input {
        Input::Text(text) => text.clone(),
    }
}

fn answer_of(text: &str) -> Answer {
    Answer::Vector(Vector::new(Bytes::copy_from_slice(text.as_bytes())))
}

/// What landed, by text.
type Landed = (String, Option<Result<Answer, Error>>);

#[derive(Debug)]
struct Probe {
    text: String,
    wanted: bool,
    landed: mpsc::Sender<Landed>,
    told: bool,
}

impl Waiter for Probe {
    fn wanted_until(&self) -> Option<Instant> {
        self.wanted.then(|| Instant::now() + Duration::from_mins(1))
    }

    fn depart(&self) -> bool {
        self.wanted
    }

    fn turn_back(&self) {}

    fn excuse(&self, _: Instant, _: &Error) {}

    fn abandon(self: Box<Self>) {}

    fn land(mut self: Box<Self>, result: Result<Answer, Error>, _: Bill) {
        self.told = true;
        let _ = self.landed.send((self.text.clone(), Some(result)));
    }
}

impl Drop for Probe {
    fn drop(&mut self) {
        if !self.told {
            let _ = self.landed.send((self.text.clone(), None));
        }
    }
}

/// Sends the texts through one dispatch and waits until every item has landed or was dropped.
async fn send(fake: &Arc<Fake>, texts: &[String], max_inputs: u32, unwanted: &str) -> Vec<Landed> {
    let dispatch = Dispatch::start(Parts {
        batch: &Config { max_inputs, ..Config::default() },
        // Bisecting takes more calls than the provider's first tier has in a minute.
        limits: &LimitsConfig { rpm: Some(1_000_000), ..LimitsConfig::default() },
        retry: &RetryConfig { max_attempts: 1 },
        breaker: &BreakerConfig::default(),
        counter: Counter::new(&crate::tokens::Config::default()).unwrap(),
        upstream: Arc::clone(fake) as Arc<dyn Upstream>,
        metrics: Metrics::new().unwrap(),
    });
    let parameters = Arc::new(Parameters {
        endpoint: Endpoint::Embeddings,
        model: Arc::from("voyage-4"),
        input_type: None,
        dimension: None,
        dtype: Dtype::Float,
        truncation: true,
    });
    let (sender, receiver) = mpsc::channel();
    let items = texts
        .iter()
        .zip(0..)
        .map(|(text, id)| {
            let (text, landed) = (text.clone(), sender.clone());
            let wanted = text != unwanted;
            Item {
                id,
                input: Input::Text(text.clone()),
                priority: Priority::Interactive,
                caller: Caller::anonymous(),
                waiter: Box::new(Probe { text, wanted, landed, told: false }),
            }
        })
        .collect();
    drop(sender);
    dispatch.submit(&parameters, items);
    let mut landed = Vec::new();
    while landed.len() < texts.len() {
        tokio::task::yield_now().await;
        landed.extend(receiver.try_iter());
    }
    landed
}

fn texts(count: usize) -> Vec<String> {
    (0..count).map(|number| format!("text {number}")).collect()
}

#[tokio::test]
async fn items_beyond_the_largest_batch_go_as_further_batches() {
    let fake = Arc::new(Fake::default());
    send(&fake, &texts(2_500), 1_000, "").await;
    let mut sizes: Vec<usize> =
        fake.calls.lock().unwrap().iter().map(|(texts, _)| texts.len()).collect();
    sizes.sort_unstable();
    assert_eq!(sizes, [500, 1_000, 1_000]);
}

#[tokio::test]
async fn what_nobody_wants_is_not_sent() {
    let fake = Arc::new(Fake::default());
    let landed = send(&fake, &texts(3), 1_000, "text 1").await;
    assert_eq!(fake.calls.lock().unwrap()[0].0, ["text 0", "text 2"]);
    assert_eq!(landed.iter().filter(|(_, result)| result.is_none()).count(), 1);
}

#[tokio::test]
async fn failures_of_the_whole_request_are_everybodys_and_cost_one_call() {
    let whole = [
        Fault::ModelNotSupported,
        Fault::Unauthenticated,
        Fault::RateLimited { retry_after: None, free_tier: false },
        Fault::InvalidRequest { detail: None, field: Some("output_dimension") },
        Fault::InvalidRequest { detail: None, field: Some("request") },
        Fault::Timeout,
    ];
    for fault in whole {
        let fake = Arc::new(Fake { refuses: Some(fault.clone()), ..Fake::default() });
        let landed = send(&fake, &texts(64), 1_000, "").await;
        assert_eq!(fake.calls.lock().unwrap().len(), 1, "{fault:?}");
        assert!(landed.iter().all(|(_, result)| matches!(result, Some(Err(_)))));
    }
}

#[tokio::test]
async fn an_index_that_names_nobody_is_bisected() {
    let refuses = Some(Fault::InputTooLong { index: 99, limit: None });
    let fake = Arc::new(Fake { refuses, ..Fake::default() });
    let landed = send(&fake, &texts(4), 1_000, "").await;
    assert!(landed.iter().all(|(_, result)| matches!(result, Some(Err(_)))));
}

#[tokio::test]
async fn a_single_input_with_too_many_tokens_fails_by_itself() {
    let fake = Arc::new(Fake { most: Some(0), ..Fake::default() });
    let landed = send(&fake, &texts(1), 1_000, "").await;
    assert!(matches!(landed[0].1, Some(Err(_))));
    assert_eq!(fake.calls.lock().unwrap().len(), 1);
}

/// ⌈log2 n⌉.
fn log2_up(n: usize) -> usize {
    n.next_power_of_two().trailing_zeros() as usize
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_innocent_are_answered_and_the_guilty_refused(
        count in 1..40_usize,
        named in prop::collection::hash_set(0..40_usize, 0..4),
        unnamed in prop::collection::hash_set(0..40_usize, 0..4),
        most in prop::option::of(1..20_usize),
    ) {
        let name = |numbers: &HashSet<usize>| {
            numbers.iter().filter(|number| **number < count).map(|number| format!("text {number}")).collect()
        };
        let (named, unnamed): (HashSet<String>, HashSet<String>) = (name(&named), name(&unnamed));
        let fake = Arc::new(Fake { named, unnamed, most, ..Fake::default() });
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let landed = runtime.block_on(send(&fake, &texts(count), 1_000, ""));

        prop_assert_eq!(landed.len(), count);
        for (text, result) in landed {
            let guilty = fake.named.contains(&text) || fake.unnamed.contains(&text);
            match result {
                Some(Ok(answer)) => {
                    prop_assert!(!guilty);
                    prop_assert_eq!(answer, answer_of(&text));
                }
                Some(Err(_)) => prop_assert!(guilty, "{} is innocent", text),
                None => prop_assert!(false, "{} was dropped", text),
            }
        }
    }

    #[test]
    fn one_unnamed_input_costs_few_refused_calls(count in 1..200_usize, guilty in 0..200_usize) {
        let unnamed = [format!("text {}", guilty % count)].into();
        let fake = Arc::new(Fake { unnamed, ..Fake::default() });
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(send(&fake, &texts(count), 1_000, ""));
        let refused = fake.calls.lock().unwrap().iter().filter(|(_, answered)| !answered).count();
        prop_assert!(refused <= log2_up(count) + 1, "{refused} of {count}");
    }

    #[test]
    fn shares_add_up_and_follow_the_weights(
        total in 0..u64::MAX / 2,
        weights in prop::collection::vec(0..1_000_000_u64, 1..50),
    ) {
        let shares = apportion(total, &weights);
        prop_assert_eq!(shares.iter().map(|share| u128::from(*share)).sum::<u128>(), u128::from(total));
        let sum: u128 = weights.iter().map(|weight| u128::from(*weight)).sum();
        for (share, weight) in shares.iter().zip(&weights) {
            let exact = (u128::from(total) * u128::from(*weight)).checked_div(sum);
            if let Some(exact) = exact {
                prop_assert!(u128::from(*share).abs_diff(exact) <= 1);
            }
        }
    }
}

#[test]
fn tokens_without_weights_are_divided_evenly() {
    assert_eq!(apportion(5, &[0, 0, 0]), [2, 2, 1]);
    assert_eq!(apportion(0, &[3, 4]), [0, 0]);
    assert_eq!(apportion(3, &[]), [0; 0]);
}
