//! Credentials that change while the gateway serves.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU64, Ordering},
};

use super::{
    tokens::{INDEX, SEARCH, STRANGER, gateway, line},
    *,
};
use crate::support::eventually;

const WHAT: &str = "auth.tokens_file";

#[tokio::test]
async fn tokens_change_under_load_and_other_callers_are_not_affected() {
    let folder = Folder::new();
    let gateway = gateway(&folder).await;
    let (stop, calls) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let mut loads = Vec::new();
    for worker in 0..4 {
        let mut client = gateway.client().await;
        let (stop, calls) = (Arc::clone(&stop), Arc::clone(&calls));
        loads.push(tokio::spawn(async move {
            while !stop.load(Ordering::Relaxed) {
                let text = format!("text {worker}");
                embed_as(&mut client, SEARCH, &text).await.expect("an unchanged caller");
                calls.fetch_add(1, Ordering::Relaxed);
            }
        }));
    }
    let mut client = gateway.client().await;
    // `index` gets a second token, then loses its first; `search` stays as it is.
    for (number, (content, first, second)) in [
        (line("index", INDEX) + &line("index", STRANGER), true, true),
        (line("index", STRANGER), false, true),
        (line("index", INDEX), true, false),
    ]
    .into_iter()
    .enumerate()
    {
        let before = calls.load(Ordering::Relaxed);
        folder.swap("tokens", &(content + &line("search", SEARCH)));
        let taken = u64::try_from(number).unwrap() + 1;
        eventually(async || reloads(&gateway, WHAT, "changed").await == taken).await;
        assert_eq!(embed_as(&mut client, INDEX, "a").await.is_ok(), first);
        assert_eq!(embed_as(&mut client, STRANGER, "a").await.is_ok(), second);
        eventually(async || calls.load(Ordering::Relaxed) > before).await;
    }
    stop.store(true, Ordering::Relaxed);
    for load in loads {
        load.await.expect("no failed call");
    }
}

#[tokio::test]
async fn a_half_written_file_changes_nothing() {
    let folder = Folder::new();
    let gateway = gateway(&folder).await;
    let mut client = gateway.client().await;
    let next = line("search", STRANGER);
    // As a copy leaves it for a while: cut off, empty, gone. Each in one step, so that each is read once.
    let half = &next[..next.len() - 10];
    for (number, content) in [Some(half), Some(""), None].into_iter().enumerate() {
        match content {
            Some(content) => drop(folder.swap("tokens", content)),
            None => std::fs::remove_file(folder.path("tokens")).unwrap(),
        }
        let refused = u64::try_from(number).unwrap() + 1;
        eventually(async || reloads(&gateway, WHAT, "refused").await == refused).await;
        assert!(embed_as(&mut client, SEARCH, "a").await.is_ok());
        assert!(embed_as(&mut client, STRANGER, "a").await.is_err());
    }
    folder.swap("tokens", &next);
    eventually(async || reloads(&gateway, WHAT, "changed").await == 1).await;
    assert!(embed_as(&mut client, SEARCH, "a").await.is_err());
    assert!(embed_as(&mut client, STRANGER, "a").await.is_ok());
}
