//! API keys of Voyage: reloads of files during calls, and rejected keys.

use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use tonic::Code;
use tracing::Level;
use voyage_gateway::{
    config::Config,
    simulator::{AcceptedKeys, Fault, Options},
    units::TimeSpan,
    upstream::{KeyConfig, KeySources},
};

use crate::support::{
    Gateway, Log, StoppedClock, assert_vectors, details, eventually, metadata, numbered, reason,
    sample, texts,
};

const OLD: &str = "pa-canary-old";
const NEW: &str = "pa-canary-new";

const REJECTED: &str = "voyage_gateway_upstream_key_rejected";
const RELOADS: &str = "voyage_gateway_reloads_total";

/// A folder as the kubelet mounts a secret: the file is a link through a link that is swapped.
struct Mount(tempfile::TempDir);

impl Mount {
    fn new(key: &str) -> Self {
        let mount = Self(tempfile::tempdir().unwrap());
        symlink("..data/key", mount.file()).unwrap();
        mount.swap(key);
        mount
    }

    fn file(&self) -> PathBuf {
        self.0.path().join("key")
    }

    /// Puts another key in place, in one step.
    fn swap(&self, key: impl AsRef<[u8]>) {
        let version = format!("..{:x}", rand::random::<u64>());
        fs::create_dir(self.0.path().join(&version)).unwrap();
        fs::write(self.0.path().join(&version).join("key"), key).unwrap();
        symlink(&version, self.0.path().join("..data_tmp")).unwrap();
        fs::rename(self.0.path().join("..data_tmp"), self.0.path().join("..data")).unwrap();
    }

    fn sources(&self) -> KeySources {
        KeySources::file("VOYAGE_API_KEY_FILE", self.file())
    }
}

fn pool(members: &[(&str, &Path)]) -> KeySources {
    let config = |(alias, file): &(&str, &Path)| KeyConfig {
        alias: (*alias).to_owned(),
        file: (*file).to_owned(),
        ..KeyConfig::default()
    };
    KeySources::configured(&members.iter().map(config).collect::<Vec<_>>())
}

/// Files are read as often as the configuration allows.
fn often(config: &mut Config, options: &mut Options) {
    config.reload.interval = TimeSpan::from_millis(100);
    options.keys = AcceptedKeys::only([OLD]);
}

/// Files are read seldom: in a test, only when Voyage rejects a key.
fn seldom(config: &mut Config, options: &mut Options) {
    config.reload.interval = TimeSpan::from_secs(30);
    options.keys = AcceptedKeys::only([OLD]);
}

/// The keys of the calls that the simulator received, and its statuses.
fn seen(gateway: &Gateway) -> Vec<(String, u16)> {
    let calls = gateway.simulator().calls().into_iter();
    calls.map(|call| (call.api_key.unwrap(), call.status.unwrap())).collect()
}

async fn embed(gateway: &Gateway, text: &str) {
    let reply = gateway.embed(texts(&[text])).await.unwrap();
    assert_vectors(reply.get_ref(), &[text]);
}

async fn until_metric(gateway: &Gateway, name: &str, labels: &[(&str, &str)], least: u64) {
    eventually(async || sample(&gateway.metrics().await, name, labels) >= least).await;
}

/// Callers that never stop asking, for texts of their own; any failure is returned.
fn load(gateway: &Arc<Gateway>, callers: usize) -> tokio::task::JoinSet<()> {
    let mut tasks = tokio::task::JoinSet::new();
    for caller in 0..callers {
        let gateway = Arc::clone(gateway);
        tasks.spawn(async move {
            let mut client = gateway.client().await;
            for number in 0.. {
                let text = [format!("{caller} {number}")];
                let reply = client.embed(texts(&text)).await.expect("no call fails");
                assert_vectors(reply.get_ref(), &text);
            }
        });
    }
    tasks
}

/// Waits until so many more calls were answered with this key, while nothing fails.
async fn until_used(gateway: &Gateway, tasks: &mut tokio::task::JoinSet<()>, key: &str) {
    let before = answered(gateway, key);
    eventually(async || {
        if let Some(ended) = tasks.try_join_next() {
            ended.expect("no call fails");
        }
        answered(gateway, key) >= before + 20
    })
    .await;
}

fn answered(gateway: &Gateway, key: &str) -> usize {
    let calls = gateway.simulator().calls();
    calls
        .iter()
        .filter(|call| call.api_key.as_deref() == Some(key))
        .filter(|call| call.status == Some(200))
        .count()
}

#[tokio::test]
async fn a_key_is_rotated_under_load_and_no_call_fails() {
    let mount = Mount::new(OLD);
    let gateway = Arc::new(Gateway::with_keys(mount.sources(), often).await);
    let mut tasks = load(&gateway, 4);
    until_used(&gateway, &mut tasks, OLD).await;

    // Properly: both are good while the file changes, and the old one is withdrawn afterwards.
    gateway.simulator().keys().accept_only([OLD, NEW]);
    mount.swap(format!("{NEW}\n"));
    until_used(&gateway, &mut tasks, NEW).await;
    gateway.simulator().keys().accept_only([NEW]);
    until_used(&gateway, &mut tasks, NEW).await;

    // In a hurry: the old one is withdrawn the moment the file changes.
    mount.swap(OLD);
    gateway.simulator().keys().accept_only([OLD]);
    until_used(&gateway, &mut tasks, OLD).await;
    tasks.shutdown().await;
    let metrics = gateway.metrics().await;
    assert_eq!(sample(&metrics, REJECTED, &[("key", "default")]), 0);
    assert_eq!(sample(&metrics, RELOADS, &[("outcome", "changed")]), 2);
    assert_eq!(sample(&metrics, RELOADS, &[("outcome", "refused")]), 0);
}

#[tokio::test]
async fn a_401_reads_the_file_again_within_the_request() {
    let mount = Mount::new(OLD);
    let gateway = Gateway::with_keys(mount.sources(), seldom).await;
    embed(&gateway, "one").await;
    mount.swap(NEW);
    gateway.simulator().keys().accept_only([NEW]);
    embed(&gateway, "two").await;
    let calls = [(OLD, 200), (OLD, 401), (NEW, 200)].map(|(key, status)| (key.to_owned(), status));
    assert_eq!(seen(&gateway), calls);
    assert_eq!(sample(&gateway.metrics().await, "voyage_gateway_retries_total", &[]), 0);
}

#[tokio::test]
async fn an_unusable_file_keeps_the_old_key() {
    let mount = Mount::new(OLD);
    let gateway = Gateway::with_keys(mount.sources(), often).await;
    let what = [("what", "VOYAGE_API_KEY_FILE"), ("outcome", "refused")];
    let huge = vec![b'k'; 2_000_000];
    for (count, bad) in [&b""[..], b"two words", b"\xff\xfe", &huge].into_iter().enumerate() {
        mount.swap(bad);
        until_metric(&gateway, RELOADS, &what, count as u64 + 1).await;
        embed(&gateway, &format!("text {count}")).await;
    }
    fs::remove_file(mount.file()).unwrap();
    until_metric(&gateway, RELOADS, &what, 5).await;
    embed(&gateway, "without a file").await;
    assert!(seen(&gateway).iter().all(|(key, status)| key == OLD && *status == 200));
}

#[tokio::test]
async fn a_rejected_new_key_falls_back_to_the_old_one() {
    let mount = Mount::new(OLD);
    let gateway = Gateway::with_keys(mount.sources(), often).await;
    embed(&gateway, "one").await;
    mount.swap(NEW);
    until_metric(&gateway, RELOADS, &[("outcome", "changed")], 1).await;
    for text in ["two", "three", "four"] {
        embed(&gateway, text).await;
    }
    let calls = [(OLD, 200), (NEW, 401), (OLD, 200), (OLD, 200), (OLD, 200)];
    assert_eq!(seen(&gateway), calls.map(|(key, status)| (key.to_owned(), status)));
    assert_eq!(sample(&gateway.metrics().await, REJECTED, &[("key", "default")]), 1);
    assert_eq!(gateway.page("GET", "/readyz").await.0, 200);
}

#[tokio::test]
async fn when_every_key_is_rejected_hits_are_served_and_misses_fail_at_once() {
    let mounts = [Mount::new(OLD), Mount::new(NEW)];
    let [one, two] = mounts.each_ref().map(Mount::file);
    let gateway = Gateway::with_keys(pool(&[("team-a", &one), ("team-b", &two)]), seldom).await;
    embed(&gateway, "a hit").await;
    gateway.simulator().keys().accept_only([""; 0]);
    let mut reported = Vec::new();
    // No rejected key is tried again after a pause.
    let stopped = StoppedClock::new();
    for number in 0..10 {
        reported.push(gateway.embed(texts(&numbered(number..number + 1))).await.err().unwrap());
        embed(&gateway, "a hit").await;
    }
    drop(stopped);
    for status in &reported {
        assert_eq!(status.code(), Code::Unauthenticated);
        assert_eq!(reason(status), "UPSTREAM_UNAUTHENTICATED");
        assert_eq!(details(status).error_info().unwrap().domain, "voyageai.com");
        assert!(metadata(status, "keyAlias").unwrap().starts_with("team-"), "{status:?}");
        assert_eq!(metadata(status, "credential").as_deref(), Some("gateway"));
        assert!(details(status).retry_info().is_none());
    }
    // The first met the 401 of both, the next two of one each: a key is tried twice. Then they fail without a call.
    assert_eq!(metadata(&reported[0], "attempts").as_deref(), Some("2"));
    let status = |reported: &tonic::Status| metadata(reported, "httpStatus");
    for met in &reported[..3] {
        assert_eq!(status(met).as_deref(), Some("401"));
    }
    assert_eq!(status(&reported[3]), None);
    let rejected = seen(&gateway).iter().filter(|(_, status)| *status == 401).count();
    assert_eq!(rejected, 4);
    let metrics = gateway.metrics().await;
    for alias in ["team-a", "team-b"] {
        assert_eq!(sample(&metrics, REJECTED, &[("key", alias)]), 1);
    }
    assert_eq!(gateway.page("GET", "/readyz").await.0, 200);
    // A file that changes ends it, whichever it is.
    mounts[1].swap("pa-canary-third");
    gateway.simulator().keys().accept_only(["pa-canary-third"]);
    eventually(async || gateway.embed(texts(&["at last"])).await.is_ok()).await;
}

#[tokio::test]
async fn every_keys_budget_is_used_and_no_more() {
    let mounts = [Mount::new(OLD), Mount::new(NEW)];
    let [one, two] = mounts.each_ref().map(Mount::file);
    let key = |alias: &str, file: &Path, rpm| KeyConfig {
        alias: alias.to_owned(),
        file: file.to_owned(),
        rpm: Some(rpm),
        tpm: None,
    };
    let keys = KeySources::configured(&[key("two", &one, 2), key("three", &two, 3)]);
    let gateway = Gateway::with_keys(keys, |config, options| {
        config.limits.rpm = Some(1);
        options.keys = AcceptedKeys::default();
        options.keys.limit(OLD, Some(2), None);
        options.keys.limit(NEW, Some(3), None);
    })
    .await;
    for number in 0..5 {
        embed(&gateway, &format!("text {number}")).await;
    }
    let mut request = tonic::Request::new(texts(&["one too many"]));
    request.set_timeout(Duration::from_secs(20));
    let status = gateway.client().await.embed(request).await.err().unwrap();
    assert_eq!((status.code(), reason(&status)), (Code::ResourceExhausted, "QUEUE_TIMEOUT".into()));
    let count = |key: &str| seen(&gateway).iter().filter(|(used, _)| used == key).count();
    assert_eq!((count(OLD), count(NEW)), (2, 3));
    assert!(seen(&gateway).iter().all(|(_, status)| *status == 200));
}

#[tokio::test]
async fn a_rate_limit_names_the_key_it_is_of() {
    let mounts = [Mount::new(OLD), Mount::new(NEW)];
    let [one, two] = mounts.each_ref().map(Mount::file);
    let gateway = Gateway::with_keys(pool(&[("team-a", &one), ("team-b", &two)]), |_, options| {
        options.keys = AcceptedKeys::default();
    })
    .await;
    gateway.simulator().script().always(Fault::status(429).with_header("retry-after", "50"));
    let mut request = tonic::Request::new(texts(&["a text"]));
    request.set_timeout(Duration::from_secs(30));
    let status = gateway.client().await.embed(request).await.err().unwrap();
    assert_eq!(reason(&status), "UPSTREAM_RATE_LIMITED");
    let details = details(&status);
    let [violation] = &details.quota_failure().unwrap().violations[..] else { panic!("one") };
    // The first key's 429 sent it to the second at once.
    assert_eq!(violation.subject, "voyage-key:team-b");
    let keys: Vec<String> = seen(&gateway).into_iter().map(|(key, _)| key).collect();
    assert_eq!(keys, [OLD, NEW]);
}

#[tokio::test]
async fn neither_log_nor_metrics_nor_errors_show_a_key_of_the_pool() {
    // A test has one thread of its own, but for the one that reads files.
    let log = Log::from(Level::TRACE);
    let mounts = [Mount::new(OLD), Mount::new("pa-canary-bad")];
    let [one, two] = mounts.each_ref().map(Mount::file);
    let gateway = Gateway::with_keys(pool(&[("team-a", &two), ("team-b", &one)]), often).await;
    embed(&gateway, "one").await;
    mounts[0].swap(NEW);
    until_metric(&gateway, RELOADS, &[("outcome", "changed")], 1).await;
    embed(&gateway, "two").await;
    // Voyage's words about one key name another.
    let words = format!("Neither {OLD} nor {NEW} nor pa-canary-bad may do this.");
    gateway.simulator().script().next_calls(1, Fault::status(400).with_detail(&words));
    let reported = gateway.embed(texts(&["three"])).await.err().unwrap();
    assert_eq!(reported.message().matches("[redacted]").count(), 3, "{}", reported.message());
    let elsewhere = Fault::status(302).with_header("location", &format!("https://{NEW}.example/"));
    gateway.simulator().script().next_calls(1, elsewhere);
    let redirected = gateway.embed(texts(&["four"])).await.err().unwrap();
    assert_eq!(metadata(&redirected, "location").as_deref(), Some("[redacted].example"));

    let log = log.text();
    assert!(log.contains("team-a") && log.contains("rejects the API key"), "{log}");
    assert_eq!(log.matches("rejects the API key").count(), 2, "once a key: {log}");
    let shown = format!("{log} {reported:?} {redirected:?} {}", gateway.metrics().await);
    assert!(!shown.contains("canary"), "{shown}");
}
