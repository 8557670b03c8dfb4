//! The whole corpus, split by the learnt estimate, with tokenizers that differ much.

use rand::{SeedableRng as _, rngs::SmallRng, seq::SliceRandom as _};

use super::*;

/// A model of a tokenizer's counts.
type Truth = fn(&str) -> u64;

/// Pays by the byte, at another rate for each length of character, white space included.
fn by_bytes(text: &str) -> u64 {
    let thirtieths: u64 = text
        .chars()
        .map(|c| match c.len_utf8() {
            1 => 10,
            2 => 36,
            3 => 24,
            _ => 105,
        })
        .sum();
    thirtieths.div_ceil(30).min(text.len() as u64)
}

/// Knows some words better than others; like the real ones it joins marks and white space, and pays for each digit.
fn by_vocabulary(text: &str) -> u64 {
    let kind = |c: char| match c {
        'a'..='z' | 'A'..='Z' => 0,
        '0'..='9' => 1,
        c if c.is_whitespace() => 2,
        c if c.is_ascii() => 3,
        c if c.is_alphabetic() && c.len_utf8() == 2 => 4,
        _ => 5,
    };
    let cost = |run: &[char]| {
        let length = run.len() as u64;
        match kind(run[0]) {
            0 => (length * (1 + u64::from(run[0]) % 3)).div_ceil(12),
            1 => length,
            2 => u64::from(run != [' ']),
            3 => length.div_ceil(2),
            4 => length.div_ceil(4) + 1,
            _ => run.iter().map(|c| if c.len_utf8() == 3 { 1 } else { 3 }).sum(),
        }
    };
    let chars: Vec<char> = text.chars().collect();
    let tokens: u64 = chars.chunk_by(|a, b| kind(*a) == kind(*b)).map(cost).sum();
    tokens.min(text.len() as u64)
}

const TRUTHS: [(&str, Truth); 3] =
    [("simulator", count_tokens), ("bytes", by_bytes), ("vocabulary", by_vocabulary)];

/// The measure of a text, and its true tokens.
type Item = (Measure, u64);

fn items(texts: &[String], truth: Truth) -> Vec<Item> {
    texts.iter().map(|text| (Measure::estimate(text), truth(text))).collect()
}

/// Learns from the report of a call with these items, and returns it.
fn learn(counter: &Counter, model: &str, call: &[Item]) -> u64 {
    let measures: Vec<Measure> = call.iter().map(|(measure, _)| *measure).collect();
    let reported = call.iter().map(|(_, tokens)| tokens).sum();
    counter.learn(&model.into(), &measures, reported);
    reported
}

/// Splits items into calls under the cap, each learnt from, and returns their true tokens. What goes alone,
/// because its own bound is above the cap, is left out: there is nothing to split.
fn split(counter: &Counter, items: &[Item], cap: u64) -> Vec<u64> {
    let (mut calls, mut call, mut bound) = (vec![], vec![], 0);
    for item in items {
        let next = counter.bound(MODEL, &item.0);
        if next > cap {
            continue;
        }
        if bound + next > cap {
            calls.push(learn(counter, MODEL, &call));
            call.clear();
            bound = 0;
        }
        bound += next;
        call.push(*item);
    }
    calls
}

#[test]
fn splitting_is_right_the_first_time_on_the_whole_corpus() {
    let texts = texts();
    let mut random = SmallRng::seed_from_u64(1);
    for (name, truth) in TRUTHS {
        let in_order = items(&texts, truth);
        for cap in [120_000, 10_000] {
            // Once language by language, once in a mixture.
            for first_is_mixed in [false, true] {
                let mut items = in_order.clone();
                if first_is_mixed {
                    items.shuffle(&mut random);
                }
                let counter = counter();
                for call in items.chunks(128) {
                    learn(&counter, MODEL, call);
                }
                let calls: Vec<u64> = (0..4)
                    .flat_map(|_| {
                        items.shuffle(&mut random);
                        split(&counter, &items, cap)
                    })
                    .collect();
                let most = calls.iter().max().unwrap();
                assert!(*most <= cap, "{name}: a call of {most} tokens under a cap of {cap}");
                let fill = calls.iter().sum::<u64>() * 100 / (cap * calls.len() as u64);
                assert!(fill >= 75, "{name}: calls are {fill} % full under a cap of {cap}");
            }
        }
    }
}

#[test]
fn each_model_is_learnt_by_itself() {
    let (texts, counter) = (texts(), counter());
    let models = TRUTHS.map(|(name, truth)| (name, items(&texts, truth)));
    for start in (0..texts.len()).step_by(128) {
        for (model, items) in &models {
            learn(&counter, model, &items[start..texts.len().min(start + 128)]);
        }
    }
    for (model, items) in models {
        // Prose and code; the last are artificial texts.
        for call in items[..items.len().min(2_944)].chunks(128) {
            let tokens: u64 = call.iter().map(|(_, tokens)| tokens).sum();
            let guess: u64 = call.iter().map(|(measure, _)| counter.guess(model, measure)).sum();
            let percent = guess * 100 / tokens;
            assert!((75..=133).contains(&percent), "{model}: guessed {percent} %");
        }
    }
}

#[test]
fn a_script_that_was_never_seen_keeps_its_margin() {
    let counter = counter();
    let texts: Vec<String> = texts().into_iter().filter(|text| text.is_ascii()).collect();
    for call in items(&texts, count_tokens).chunks(128) {
        learn(&counter, MODEL, call);
    }
    let margin = |text: &str| {
        let measure = Measure::estimate(&text.repeat(50));
        counter.bound(MODEL, &measure) * 100 / counter.guess(MODEL, &measure) - 100
    };
    let (english, chinese) = (margin("a text like many others. "), margin("又一段文字"));
    assert!(english <= 30, "{english} %");
    assert!(chinese >= 50, "{chinese} %");
}
