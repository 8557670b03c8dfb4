//! An estimate of one model's tokens that learns from the usage that calls report.
//!
//! A text's tokens are estimated as a weighted sum of its `Counts`. A Kalman filter (recursive least squares with a
//! prior) tracks the weights and the uncertainty of each mixture of classes, so that a script that was never seen
//! keeps a wide margin however much English was counted.

use super::measure::{
    ACCENTS, ALPHABETS, BLANKS, CLASSES, DIGITS, IDEOGRAPHS, LETTERS, MARKS, RARE, WORDS,
};

/// A number for each class of characters: weights, or counts added up.
pub(super) type Vector = [f64; CLASSES];

/// The initial belief about the tokens per character of a class.
struct Belief {
    prior: f64,
    /// The standard deviation of the prior.
    doubt: f64,
    least: f64,
    most: f64,
}

/// The priors are those of byte-level tokenizers with 100,000 to 150,000 entries, rounded up. The most that
/// a character can have is its bytes, the least about a third of the prior, so that no report makes bounds small.
const BELIEFS: [Belief; CLASSES] = {
    const fn belief(prior: f64, doubt: f64, least: f64, most: f64) -> Belief {
        Belief { prior, doubt, least, most }
    }
    let mut beliefs = [const { belief(0.0, 0.0, 0.0, 0.0) }; CLASSES];
    beliefs[LETTERS] = belief(0.08, 0.06, 0.04, 1.0);
    beliefs[DIGITS] = belief(0.8, 0.3, 0.2, 1.0);
    beliefs[MARKS] = belief(0.8, 0.3, 0.2, 1.0);
    beliefs[BLANKS] = belief(0.3, 0.2, 0.0, 1.0);
    beliefs[ACCENTS] = belief(0.9, 0.4, 0.2, 3.0);
    beliefs[ALPHABETS] = belief(0.25, 0.15, 0.08, 2.0);
    beliefs[IDEOGRAPHS] = belief(0.9, 0.3, 0.4, 3.0);
    beliefs[RARE] = belief(1.8, 0.8, 0.4, 4.0);
    // With the space before it, hence up to two bytes.
    beliefs[WORDS] = belief(0.8, 0.3, 0.3, 2.0);
    beliefs
};

/// The share of certainty that each call removes: texts of one class differ, too.
const FORGET: f64 = 0.000_025;

/// The share of certainty that a surprising report removes: something has changed, or was wrong.
const FORGET_AT_SURPRISE: f64 = 0.2;

/// The deviation of calls from any weighted sum, as a share of their tokens.
const STRAY: f64 = 0.02;

/// The deviation of single texts; the more texts a call has, the more these errors cancel out.
const TEXT_STRAY: f64 = 0.2;

/// The tokens of a text so long that no others in its call balance its error.
const LONG: f64 = 5_000.0;

/// The standard deviations that a bound includes.
const CAUTION: f64 = 2.0;

/// The standard deviations beyond which a report is a surprise, and is corrected for in part only.
const SURPRISE: f64 = 3.0;

/// The least margin of a bound, as a share of the estimate.
const MARGIN: f64 = 0.04;

/// The part of the largest excess that remains after a call; it halves in 3 calls.
const EXCESS_DECAY: f64 = 0.8;

/// The largest excess that is accepted.
const MAX_EXCESS: f64 = 3.0;

/// The estimate of one model.
#[derive(Clone, Debug)]
pub(super) struct Estimate {
    weights: Vector,
    covariance: [Vector; CLASSES],
    /// The largest recent share by which reports exceeded their bound.
    excess: f64,
}

impl Estimate {
    /// Returns the estimate of a model without reports.
    pub(super) fn new() -> Self {
        let mut covariance = [[0.0; CLASSES]; CLASSES];
        for (class, row) in covariance.iter_mut().enumerate() {
            row[class] = prior_variance(class);
        }
        Self { weights: BELIEFS.map(|belief| belief.prior), covariance, excess: 0.0 }
    }

    /// Returns the most likely number of tokens.
    pub(super) fn likely(&self, counts: &Vector) -> f64 {
        dot(&self.weights, counts)
    }

    /// Returns a number of tokens that reports hardly ever exceed.
    pub(super) fn bound(&self, counts: &Vector) -> f64 {
        let likely = self.likely(counts);
        let stray = TEXT_STRAY * likely / (likely + LONG);
        likely * (1.0 + MARGIN + self.excess + stray) + CAUTION * self.deviation(counts)
    }

    /// Returns a number that exact counts hardly ever exceed; it differs from them only when reports do, as
    /// with another model's tokenizer.
    pub(super) fn bound_exact(&self, tokens: f64) -> f64 {
        tokens * (1.0 + self.excess)
    }

    /// Learns that texts which were counted as `tokens` had `reported`.
    pub(super) fn learn_exact(&mut self, tokens: f64, reported: f64) {
        self.note_excess(reported / tokens.max(1.0) - 1.0);
    }

    /// Learns that texts with these counts had `reported` tokens together.
    pub(super) fn learn(&mut self, texts: &[Vector], reported: f64) {
        let (mut counts, mut squares) = ([0.0; CLASSES], 0.0);
        for text in texts {
            squares += self.likely(text).powi(2);
            counts = std::array::from_fn(|class| counts[class] + text[class]);
        }
        let expected = self.likely(&counts).max(1.0);
        // From here on all is relative to the expected tokens, so that calls of any size have the same weight.
        let counts = counts.map(|count| count / expected);
        let error = reported / expected - 1.0;
        let granularity = 0.5 / expected;
        let variance = self.deviation(&counts).powi(2)
            + granularity
            + TEXT_STRAY.powi(2) * squares / expected.powi(2);
        self.note_excess(error - CAUTION * variance.sqrt());

        let variance = variance + STRAY.powi(2);
        let trusted = SURPRISE * variance.sqrt();
        self.correct(&counts, error.clamp(-trusted, trusted), variance);
        self.forget(if error.abs() > trusted { FORGET_AT_SURPRISE } else { FORGET });
    }

    /// Moves the weights to explain the error, and reduces their uncertainty.
    fn correct(&mut self, counts: &Vector, error: f64, variance: f64) {
        let spread = self.covariance.map(|row| dot(&row, counts));
        for (class, (row, belief)) in self.covariance.iter_mut().zip(&BELIEFS).enumerate() {
            let weight = self.weights[class] + spread[class] / variance * error;
            self.weights[class] = weight.clamp(belief.least, belief.most);
            for (cell, other) in row.iter_mut().zip(spread) {
                *cell -= spread[class] * other / variance;
            }
        }
    }

    /// Moves the uncertainty back towards its initial value.
    fn forget(&mut self, share: f64) {
        for (class, row) in self.covariance.iter_mut().enumerate() {
            *row = row.map(|cell| cell * (1.0 - share));
            row[class] += share * prior_variance(class);
        }
    }

    fn note_excess(&mut self, excess: f64) {
        self.excess = (self.excess * EXCESS_DECAY).max(excess).min(MAX_EXCESS);
    }

    /// Returns the standard deviation of [`Estimate::likely`].
    fn deviation(&self, counts: &Vector) -> f64 {
        dot(counts, &self.covariance.map(|row| dot(&row, counts))).max(0.0).sqrt()
    }
}

fn prior_variance(class: usize) -> f64 {
    BELIEFS[class].doubt.powi(2)
}

fn dot(a: &Vector, b: &Vector) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}
