//! Collectors that fail: they cost spans, and do not hold the process's end.

use std::sync::atomic::Ordering::SeqCst;

use tokio::net::TcpListener;

use super::{
    collector::{FakeCollector, Manner},
    *,
};

/// Starts to export spans over gRPC.
fn exporting(url: &str, more: &[(&str, &str)]) -> Exported {
    let mut variables = vec![
        ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", url),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
        // Only a full batch or the end sends anything.
        ("OTEL_BSP_SCHEDULE_DELAY", "86400000"),
        // What hangs does so for longer than any test.
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "86400000"),
    ];
    variables.extend(more);
    started(&variables)
}

#[test]
fn the_end_takes_at_most_three_seconds() {
    assert_eq!(LAST_EXPORT + LAST_STOP, Duration::from_secs(3));
}

#[track_caller]
fn assert_all_lost(metrics: &Metrics, spans: u64) {
    assert_eq!(counted(metrics, "recorded"), spans);
    assert_eq!(counted(metrics, "exported"), 0);
    assert_eq!(counted(metrics, "failed") + counted(metrics, "dropped"), spans);
}

#[tokio::test]
async fn a_collector_that_hangs_does_not_hold_the_end() {
    let collector = FakeCollector::start(OtlpProtocol::Grpc, Manner::Hangs).await;
    let exported = exporting(&collector.url(), &[("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "3")]);
    end(&exported, 3);
    until(|| collector.asked.load(SeqCst) == 1).await;
    let metrics = exported.metrics.clone();
    let lost = exported.flush.finish_within(Duration::from_millis(200), pending()).await;
    // It is back while the collector still has the request and has not answered.
    assert_eq!((lost, collector.asked.load(SeqCst)), (3, 1));
    assert!(collector.arrived().is_empty());
    assert_all_lost(&metrics, 3);
}

#[tokio::test]
async fn a_peer_that_says_nothing_does_not_hold_the_end() {
    // The kernel accepts for it; nobody ever reads.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    for protocol in ["grpc", "http/protobuf"] {
        let exported = exporting(&url, &[("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", protocol)]);
        end(&exported, 2);
        let metrics = exported.metrics.clone();
        let lost = exported.flush.finish_within(Duration::from_millis(200), pending()).await;
        assert_eq!(lost, 2, "{protocol}");
        assert_all_lost(&metrics, 2);
    }
}

#[tokio::test]
async fn a_dead_collector_does_not_hold_the_end() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let exported = exporting(&url, &[]);
    end(&exported, 2);
    let metrics = exported.metrics.clone();
    // It refuses connections: the retries are soon over, and the limit of a day does not matter.
    let lost = exported.flush.finish_within(Duration::from_hours(24), pending()).await;
    assert_eq!(lost, 2);
    assert_all_lost(&metrics, 2);
}

#[tokio::test]
async fn a_second_signal_ends_the_wait() {
    let collector = FakeCollector::start(OtlpProtocol::Grpc, Manner::Hangs).await;
    let exported = exporting(&collector.url(), &[]);
    end(&exported, 1);
    let asked = Arc::clone(&collector.asked);
    let signal = until(move || asked.load(SeqCst) > 0);
    let lost = exported.flush.finish_within(Duration::from_hours(24), signal).await;
    assert_eq!(lost, 1);
}

#[tokio::test]
async fn without_a_finish_nothing_is_waited_for() {
    let collector = FakeCollector::start(OtlpProtocol::Grpc, Manner::Hangs).await;
    let url = collector.url();
    let exported = started(&[
        ("OTEL_EXPORTER_OTLP_ENDPOINT", &url),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "86400000"),
    ]);
    end(&exported, 1);
    drop(exported);
}

#[tokio::test]
async fn a_collector_that_comes_back_gets_what_is_repeated() {
    let collector = FakeCollector::start(OtlpProtocol::Grpc, Manner::UnavailableFor(2)).await;
    let exported = exporting(&collector.url(), &[("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "4")]);
    // A full batch leaves by itself.
    end(&exported, 4);
    let metrics = exported.metrics.clone();
    until(|| counted(&metrics, "exported") == 4).await;
    assert_eq!(collector.asked.load(SeqCst), 3);
    assert_eq!(exported.flush.finish(pending()).await, 0);
}

#[tokio::test]
async fn what_is_refused_for_good_is_not_repeated() {
    let collector = FakeCollector::start(OtlpProtocol::Grpc, Manner::Refuses).await;
    let exported = exporting(&collector.url(), &[("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "4")]);
    end(&exported, 4);
    let metrics = exported.metrics.clone();
    until(|| counted(&metrics, "failed") == 4).await;
    assert_eq!(collector.asked.load(SeqCst), 1);
    // Afterwards it is there as before.
    collector.manner.send_replace(Manner::Takes);
    end(&exported, 4);
    until(|| counted(&metrics, "exported") == 4).await;
    assert_eq!(exported.flush.finish(pending()).await, 4);
}

#[tokio::test]
async fn a_full_queue_drops_and_counts() {
    let collector = FakeCollector::start(OtlpProtocol::Grpc, Manner::Hangs).await;
    let small = [("OTEL_BSP_MAX_QUEUE_SIZE", "8"), ("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "4")];
    let exported = exporting(&collector.url(), &small);
    let metrics = exported.metrics.clone();
    end(&exported, 4);
    until(|| collector.asked.load(SeqCst) > 0).await;
    // Four are with the collector, eight have room, and the others have none.
    end(&exported, 20);
    assert_eq!(counted(&metrics, "dropped"), 12);
    assert_eq!(counted(&metrics, "recorded"), 24);
    // When it takes again, what is there arrives.
    collector.manner.send_replace(Manner::Takes);
    assert_eq!(exported.flush.finish(pending()).await, 12);
    assert_eq!(counted(&metrics, "exported"), 12);
}
