//! The times of fetches, on a paused clock, and the use of old keys.

use std::sync::atomic::{AtomicU32, Ordering};

use serde_json::json;

use super::*;

/// A key set of this many keys.
fn key_set(keys: usize) -> Vec<u8> {
    let key = json!({ "kty": "OKP", "crv": "Ed25519", "x": "A".repeat(43) });
    json!({ "keys": vec![key; keys] }).to_string().into_bytes()
}

/// The answer of the URL, and the number of requests.
#[derive(Clone, Default)]
struct Url {
    fetches: Arc<AtomicU32>,
    content: Arc<Mutex<Option<Vec<u8>>>>,
}

impl Url {
    fn keys(&self) -> (Arc<FetchedKeys>, Metrics) {
        let url = self.clone();
        let fetch: Fetch = Box::new(move || {
            url.fetches.fetch_add(1, Ordering::Relaxed);
            let content = url.content.lock().clone();
            Box::pin(async move { content.ok_or_else(|| "nobody there".to_owned()) })
        });
        let metrics = Metrics::new().unwrap();
        (FetchedKeys::new(fetch, metrics.clone()), metrics)
    }

    fn serves(&self, content: Option<Vec<u8>>) {
        *self.content.lock() = content;
    }

    fn fetches(&self) -> u32 {
        self.fetches.load(Ordering::Relaxed)
    }
}

/// Lets tasks run for this long.
async fn after(seconds: u64) {
    sleep(Duration::from_secs(seconds)).await;
}

#[tokio::test(start_paused = true)]
async fn keys_are_fetched_every_so_often() {
    let url = Url::default();
    url.serves(Some(key_set(1)));
    let (keys, metrics) = url.keys();
    assert!(keys.refresh().await);
    let first = keys.get().unwrap();
    let kept = Arc::clone(&keys);
    tokio::spawn(async move { kept.keep_fresh().await });
    after(299).await;
    assert_eq!(url.fetches(), 1);
    after(2).await;
    assert_eq!(url.fetches(), 2);
    assert!(Arc::ptr_eq(&first, &keys.get().unwrap()), "the same keys are the same set");

    url.serves(Some(key_set(2)));
    after(300).await;
    assert_eq!(url.fetches(), 3);
    assert!(!Arc::ptr_eq(&first, &keys.get().unwrap()));
    let page = metrics.render().unwrap();
    let changed = r#"reloads_total{outcome="changed",what="auth.jwt.jwks_url"} 2"#;
    assert!(page.contains(changed), "{page}");
}

#[tokio::test(start_paused = true)]
async fn a_failed_fetch_keeps_the_keys_and_is_soon_repeated() {
    let url = Url::default();
    let (keys, metrics) = url.keys();
    assert!(!keys.refresh().await);
    assert!(keys.get().is_none());
    let kept = Arc::clone(&keys);
    tokio::spawn(async move { kept.keep_fresh().await });
    after(25).await;
    assert_eq!((url.fetches(), keys.get().is_none()), (3, true));

    url.serves(Some(key_set(1)));
    after(10).await;
    let good = keys.get().unwrap();
    for useless in [None, Some(b"<html>".to_vec()), Some(key_set(0)), Some(key_set(65))] {
        url.serves(useless);
        assert!(!keys.refresh().await);
        assert!(Arc::ptr_eq(&good, &keys.get().unwrap()));
    }
    let page = metrics.render().unwrap();
    let refused = r#"reloads_total{outcome="refused",what="auth.jwt.jwks_url"} 7"#;
    assert!(page.contains(refused), "{page}");
}

#[tokio::test(start_paused = true)]
async fn a_key_that_is_missed_is_fetched_at_once_and_never_often() {
    let url = Url::default();
    url.serves(Some(key_set(1)));
    let (keys, _) = url.keys();
    keys.refresh().await;
    let kept = Arc::clone(&keys);
    tokio::spawn(async move { kept.keep_fresh().await });
    after(100).await;
    keys.request_refresh();
    after(1).await;
    assert_eq!(url.fetches(), 2);
    // Unauthenticated callers can cause any number of requests.
    for _ in 0..600 {
        keys.request_refresh();
        sleep(Duration::from_millis(100)).await;
    }
    assert!((7..=8).contains(&url.fetches()), "{}", url.fetches());
}
