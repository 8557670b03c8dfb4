//! The whole corpus, split by what was learnt from it, under tokenizers that are quite unlike.

use rand::{SeedableRng as _, rngs::SmallRng, seq::SliceRandom as _};

use super::*;

/// A tokenizer, as far as anybody can tell from its counts.
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

/// Knows whole words, or else half or more of their pieces; as the real ones it joins marks, pays for digits one by
/// one, and takes indentation at once.
fn by_vocabulary(text: &str) -> u64 {
    let kind = |c: char| match c {
        'a'..='z' | 'A'..='Z' => 0,
        '0'..='9' => 1,
        c if c.is_whitespace() => 2,
        c if c.is_ascii() => 3,
        c if c.is_alphabetic() && c.len_utf8() == 2 => 4,
        _ => 5,
    };
    let chars: Vec<char> = text.chars().collect();
    let cost = |run: &[char]| {
        let length = run.len() as u64;
        match kind(run[0]) {
            // What is known depends on the word.
            0 => (length * (1 + u64::from(run[0]) % 3)).div_ceil(12),
            1 => length,
            2 => u64::from(run != [' ']),
            3 => length.div_ceil(2),
            4 => length.div_ceil(4) + 1,
            _ => run.iter().map(|c| if c.len_utf8() == 3 { 1 } else { 3 }).sum(),
        }
    };
    let tokens: u64 = chars.chunk_by(|a, b| kind(*a) == kind(*b)).map(cost).sum();
    tokens.min(text.len() as u64)
}

struct Run {
    worst: f64,
    fill: f64,
    worst_fill: f64,
    batches: usize,
}

fn second_pass(counter: &Counter, learns: bool, texts: &[String], truth: Truth, cap: u64) -> Run {
    let mut run = Run { worst: 0.0, fill: 0.0, worst_fill: 1.0, batches: 0 };
    let (mut bound, mut tokens, mut batch) = (0, 0, vec![]);
    for text in texts {
        let measure = counter.measure(MODEL, text);
        let next = counter.bound(MODEL, &measure);
        if next > cap { continue; }
        if bound + next > cap {
            run.worst = run.worst.max(tokens as f64 / cap as f64);
            run.fill += tokens as f64 / cap as f64;
            run.worst_fill = run.worst_fill.min(tokens as f64 / cap as f64);
            run.batches += 1;
            if learns { counter.learn(MODEL, &batch, tokens); } (bound, tokens) = (0, 0); batch.clear();
        }
        bound += next;
        tokens += truth(text);
        batch.push(measure);
    }
    run.fill /= run.batches as f64;
    run
}

#[test]
fn probe() {
    let qwen = std::env::var("QWEN").ok().map(|path| {
        Counter::new(&Config { models: [(MODEL.to_owned(), ModelConfig { tokenizer: path.into() })].into() }).unwrap()
    });
    let all = texts();
    let real: std::collections::HashMap<&str, u64> = match &qwen {
        None => Default::default(),
        Some(q) => all.iter().map(|t| (t.as_str(), q.guess(MODEL, &q.measure(MODEL, t)))).collect(),
    };
    static REAL: std::sync::OnceLock<std::collections::HashMap<String, u64>> = std::sync::OnceLock::new();
    REAL.set(real.iter().map(|(k, v)| (k.to_string(), *v)).collect()).unwrap();
    let mut truths: Vec<(&str, Truth)> = vec![("sim", count_tokens), ("bytes", by_bytes), ("vocab", by_vocabulary)];
    if qwen.is_some() { truths.push(("qwen", |t| REAL.get().unwrap()[t])); }
    for (name, truth) in truths {
        for order in ["file", "shuffled"] {
            let counter = counter();
            let mut texts = texts();
            let mut rng = SmallRng::seed_from_u64(7);
            if order == "shuffled" { texts.shuffle(&mut rng); }
            for batch in texts.chunks(128) {
                let m: Vec<_> = batch.iter().map(|t| counter.measure(MODEL, t)).collect();
                let g: u64 = m.iter().map(|m| counter.guess(MODEL, m)).sum();
                let b: u64 = m.iter().map(|m| counter.bound(MODEL, m)).sum();
                let t: u64 = batch.iter().map(|t| truth(t)).sum();
                println!("  {name} {order}: guess/truth {:.3} bound/truth {:.3}", g as f64 / t as f64, b as f64 / t as f64);
                counter.learn(MODEL, &m, t);
            }
            { let e = counter.estimates(); let e = e.of(MODEL); println!("{e:.3?}"); }
            for cap in [120_000, 10_000] {
                let (mut w, mut f, mut n): (f64, f64, usize) = (0.0, 0.0, 0);
                let mut wf: f64 = 1.0;
                for _ in 0..6 {
                    texts.shuffle(&mut rng);
                    let r = second_pass(&counter, true, &texts, truth, cap);
                    w = w.max(r.worst); f += r.fill / 6.0; n += r.batches; wf = wf.min(r.worst_fill);
                }
                println!("{name} {order} {cap}: worst {w:.3} fill {f:.3} least {wf:.3} batches {n}");
            }
        }
    }
}
