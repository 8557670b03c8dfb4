//! Which key a call gets as Voyage accepts and rejects them, and as their files change.

use std::fs;

use super::*;
use crate::{
    telemetry::Metrics,
    upstream::{KeyConfig, KeySources},
};

impl Pool {
    /// Reads every file, as the poll does.
    pub(in crate::dispatch) fn reload(&self) {
        self.entries.iter().for_each(|entry| entry.member.reload());
    }
}

/// Pools over files of their own, gone with them.
struct Files(Vec<tempfile::TempPath>);

impl Files {
    fn new(contents: &[&str]) -> (Self, Arc<Pool>) {
        let path = |_| tempfile::NamedTempFile::new().unwrap().into_temp_path();
        let files = Self(contents.iter().map(path).collect());
        let config = |(index, content): (usize, &&str)| {
            files.write(index, content);
            let (alias, file) = (format!("key-{index}"), files.0[index].to_path_buf());
            KeyConfig { alias, file, ..KeyConfig::default() }
        };
        let configs: Vec<KeyConfig> = contents.iter().enumerate().map(config).collect();
        let keys = KeySources::configured(&configs).load(&Metrics::new().unwrap()).unwrap();
        (files, Pool::new(&keys))
    }

    fn write(&self, index: usize, content: &str) {
        fs::write(&self.0[index], content).unwrap();
    }
}

/// Which of the keys may be used.
fn usable(pool: &Pool) -> Vec<usize> {
    let usable = pool.usable(Instant::now());
    (0..pool.len()).filter(|index| usable.has(*index)).collect()
}

fn take(pool: &Pool, index: usize) -> Arc<ApiKey> {
    pool.take(index, Instant::now()).expect("a key")
}

fn accept(pool: &Pool, index: usize, key: &Arc<ApiKey>) {
    pool.accepted(index, key, Instant::now());
}

async fn reject(pool: &Pool, index: usize, key: &Arc<ApiKey>) -> bool {
    pool.rejected(index, key, Instant::now()).await
}

fn flags(pool: &Pool) -> Vec<bool> {
    pool.set_aside().into_iter().map(|(_, rejected)| rejected).collect()
}

#[tokio::test(start_paused = true)]
async fn a_rejected_key_is_left_alone_and_tried_by_one_call_a_minute() {
    let (_files, pool) = Files::new(&["pa-a", "pa-b"]);
    assert_eq!(usable(&pool), [0, 1]);
    let a = take(&pool, 0);
    assert!(reject(&pool, 0, &a).await, "there is another");
    assert_eq!((usable(&pool), flags(&pool)), (vec![1], vec![true, false]));
    assert!(pool.take(0, Instant::now()).is_none());

    tokio::time::advance(Duration::from_millis(59_999)).await;
    assert_eq!(usable(&pool), [1]);
    tokio::time::advance(Duration::from_millis(1)).await;
    assert_eq!(usable(&pool), [0, 1]);
    assert!(take(&pool, 0).same_secret(&a));
    assert_eq!(usable(&pool), [1], "one call is enough");
    assert!(reject(&pool, 0, &a).await);
    tokio::time::advance(PAUSE).await;
    let again = take(&pool, 0);
    accept(&pool, 0, &again);
    assert_eq!((usable(&pool), flags(&pool)), (vec![0, 1], vec![false, false]));
}

#[tokio::test(start_paused = true)]
async fn a_call_from_before_the_rejection_proves_nothing() {
    let (_files, pool) = Files::new(&["pa-a"]);
    let (a, sent_at) = (take(&pool, 0), Instant::now());
    tokio::time::advance(Duration::from_millis(1)).await;
    assert!(!reject(&pool, 0, &a).await);
    pool.accepted(0, &a, sent_at);
    assert_eq!(flags(&pool), [true]);
    // Nor is its rejection news.
    let again = take(&pool, 0);
    assert!(!pool.rejected(0, &a, sent_at).await);
    accept(&pool, 0, &again);
    assert_eq!((usable(&pool), flags(&pool)), (vec![0], vec![false]));
}

#[tokio::test(start_paused = true)]
async fn a_single_rejected_key_is_tried_again_soon_and_other_items_fail() {
    let (_files, pool) = Files::new(&["pa-a"]);
    let a = take(&pool, 0);
    accept(&pool, 0, &a);
    assert!(!reject(&pool, 0, &a).await, "there is no other");
    let parameters = Parameters::texts(
        "voyage-4",
        crate::item::TextParameters {
            vector: crate::item::VectorParameters {
                dtype: crate::model::Dtype::Float,
                ..crate::item::VectorParameters::default()
            },
            truncation: true,
        },
    );
    // One 401 may be a slip: the next call tries it at once, and only that one.
    assert!(take(&pool, 0).same_secret(&a));
    assert!(!reject(&pool, 0, &a).await);
    let reported = pool.refusal(&parameters, Instant::now());
    let Some(Error::Upstream(reported)) = reported else { panic!("{reported:?}") };
    assert_eq!(
        (&reported.fault, reported.status, &*reported.key),
        (&Fault::Unauthenticated, None, "key-0")
    );
    tokio::time::advance(PAUSE_WITHOUT_OTHERS).await;
    assert_eq!(pool.refusal(&parameters, Instant::now()), None);
    assert!(take(&pool, 0).same_secret(&a));
    assert!(pool.refusal(&parameters, Instant::now()).is_some(), "while it is being tried");
}

#[tokio::test(start_paused = true)]
async fn a_rejection_reads_the_file_at_once() {
    let (files, pool) = Files::new(&["pa-old"]);
    let old = take(&pool, 0);
    accept(&pool, 0, &old);
    files.write(0, "pa-new\n");
    assert!(take(&pool, 0).same_secret(&old), "the file has not been read again");
    assert!(reject(&pool, 0, &old).await);
    let new = take(&pool, 0);
    assert!(!new.same_secret(&old));
    assert_eq!(flags(&pool), [false], "the current key was not rejected");
    // The old one is gone for good: it was rejected.
    assert!(!reject(&pool, 0, &new).await);
    assert_eq!(flags(&pool), [true]);
}

#[tokio::test(start_paused = true)]
async fn a_new_key_that_is_rejected_gives_way_to_the_old_one() {
    let (files, pool) = Files::new(&["pa-old"]);
    let old = take(&pool, 0);
    accept(&pool, 0, &old);
    files.write(0, "pa-new");
    pool.reload();
    let new = take(&pool, 0);
    assert!(!new.same_secret(&old));
    assert!(reject(&pool, 0, &new).await);
    assert_eq!((usable(&pool), flags(&pool)), (vec![0], vec![true]));
    for _ in 0..3 {
        assert!(take(&pool, 0).same_secret(&old));
        accept(&pool, 0, &old);
    }
    assert_eq!(flags(&pool), [true], "the old one says nothing about the new one");
    // The new one again, by one call a minute.
    tokio::time::advance(PAUSE).await;
    assert!(take(&pool, 0).same_secret(&new));
    assert!(take(&pool, 0).same_secret(&old));
    // Another content is another key.
    files.write(0, "pa-newer");
    pool.reload();
    assert_eq!(flags(&pool), [false]);
    let newer = take(&pool, 0);
    accept(&pool, 0, &newer);
    // Now the old one is no longer the last accepted key.
    assert!(!reject(&pool, 0, &newer).await);
}

#[tokio::test(start_paused = true)]
async fn an_old_key_that_is_rejected_too_leaves_nothing() {
    let (files, pool) = Files::new(&["pa-old"]);
    let old = take(&pool, 0);
    accept(&pool, 0, &old);
    files.write(0, "pa-new");
    pool.reload();
    let new = take(&pool, 0);
    assert!(reject(&pool, 0, &new).await);
    assert!(!reject(&pool, 0, &old).await);
    // Every rejection reads its file.
    files.write(0, "pa-newer");
    assert!(reject(&pool, 0, &old).await);
    assert_eq!((usable(&pool), flags(&pool)), (vec![0], vec![false]));
}

#[tokio::test(start_paused = true)]
async fn a_file_that_is_gone_or_nonsense_changes_nothing() {
    let (files, pool) = Files::new(&["pa-a"]);
    let a = take(&pool, 0);
    accept(&pool, 0, &a);
    for content in [Some("two words"), Some(""), None] {
        match content {
            Some(content) => files.write(0, content),
            None => fs::remove_file(&files.0[0]).unwrap(),
        }
        pool.reload();
        assert!(take(&pool, 0).same_secret(&a));
    }
}

#[test]
fn sixty_four_keys_have_a_bit_each() {
    let mut all = Usable((0..64).fold(0, |bits, index| bits | bit(index)));
    assert_eq!(all, Usable(u64::MAX));
    for index in 0..64 {
        assert!(all.has(index));
        all = all.without(index);
        assert!(!all.has(index));
    }
    assert_eq!(all, Usable::NONE);
    assert!(!Usable(u64::MAX).has(64));
}
