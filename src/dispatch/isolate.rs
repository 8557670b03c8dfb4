//! Splits a batch that Voyage rejected.
//!
//! One bad input fails alone: a named input fails and the rest is resent; a batch with too many tokens or bytes is
//! halved; a batch rejected with a 400 that names no input is bisected. A resend costs neither attempts nor retry
//! budget.

use crate::{error::Fault, item::Usage};

/// The parts of a rejected batch.
#[derive(Debug)]
pub(super) struct Split<T> {
    /// The items that fail.
    pub(super) failed: Vec<T>,
    /// The batches to resend; empty if all items fail.
    pub(super) resend: Vec<Vec<T>>,
}

/// Splits a rejected batch. Without `bisects`, a rejection that names no input fails all items.
pub(super) fn split<T>(fault: &Fault, mut items: Vec<T>, bisects: bool) -> Split<T> {
    match *fault {
        Fault::InputTooLong { index, .. } if index < items.len() => {
            let failed = vec![items.remove(index)];
            let resend = if items.is_empty() { Vec::new() } else { vec![items] };
            Split { failed, resend }
        }
        Fault::TooManyTokens { .. } | Fault::PayloadTooLarge { .. } if items.len() > 1 => {
            halve(items)
        }
        // An index out of range names no input.
        Fault::InputTooLong { .. }
        | Fault::InvalidRequest { field: None | Some("inputs" | "documents"), .. }
            if items.len() > 1 && bisects =>
        {
            halve(items)
        }
        _ => Split { failed: items, resend: Vec::new() },
    }
}

fn halve<T>(mut items: Vec<T>) -> Split<T> {
    let second = items.split_off(items.len() / 2);
    Split { failed: Vec::new(), resend: vec![items, second] }
}

/// Divides each number of a usage in proportion to the same number of the weights.
pub(super) fn apportion_usage(total: &Usage, weights: &[Usage]) -> Vec<Usage> {
    let mut shares = vec![Usage::default(); weights.len()];
    let mut divide = |field: fn(&mut Usage) -> &mut u64| {
        let total = *field(&mut total.clone());
        if total == 0 {
            return;
        }
        let weights: Vec<u64> = weights.iter().map(|weight| *field(&mut weight.clone())).collect();
        for (share, part) in shares.iter_mut().zip(apportion(total, &weights)) {
            *field(share) = part;
        }
    };
    divide(|usage| &mut usage.tokens);
    divide(|usage| &mut usage.text_tokens);
    divide(|usage| &mut usage.image_pixels);
    divide(|usage| &mut usage.video_pixels);
    shares
}

/// Divides `total` in proportion to `weights` by largest remainder.
///
/// The shares are never negative and their sum is exactly `total`. Equal weights are assumed when all are 0.
pub(super) fn apportion(total: u64, weights: &[u64]) -> Vec<u64> {
    if weights.is_empty() {
        return Vec::new();
    }
    let sum: u128 = weights.iter().map(|weight| u128::from(*weight)).sum();
    let weight_of = |index: usize| if sum == 0 { 1 } else { u128::from(weights[index]) };
    let sum = if sum == 0 { weights.len() as u128 } else { sum };

    let mut shares = Vec::with_capacity(weights.len());
    let mut remainders = Vec::with_capacity(weights.len());
    for index in 0..weights.len() {
        let product = u128::from(total) * weight_of(index);
        // A share is at most `total`, so it fits.
        shares.push(u64::try_from(product / sum).unwrap_or(total));
        remainders.push((product % sum, index));
    }
    let left = total - shares.iter().sum::<u64>();
    // Largest remainder first; the earlier input on a tie, so that the result is deterministic.
    remainders.sort_unstable_by(|a, b| b.0.cmp(&a.0).then(a.1.cmp(&b.1)));
    for (_, index) in remainders.into_iter().take(usize::try_from(left).unwrap_or(usize::MAX)) {
        shares[index] += 1;
    }
    shares
}
