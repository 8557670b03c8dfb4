//! A batch without waiters ends: it is counted, and its span ends.

use http::HeaderMap;

use super::*;
use crate::telemetry::trace::{Span, Tracer, parent_based, tests::Kept};

impl Kept {
    /// Begins the span of a waiter.
    fn root(&self) -> Span {
        Tracer::new(parent_based(1.0), self.clone()).serve(&HeaderMap::new(), "root")
    }

    /// Returns how long the spans of batches lasted that are over.
    fn batches(&self) -> Vec<Duration> {
        let spans = self.0.lock().unwrap();
        let batches = spans.iter().filter(|span| span.name.starts_with("embeddings"));
        batches.map(|span| span.end_time.duration_since(span.start_time).unwrap()).collect()
    }
}

/// Returns the batches that were counted, by how they failed, and how long they took together.
fn counted(stage: &Stage) -> Vec<(String, u64, Duration)> {
    let page = stage.metrics.render().unwrap();
    let series = |what: &str| {
        let name = format!("gen_ai_client_embeddings_duration_seconds_{what}{{");
        let lines = page.lines().filter_map(|line| line.strip_prefix(name.as_str()));
        lines.map(|line| line.rsplit_once(' ').unwrap()).collect::<Vec<_>>()
    };
    let kind = |labels: &str| {
        let kind = labels.split_once("error_type=\"").map(|(_, rest)| rest.split('"').next());
        kind.flatten().unwrap_or_default().to_owned()
    };
    let pairs = series("count").into_iter().zip(series("sum"));
    pairs
        .map(|((labels, count), (same, sum))| {
            assert_eq!(labels, same);
            let took = Duration::from_secs_f64(sum.parse().unwrap());
            (kind(labels), count.parse().unwrap(), took)
        })
        .collect()
}

fn limited() -> Fault {
    Fault::RateLimited { retry_after: Some(secs(20)), free_tier: false }
}

#[tokio::test(start_paused = true)]
async fn a_batch_ends_when_the_gate_rejects_all_its_waiters() {
    let stage = Stage::new(Fake::failing([Some(limited())]), &Settings::default());
    let kept = Kept::default();
    let root = kept.root();
    let hasty = within(&["hasty", "too"], secs(5));
    assert!(matches!(stage.run_traced(hasty, root.context()).await, Err(Error::Upstream(_))));
    settled().await;
    assert_eq!(kept.batches(), [millis(100)], "it does not wait for the gate");
    assert_eq!(counted(&stage), [("rate_limited".to_owned(), 1, millis(100))]);
    // It is counted once.
    tokio::time::sleep(secs(30)).await;
    assert_eq!(counted(&stage), [("rate_limited".to_owned(), 1, millis(100))]);
    assert_eq!(stage.fake.calls().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_batch_ends_soon_when_its_waiters_leave_behind_the_gate() {
    let stage = Stage::new(Fake::failing([Some(limited())]), &Settings::default());
    let kept = Kept::default();
    let root = kept.root();
    let parameters = parameters();
    let patient = Request { parameters: Arc::clone(&parameters), ..request(&["patient"]) };
    let (traced, trace) = (stage.clone(), root.context().clone());
    let task = tokio::spawn(async move { traced.run_traced(patient, &trace).await });
    settled().await;
    tokio::time::sleep(secs(2)).await;
    assert!(kept.batches().is_empty(), "somebody waits for it");
    task.abort();
    // Items without waiters are removed once a second.
    tokio::time::sleep(secs(2)).await;
    let took = kept.batches();
    assert!(took.len() == 1 && (secs(2)..=secs(3)).contains(&took[0]), "{took:?}");
    let counted = counted(&stage);
    assert!(counted.len() == 1 && counted[0].1 == 1, "{counted:?}");
    stage.assert_idle(&parameters).await;
    assert_eq!(stage.fake.calls().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_batch_ends_when_all_its_waiters_are_rejected_for_lack_of_budget() {
    let busy = Fault::Unavailable { retry_after: None };
    let settings = Settings { limits: limits(1, 10_000), ..Settings::default() };
    let stage = Stage::new(Fake::failing([Some(busy)]), &settings);
    let kept = Kept::default();
    let root = kept.root();
    let hasty = within(&["hasty"], secs(5));
    // The only request of the minute has failed, so none is left for the repeat.
    assert!(matches!(
        stage.run_traced(hasty, root.context()).await,
        Err(Error::QueueTimeout { .. })
    ));
    settled().await;
    let took = kept.batches();
    assert!(took.len() == 1 && took[0] < secs(1), "{took:?}");
    let counted = counted(&stage);
    assert!(counted.len() == 1 && counted[0].1 == 1, "{counted:?}");
}
