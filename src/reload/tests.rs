//! Changed files are taken over; unusable ones are not, and nothing is lost by them.

use std::{
    fs,
    os::unix::fs::symlink,
    path::Path,
    sync::atomic::{AtomicU32, Ordering},
};

use super::*;

/// A folder of its own for each test, gone with it.
struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }
}

fn number(contents: &[Vec<u8>]) -> Result<u64, String> {
    let text = String::from_utf8_lossy(&contents.concat()).trim().to_owned();
    text.parse().map_err(|_| "expected a number".to_owned())
}

fn live(path: &Path) -> Arc<Live<u64>> {
    Live::load("a.number", vec![path.to_owned()], Metrics::new().unwrap(), number).unwrap()
}

#[test]
fn a_changed_file_is_taken_over_and_an_unusable_one_is_not() {
    let folder = Folder::new();
    let path = folder.path("number");
    fs::write(&path, "1\n").unwrap();
    let live = live(&path);
    assert_eq!(live.reload(), ReloadOutcome::Unchanged);

    fs::write(&path, "2").unwrap();
    assert_eq!((live.reload(), *live.get()), (ReloadOutcome::Changed, 2));
    assert_eq!(live.reload(), ReloadOutcome::Unchanged);

    for bad in ["", "half", "-1"] {
        fs::write(&path, bad).unwrap();
        assert_eq!((live.reload(), *live.get()), (ReloadOutcome::Refused, 2), "{bad:?}");
        assert_eq!(live.reload(), ReloadOutcome::Unchanged, "said once");
    }
    fs::remove_file(&path).unwrap();
    assert_eq!((live.reload(), *live.get()), (ReloadOutcome::Refused, 2));
    assert_eq!(live.reload(), ReloadOutcome::Unchanged, "said once");

    fs::write(&path, "2").unwrap();
    assert_eq!((live.reload(), *live.get()), (ReloadOutcome::Changed, 2), "it makes sense again");
}

#[test]
fn a_symlink_that_is_swapped_above_the_file_is_noticed() {
    let folder = Folder::new();
    for (version, content) in [("v1", "1"), ("v2", "2")] {
        fs::create_dir(folder.path(version)).unwrap();
        fs::write(folder.path(version).join("number"), content).unwrap();
    }
    symlink("v1", folder.path("data")).unwrap();
    symlink("data/number", folder.path("number")).unwrap();
    let live = live(&folder.path("number"));

    // As the kubelet does it: a new link, renamed over the old.
    symlink("v2", folder.path("data_tmp")).unwrap();
    fs::rename(folder.path("data_tmp"), folder.path("data")).unwrap();
    assert_eq!((live.reload(), *live.get()), (ReloadOutcome::Changed, 2));
}

#[test]
fn what_is_no_small_file_is_refused_without_being_read() {
    let folder = Folder::new();
    let load = |path: &Path| {
        Live::load("a.number", vec![path.to_owned()], Metrics::new().unwrap(), number)
            .map(|_| ())
            .unwrap_err()
            .to_string()
    };
    let large = folder.path("large");
    fs::write(&large, vec![b'1'; usize::try_from(file::MAX_BYTES).unwrap() + 1]).unwrap();
    assert!(load(&large).ends_with("large: larger than 1048576 bytes"), "{}", load(&large));
    assert_eq!(load(Path::new("/dev/zero")), "a.number: /dev/zero: not a regular file");
    assert!(load(folder.0.path()).ends_with("not a regular file"), "{}", load(folder.0.path()));
    assert!(load(&folder.path("none")).contains("No such file"));
    let bad = folder.path("bad");
    fs::write(&bad, "a secret").unwrap();
    assert!(load(&bad).ends_with("bad: expected a number"), "{}", load(&bad));
}

#[tokio::test(start_paused = true)]
async fn polling_reads_files_repeatedly() {
    #[derive(Debug)]
    struct Counted(AtomicU32);
    impl Reload for Counted {
        fn reload(&self) -> ReloadOutcome {
            assert!(self.0.fetch_add(1, Ordering::Relaxed) != 1, "the second look panics");
            ReloadOutcome::Unchanged
        }
    }
    let counted = Arc::new(Counted(AtomicU32::new(0)));
    let polled = poll(
        vec![Arc::<Counted>::clone(&counted)],
        Duration::from_secs(10),
        Arc::new(Notify::new()),
    );
    let _ = tokio::time::timeout(Duration::from_secs(35), polled).await;
    assert_eq!(counted.0.load(Ordering::Relaxed), 3, "a panic does not end it");
}

#[tokio::test(start_paused = true)]
async fn a_reload_request_does_not_wait_for_the_next_poll() {
    #[derive(Debug)]
    struct Told(Notify);
    impl Reload for Told {
        fn reload(&self) -> ReloadOutcome {
            self.0.notify_one();
            ReloadOutcome::Unchanged
        }
    }
    let (reported, asked) = (Arc::new(Told(Notify::new())), Arc::new(Notify::new()));
    // Before the first listener: it is not lost.
    asked.notify_one();
    let files: Vec<Arc<dyn Reload>> = vec![Arc::<Told>::clone(&reported)];
    let polling = tokio::spawn(poll(files, Duration::from_hours(1), Arc::clone(&asked)));
    let started = tokio::time::Instant::now();
    for _ in 0..2 {
        reported.0.notified().await;
        asked.notify_one();
    }
    assert!(started.elapsed() < Duration::from_hours(1));
    polling.abort();
}
