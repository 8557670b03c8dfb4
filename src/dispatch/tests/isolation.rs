//! One caller's bad input never fails another's, and tokens are divided to the last.

use std::collections::HashSet;

use proptest::prelude::*;

use super::{super::isolate::apportion, *};

/// Sends the texts as one request and returns the result of each.
async fn send(fake: Fake, texts: &[String]) -> (Vec<Result<Answer, Error>>, Arc<Fake>) {
    // Every failure is final, so that calls are those of taking apart alone.
    let settings = Settings { retry: RetryConfig { max_attempts: 1 }, ..Settings::default() };
    let stage = Stage::new(fake, &settings);
    let request = Request { allow_partial: true, ..request(texts) };
    let outcomes = stage.run(request).await.unwrap().items;
    (outcomes.into_iter().map(|outcome| outcome.result).collect(), stage.fake)
}

/// Answers at once, and some texts not at all.
fn refusing(named: HashSet<String>, unnamed: HashSet<String>, most: Option<usize>) -> Fake {
    Fake { named, unnamed, most, ..Fake::after(Duration::ZERO) }
}

fn down(fault: Fault) -> Fake {
    let fake = Fake::after(Duration::ZERO);
    *fake.down.lock().unwrap() = Some(fault);
    fake
}

#[tokio::test(start_paused = true)]
async fn items_beyond_the_largest_batch_go_as_further_batches() {
    let (_, fake) = send(Fake::after(Duration::ZERO), &numbered("text", 2_500)).await;
    let mut sizes: Vec<usize> = fake.sent().iter().map(Vec::len).collect();
    sizes.sort_unstable();
    assert_eq!(sizes, [500, 1_000, 1_000]);
}

#[tokio::test(start_paused = true)]
async fn a_failure_of_the_whole_request_fails_all_items_and_costs_one_call() {
    let whole = [
        Fault::ModelNotSupported,
        Fault::Unauthenticated,
        Fault::RateLimited { retry_after: None, free_tier: false },
        Fault::InvalidRequest { detail: None, field: Some("output_dimension") },
        Fault::InvalidRequest { detail: None, field: Some("request") },
        Fault::Timeout,
    ];
    for fault in whole {
        let (results, fake) = send(down(fault.clone()), &numbered("text", 64)).await;
        assert_eq!(fake.calls().len(), 1, "{fault:?}");
        assert!(results.iter().all(Result::is_err));
    }
}

#[tokio::test(start_paused = true)]
async fn an_index_out_of_range_is_bisected() {
    let fault = Fault::InputTooLong { index: 99, limit: None };
    let (results, fake) = send(down(fault), &numbered("text", 4)).await;
    assert!(results.iter().all(Result::is_err));
    assert_eq!(fake.calls().len(), 7);
}

#[tokio::test(start_paused = true)]
async fn a_single_input_with_too_many_tokens_fails_by_itself() {
    let fake = refusing(HashSet::new(), HashSet::new(), Some(0));
    let (results, fake) = send(fake, &numbered("text", 1)).await;
    assert!(results[0].is_err());
    assert_eq!(fake.calls().len(), 1);
}

/// ⌈log2 n⌉.
fn log2_up(n: usize) -> usize {
    n.next_power_of_two().trailing_zeros() as usize
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_innocent_are_answered_and_the_guilty_refused(
        count in 1..40_usize,
        named in prop::collection::hash_set(0..40_usize, 0..4),
        unnamed in prop::collection::hash_set(0..40_usize, 0..4),
        most in prop::option::of(1..20_usize),
    ) {
        let texts = numbered("text", count);
        let of = |numbers: &HashSet<usize>| -> HashSet<String> {
            numbers.iter().filter_map(|number| texts.get(*number).cloned()).collect()
        };
        let fake = refusing(of(&named), of(&unnamed), most);
        let (results, fake) = on_a_paused_clock(send(fake, &texts));
        for (text, result) in texts.iter().zip(results) {
            let guilty = fake.named.contains(text) || fake.unnamed.contains(text);
            prop_assert_eq!(result.is_err(), guilty, "{}", text);
            if let Ok(answer) = result {
                prop_assert_eq!(answer, vector_of(text));
            }
        }
    }

    #[test]
    fn one_unnamed_input_costs_few_refused_calls(count in 1..200_usize, guilty in 0..200_usize) {
        let texts = numbered("text", count);
        let guilty = &texts[guilty % count];
        let fake = refusing(HashSet::new(), [guilty.clone()].into(), None);
        let (_, fake) = on_a_paused_clock(send(fake, &texts));
        let refused = fake.sent().iter().filter(|texts| texts.contains(guilty)).count();
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
