//! One batch's walk: depart → call → hand out, or take apart and go again.

use std::sync::{Arc, atomic::Ordering};

use super::{
    Bill, Dispatch, Item, ReplyMetadata, Trip,
    apportion::apportion,
    isolate::{Verdict, judge},
};
use crate::{
    embedding::{Input, Parameters},
    error::Error,
    upstream::Reply,
};

/// Walks a batch to its end: every item lands, or was abandoned before it was sent.
pub(super) async fn run(dispatch: &Dispatch, parameters: &Parameters, items: Vec<Item>) {
    let trip = Arc::new(Trip::default());
    trip.items.store(count(&items), Ordering::Relaxed);
    let mut pending = vec![items];
    while let Some(items) = pending.pop() {
        // The semaphore is never closed; if it were, the dropped items would report the defect.
        let Ok(_call) = dispatch.calls.acquire().await else { return };
        let gathered = count(&items);
        let items: Vec<Item> = items.into_iter().filter(|item| item.waiter.depart()).collect();
        trip.items.fetch_sub(gathered - count(&items), Ordering::Relaxed);
        if items.is_empty() {
            continue;
        }

        trip.requests.fetch_add(1, Ordering::Relaxed);
        let inputs: Vec<&Input> = items.iter().map(|item| &item.input).collect();
        match dispatch.upstream.call(parameters, &inputs).await {
            Ok(reply) => hand_out(reply, items, &trip),
            Err(error) => match judge(&error, items) {
                Verdict::FailAll(items) => fail(items, &error, &trip),
                Verdict::FailOne { guilty, rest } => {
                    fail(vec![guilty], &error, &trip);
                    pending.push(rest);
                }
                Verdict::Split(first, second) => pending.extend([second, first]),
            },
        }
    }
}

fn count(items: &[Item]) -> u32 {
    u32::try_from(items.len()).unwrap_or(u32::MAX)
}

fn hand_out(reply: Reply, items: Vec<Item>, trip: &Arc<Trip>) {
    // Only the first reply of a trip is kept: the id is told only when there was no other.
    let _ = trip.reply.set(ReplyMetadata { request_id: reply.request_id, warning: reply.warning });
    let weights: Vec<u64> = items.iter().map(|item| item.input.size() as u64).collect();
    let guess = || weights.iter().map(|bytes| bytes.div_ceil(BYTES_A_TOKEN)).sum();
    let total = reply.total_tokens.unwrap_or_else(guess);
    let guessed = reply.total_tokens.is_none();

    // The upstream's contract is one answer an input, in order.
    for ((item, answer), tokens) in
        items.into_iter().zip(reply.answers).zip(apportion(total, &weights))
    {
        item.waiter.land(Ok(answer), Bill { tokens, guessed, trip: Arc::clone(trip) });
    }
}

/// Bytes of English prose a token takes, for the rare reply that reports no usage.
const BYTES_A_TOKEN: u64 = 5;

fn fail(items: Vec<Item>, error: &Error, trip: &Arc<Trip>) {
    for item in items {
        let bill = Bill { tokens: 0, guessed: false, trip: Arc::clone(trip) };
        item.waiter.land(Err(error.clone()), bill);
    }
}
