//! The configuration and the environment, merged.

use super::{tls::File, *};
use crate::units::TimeSpan;

const ENDPOINT: (&str, &str) = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://variable:4318/base");

fn plan(config: &TelemetryConfig, variables: &[(&str, &str)]) -> ExportConfig {
    ExportConfig::new(config, &environment(variables)).unwrap()
}

fn configured() -> TelemetryConfig {
    TelemetryConfig {
        otlp_endpoint: Some("http://configured:4317".to_owned()),
        ..TelemetryConfig::default()
    }
}

fn uri(signal: &SignalConfig) -> String {
    signal.otlp.as_ref().unwrap().uri.to_string()
}

#[test]
fn a_key_that_is_set_wins_over_its_variable() {
    let config = TelemetryConfig {
        otlp_protocol: Some(OtlpProtocol::HttpProtobuf),
        otlp_timeout: Some(TimeSpan::from_secs(3)),
        otlp_metrics_interval: Some(TimeSpan::from_secs(7)),
        ..configured()
    };
    let plan = plan(
        &config,
        &[
            ENDPOINT,
            ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://own/path"),
            ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
            ("OTEL_EXPORTER_OTLP_TIMEOUT", "1"),
            ("OTEL_METRIC_EXPORT_INTERVAL", "1"),
        ],
    );
    assert_eq!(uri(&plan.traces), "http://configured:4317/v1/traces");
    assert_eq!(uri(&plan.metrics), "http://configured:4317/v1/metrics");
    assert_eq!(plan.traces.otlp.unwrap().timeout, Duration::from_secs(3));
    assert_eq!(plan.interval, Duration::from_secs(7));
}

#[test]
fn a_variable_applies_where_no_key_is_set() {
    let plan = plan(
        &TelemetryConfig::default(),
        &[ENDPOINT, ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://own/path")],
    );
    assert_eq!(uri(&plan.traces), "http://own/path");
    assert_eq!(uri(&plan.metrics), "http://variable:4318/base/v1/metrics");
}

#[test]
fn variables_enable_a_signal_and_the_key_sets_its_endpoint() {
    let off = plan(&configured(), &[("OTEL_TRACES_EXPORTER", "none")]);
    assert!(!off.traces.is_on() && off.metrics.is_on());
    let pulled = plan(&configured(), &[("OTEL_METRICS_EXPORTER", "prometheus")]);
    assert!(pulled.traces.is_on() && !pulled.metrics.is_on());
    let both = plan(&configured(), &[("OTEL_TRACES_EXPORTER", "console,otlp")]);
    assert!(both.traces.console && both.traces.otlp.is_some());
    let usual = plan(&TelemetryConfig::default(), &[("OTEL_TRACES_EXPORTER", "otlp")]);
    assert_eq!(uri(&usual.traces), "http://localhost:4318/v1/traces");
    assert!(!usual.metrics.is_on());
}

#[test]
fn the_default_protocol_depends_on_the_port() {
    let grpc = plan(&configured(), &[]).traces.otlp.unwrap();
    assert_eq!(grpc.protocol, OtlpProtocol::Grpc);
    assert_eq!(grpc.uri.to_string(), "http://configured:4317/");
    let http = plan(&TelemetryConfig::default(), &[ENDPOINT]).traces.otlp.unwrap();
    assert_eq!(http.protocol, OtlpProtocol::HttpProtobuf);
}

#[test]
fn an_endpoint_without_a_scheme_uses_tls_unless_insecure_is_set() {
    let bare = ("OTEL_EXPORTER_OTLP_ENDPOINT", "collector:4317");
    let default = TelemetryConfig::default();
    assert_eq!(uri(&plan(&default, &[bare]).traces), "https://collector:4317/");
    let insecure = ("OTEL_EXPORTER_OTLP_INSECURE", "true");
    assert_eq!(uri(&plan(&default, &[bare, insecure]).traces), "http://collector:4317/");
}

#[test]
fn an_invalid_file_is_named_and_not_quoted() {
    let config = TelemetryConfig {
        otlp_headers_file: Some(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml").into()),
        ..configured()
    };
    let error = ExportConfig::new(&config, &environment(&[])).unwrap_err().to_string();
    assert!(
        error.starts_with("telemetry.otlp_headers_file ") && error.contains("line 1: "),
        "{error}"
    );
    assert!(!error.contains("[package]"), "{error}");
}

#[test]
fn a_file_has_at_most_64_headers() {
    let planned = |count| {
        let lines: Vec<_> = (0..count).map(|number| format!("x-{number}: canary")).collect();
        let file = File::new(&lines.join("\n"));
        let config =
            TelemetryConfig { otlp_headers_file: Some(file.0.to_path_buf()), ..configured() };
        ExportConfig::new(&config, &environment(&[]))
    };
    let most = planned(64).unwrap();
    assert_eq!(most.traces.otlp.unwrap().headers.len(), 64);
    // More than a map of headers holds at all.
    for count in [65, 40_000] {
        let error = planned(count).unwrap_err().to_string();
        assert!(error.starts_with("telemetry.otlp_headers_file "), "{error}");
        assert!(error.ends_with("expected at most 64 headers"), "{error}");
    }
}

/// The exporter would send both.
#[test]
fn a_header_of_the_file_and_of_the_environment_stops_the_start() {
    let file = File::new("x-team: canary\nauthorization: canary");
    let config = TelemetryConfig { otlp_headers_file: Some(file.0.to_path_buf()), ..configured() };
    for name in ["OTEL_EXPORTER_OTLP_HEADERS", "OTEL_EXPORTER_OTLP_METRICS_HEADERS"] {
        let both = [(name, "x-other=1,Authorization=canary")];
        let refused = start(&config, &environment(&both)).unwrap_err().to_string();
        assert!(refused.starts_with("the header authorization is set in "), "{refused}");
        assert!(!refused.contains("canary"), "{refused}");
    }
    ExportConfig::new(&config, &environment(&[("OTEL_EXPORTER_OTLP_HEADERS", "x-other=1")]))
        .unwrap();
}
