//! Failing collectors cost spans, and do not delay the process's end.

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
        // Longer than any test.
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
async fn a_hung_collector_does_not_delay_the_end() {
    let collector = FakeCollector::start(OtlpProtocol::Grpc, Manner::Hangs).await;
    let exported = exporting(&collector.url(), &[("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "3")]);
    end(&exported, 3);
    until(|| collector.requests.load(SeqCst) == 1).await;
    let metrics = exported.metrics.clone();
    let lost = exported.flush.finish_within(Duration::from_millis(200), pending()).await;
    // The collector still has the request and has not answered.
    assert_eq!((lost, collector.requests.load(SeqCst)), (3, 1));
    assert!(collector.arrived().is_empty());
    assert_all_lost(&metrics, 3);
}

#[tokio::test]
async fn a_silent_peer_does_not_delay_the_end() {
    // The kernel accepts the connection, and nothing reads from it.
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
async fn a_dead_collector_does_not_delay_the_end() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let exported = exporting(&url, &[]);
    end(&exported, 2);
    let metrics = exported.metrics.clone();
    // Connections are refused, so the retries end long before the limit.
    let lost = exported.flush.finish_within(Duration::from_hours(24), pending()).await;
    assert_eq!(lost, 2);
    assert_all_lost(&metrics, 2);
}

#[tokio::test]
async fn a_second_signal_ends_the_wait() {
    let collector = FakeCollector::start(OtlpProtocol::Grpc, Manner::Hangs).await;
    let exported = exporting(&collector.url(), &[]);
    end(&exported, 1);
    let requests = Arc::clone(&collector.requests);
    let signal = until(move || requests.load(SeqCst) > 0);
    let lost = exported.flush.finish_within(Duration::from_hours(24), signal).await;
    assert_eq!(lost, 1);
}

#[tokio::test]
async fn dropping_the_exporters_does_not_wait() {
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

/// The SDK's thread may begin an export of metrics just before the end.
#[test]
fn an_export_that_outlives_the_end_does_not_panic() {
    let variables = environment(&[("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:4317")]);
    let signal = ExportConfig::new(&TelemetryConfig::default(), &variables).unwrap().metrics;
    let mut flush = Flush::default();
    let collector = flush.collector("metrics", &signal, Target::metric_exporter).unwrap().unwrap();
    drop(flush);
    let waiting = async { tokio::time::sleep(Duration::from_millis(1)).await };
    collector.runtime.handle().block_on(waiting);
}

#[tokio::test]
async fn a_transient_failure_is_retried() {
    let collector = FakeCollector::start(OtlpProtocol::Grpc, Manner::UnavailableFor(2)).await;
    let exported = exporting(&collector.url(), &[("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "4")]);
    // A full batch is sent at once.
    end(&exported, 4);
    let metrics = exported.metrics.clone();
    until(|| counted(&metrics, "exported") == 4).await;
    assert_eq!(collector.requests.load(SeqCst), 3);
    assert_eq!(exported.flush.finish(pending()).await, 0);
}

#[tokio::test]
async fn a_permanent_failure_is_not_retried() {
    let collector = FakeCollector::start(OtlpProtocol::Grpc, Manner::Refuses).await;
    let exported = exporting(&collector.url(), &[("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "4")]);
    end(&exported, 4);
    let metrics = exported.metrics.clone();
    until(|| counted(&metrics, "failed") == 4).await;
    assert_eq!(collector.requests.load(SeqCst), 1);
    // Later exports succeed.
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
    until(|| collector.requests.load(SeqCst) > 0).await;
    // The collector has four, the queue eight, and the others are dropped.
    end(&exported, 20);
    assert_eq!(counted(&metrics, "dropped"), 12);
    assert_eq!(counted(&metrics, "recorded"), 24);
    // The rest arrives when the collector answers again.
    collector.manner.send_replace(Manner::Takes);
    assert_eq!(exported.flush.finish(pending()).await, 12);
    assert_eq!(counted(&metrics, "exported"), 12);
}
