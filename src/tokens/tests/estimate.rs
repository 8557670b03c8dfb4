use proptest::{collection::vec, prelude::*};

use super::*;

/// A text of many classes of characters.
fn text() -> impl Strategy<Value = String> {
    "([a-zA-Z]{1,9}|[0-9;{}_]{1,3}| {1,4}|\n|[éß—]|[а-я]{1,6}|[漢字かな한]{1,4}|[👍ไ]|.){0,30}"
}

/// Possible reports, correct or not.
fn report() -> impl Strategy<Value = u64> {
    prop_oneof![Just(0), Just(1), Just(u64::MAX), any::<u64>(), 1..2_000_u64]
}

fn learned(calls: &[(Vec<String>, u64)]) -> Counter {
    let counter = counter();
    for (texts, reported) in calls {
        let measures: Vec<Measure> = texts.iter().map(|text| Measure::estimate(text)).collect();
        counter.learn(&MODEL.into(), &measures, *reported);
    }
    counter
}

fn guess(counter: &Counter, text: &str) -> u64 {
    counter.guess(MODEL, &counter.measure(MODEL, [text]))
}

fn bound(counter: &Counter, text: &str) -> u64 {
    counter.bound(MODEL, &counter.measure(MODEL, [text]))
}

const PROSE: &str =
    "Nobody counts the words of a sentence like this one, and yet all of them are paid for. ";

proptest! {
    #[test]
    fn a_bound_is_between_guess_and_bytes(calls in vec((vec(text(), 0..4), report()), 0..40), text in text()) {
        let counter = learned(&calls);
        let (guess, bound) = (guess(&counter, &text), bound(&counter, &text));
        prop_assert!(u64::from(!text.is_empty()) <= guess && guess <= bound);
        prop_assert!(bound <= text.len() as u64);
    }

    #[test]
    fn more_text_is_no_fewer_tokens(calls in vec((vec(text(), 0..4), report()), 0..40), a in text(), b in text()) {
        let whole = format!("{a}{b}");
        let after = learned(&calls);
        prop_assert!(guess(&after, &a) <= guess(&after, &whole));
        // A word that `b` begins may be the end of one that `a` begins.
        prop_assert!(guess(&after, &b) <= guess(&after, &whole) + 3);
        let fresh = counter();
        prop_assert!(bound(&fresh, &a) <= bound(&fresh, &whole));
    }

    #[test]
    fn no_report_makes_a_bound_too_small(reports in vec(report(), 0..200)) {
        let calls: Vec<_> = reports.iter().map(|report| (vec![PROSE.repeat(10)], *report)).collect();
        let counter = learned(&calls);
        let text = PROSE.repeat(100);
        prop_assert!(bound(&counter, &text) >= text.len() as u64 / 12);
    }
}

#[test]
fn what_cannot_be_is_not_learnt() {
    let counter = counter();
    let measure = counter.measure(MODEL, [PROSE]);
    let before = (counter.guess(MODEL, &measure), counter.bound(MODEL, &measure));
    for reported in [0, PROSE.len() as u64 + 2, u64::MAX] {
        counter.learn(&MODEL.into(), &[measure], reported);
    }
    counter.learn(&MODEL.into(), &[], 1);
    assert_eq!((counter.guess(MODEL, &measure), counter.bound(MODEL, &measure)), before);
}

#[test]
fn what_may_have_been_cut_is_not_learnt() {
    let counter = counter();
    let long = counter.measure("voyage-2", [&*PROSE.repeat(400)]);
    let before = counter.bound("voyage-2", &long);
    counter.learn(&"voyage-2".into(), &[long], 4_000);
    assert_eq!(counter.bound("voyage-2", &long), before);
}

#[test]
fn the_truth_wins_over_earlier_lies() {
    let counter = counter();
    let measure = counter.measure(MODEL, [&*PROSE.repeat(20)]);
    for _ in 0..100 {
        counter.learn(&MODEL.into(), &[measure], 1);
        counter.learn(&MODEL.into(), &[measure], 20 * PROSE.len() as u64);
    }
    for _ in 0..60 {
        counter.learn(&MODEL.into(), &[measure; 20], 20 * 400);
    }
    let (guess, bound) = (counter.guess(MODEL, &measure), counter.bound(MODEL, &measure));
    assert!((380..=420).contains(&guess) && bound <= 500, "{guess}, {bound}");
}

#[test]
fn a_report_beyond_the_bound_raises_it() {
    let counter = counter();
    let calls =
        |tokens| counter.learn(&MODEL.into(), &[counter.measure(MODEL, [PROSE]); 100], tokens);
    (0..50).for_each(|_| calls(2_000));
    let before = bound(&counter, PROSE);
    calls(3_000);
    let after = bound(&counter, PROSE);
    assert!(before < 25 && after >= 27, "{before}, then {after}");
}

#[test]
fn names_beyond_the_sixty_fourth_share_one_estimate() {
    let counter = counter();
    let measure = counter.measure(MODEL, [&*PROSE.repeat(20)]);
    for name in 0..MAX_MODELS + 10 {
        counter.learn(&name.to_string().as_str().into(), &[measure; 20], 20 * 600);
    }
    assert_eq!(counter.estimates().models.len(), MAX_MODELS);
    let shared = counter.guess("70", &measure);
    assert_eq!(counter.guess("never seen", &measure), shared);
    // It has seen ten calls, the others one each.
    assert_ne!(counter.guess("0", &measure), shared);
}

#[test]
fn clones_learn_together() {
    let counter = counter();
    let measure = counter.measure(MODEL, [&*PROSE.repeat(20)]);
    let before = counter.guess(MODEL, &measure);
    counter.clone().learn(&MODEL.into(), &[measure; 20], 20 * 800);
    assert!(counter.guess(MODEL, &measure) > before);
}
