//! What several keys have room for together.

use tokio::time::Instant;

use super::{
    Class, Need,
    window::{Limit, WINDOW, Window, later},
};

/// Returns when so much is free at the earliest, if nobody else takes it: each call with one key, whichever.
pub(super) fn free_at(windows: &[&Window], class: Class, need: Need, now: Instant) -> Instant {
    let alone = windows.iter().map(|window| window.free_at(class, need, now)).min();
    let alone = alone.unwrap_or(now);
    if windows.len() < 2 || alone <= now {
        return alone;
    }
    let requests_at = all_at(windows, class, (Limit::Requests, need.requests.into()), now);
    let tokens_at = all_at(windows, class, (Limit::Tokens, need.tokens), now);
    alone.min(requests_at.max(tokens_at))
}

/// Returns when one call of so many tokens can be made at the earliest.
pub(super) fn free_for_call(
    windows: &[&Window],
    class: Class,
    tokens: u64,
    now: Instant,
) -> Instant {
    let need = Need { requests: 1, tokens };
    let alone = windows.iter().map(|window| window.free_at(class, need, now)).min();
    alone.unwrap_or(now)
}

/// Returns when so much of one limit is free over all windows.
fn all_at(windows: &[&Window], class: Class, (limit, need): (Limit, u64), now: Instant) -> Instant {
    let free_now = windows.iter().filter_map(|window| window.releases(class, limit, now).next());
    let free_now = free_now.filter(|(at, _)| *at <= now).map(|(_, size)| size);
    if free_now.fold(0, u64::saturating_add) >= need {
        return now;
    }
    let limits = windows.iter().map(|window| match limit {
        Limit::Requests => window.limits(class).0,
        Limit::Tokens => window.limits(class).1,
    });
    let all: u64 = limits.fold(0, u64::saturating_add);
    // What is more than a minute's fills whole minutes first.
    let minutes = need.saturating_sub(1) / all.max(1);
    let need = need - minutes * all;
    let mut releases: Vec<(Instant, u64)> =
        windows.iter().flat_map(|window| window.releases(class, limit, now)).collect();
    // Each window's are in order: a stable sort only merges them.
    releases.sort_by_key(|(at, _)| *at);
    let mut free = 0_u64;
    let enough = releases.into_iter().find(|(_, size)| {
        free = free.saturating_add(*size);
        free >= need
    });
    later(enough.map_or(now + WINDOW, |(at, _)| at), minutes)
}
