use http::Uri;

use super::*;
use crate::telemetry::OtlpProtocol;

fn read(variables: &[(&str, &str)]) -> OtelEnvironment {
    OtelEnvironment::read(|name| {
        let found = variables.iter().find(|(variable, _)| *variable == name);
        found.map(|(_, value)| (*value).to_owned())
    })
}

/// Returns the names of variables that were refused.
fn refused(variables: &[(&str, &str)]) -> Vec<String> {
    read(variables).invalid().iter().map(|invalid| invalid.variable.clone()).collect()
}

#[test]
fn without_variables_nothing_is_set() {
    let nothing = read(&[]);
    assert!(!nothing.disabled);
    assert_eq!(nothing.traces.exporters, None);
    assert_eq!(nothing.traces.endpoint, None);
    assert!(nothing.invalid().is_empty());
}

#[test]
fn an_empty_variable_is_unset() {
    let empty = ["OTEL_SDK_DISABLED", "OTEL_TRACES_SAMPLER", "OTEL_EXPORTER_OTLP_ENDPOINT"];
    let variables: Vec<_> = empty.iter().map(|name| (*name, " ")).collect();
    assert!(refused(&variables).is_empty());
    assert_eq!(read(&variables).traces.endpoint, None);
}

#[test]
fn all_six_samplers_are_known() {
    for (name, sampler) in [
        ("always_on", "AlwaysOn"),
        ("always_off", "AlwaysOff"),
        ("traceidratio", "TraceIdRatioBased(0.25)"),
        ("parentbased_always_on", "ParentBased(AlwaysOn)"),
        ("parentbased_always_off", "ParentBased(AlwaysOff)"),
        ("parentbased_traceidratio", "ParentBased(TraceIdRatioBased(0.25))"),
    ] {
        let read = read(&[("OTEL_TRACES_SAMPLER", name), ("OTEL_TRACES_SAMPLER_ARG", "0.25")]);
        assert!(read.invalid().is_empty(), "{name}");
        assert_eq!(format!("{:?}", read.sampler.unwrap()), sampler);
    }
}

#[test]
fn an_invalid_ratio_is_1_as_its_warning_says() {
    for ratio in ["-1", "2", "NaN", "half"] {
        let read =
            read(&[("OTEL_TRACES_SAMPLER", "traceidratio"), ("OTEL_TRACES_SAMPLER_ARG", ratio)]);
        assert_eq!(format!("{:?}", read.sampler.unwrap()), "TraceIdRatioBased(1.0)", "{ratio}");
    }
}

#[test]
fn an_invalid_variable_is_named_once() {
    for (variable, value) in [
        ("OTEL_SDK_DISABLED", "yes"),
        ("OTEL_TRACES_SAMPLER", "jaeger_remote"),
        ("OTEL_TRACES_SAMPLER", "xray"),
        ("OTEL_RESOURCE_ATTRIBUTES", "no pair"),
        ("OTEL_RESOURCE_ATTRIBUTES", "a=%zz"),
        ("OTEL_PROPAGATORS", "b3"),
        ("OTEL_TRACES_EXPORTER", "zipkin"),
        ("OTEL_TRACES_EXPORTER", "prometheus"),
        ("OTEL_METRICS_EXPORTER", "statsd"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "ftp://collector"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://user:word@collector:4317"),
        ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "/only/a/path"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:99999"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://[::1]:99999"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "a b=c"),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "-1"),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "0"),
        ("OTEL_EXPORTER_OTLP_COMPRESSION", "zstd"),
        ("OTEL_EXPORTER_OTLP_INSECURE", "1"),
        ("OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE", "sideways"),
        ("OTEL_BSP_SCHEDULE_DELAY", "soon"),
        ("OTEL_BSP_EXPORT_TIMEOUT", "1s"),
        ("OTEL_BSP_MAX_QUEUE_SIZE", "1000000000000"),
        ("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "0"),
        ("OTEL_METRIC_EXPORT_INTERVAL", "1e3"),
        ("OTEL_METRIC_EXPORT_TIMEOUT", "x"),
        ("OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT", "-3"),
        ("OTEL_TRACES_SAMPLER", "Always_On"),
        ("OTEL_TRACES_SAMPLER_ARG", "7"),
        ("OTEL_TRACES_SAMPLER_ARG", "NaN"),
        ("OTEL_SPAN_LINK_COUNT_LIMIT", "\u{fffd}"),
    ] {
        assert_eq!(refused(&[(variable, value)]), [variable], "{variable}={value}");
    }
}

#[test]
fn propagators_are_tracecontext_or_none() {
    for (names, propagates) in [
        ("tracecontext,baggage", Some(true)),
        ("tracecontext", Some(true)),
        ("baggage", Some(false)),
        ("none", Some(false)),
        ("b3", None),
        ("b3, tracecontext", Some(true)),
    ] {
        assert_eq!(read(&[("OTEL_PROPAGATORS", names)]).propagates, propagates, "{names}");
    }
}

#[test]
fn a_signals_own_variable_wins() {
    let both = read(&[
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://all:4318"),
        ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "https://traces/own/path"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
        ("OTEL_EXPORTER_OTLP_METRICS_PROTOCOL", "http/protobuf"),
        ("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip"),
        ("OTEL_EXPORTER_OTLP_TRACES_COMPRESSION", "none"),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "1500"),
        ("OTEL_EXPORTER_OTLP_METRICS_TIMEOUT", "20"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Bearer%20abc, x-team = search"),
    ]);
    assert!(both.invalid().is_empty());
    let (traces, metrics) = (both.traces, both.metrics);
    assert_eq!(traces.endpoint, Some(Uri::from_static("https://traces/own/path")));
    assert!(traces.endpoint_is_own && !metrics.endpoint_is_own);
    assert_eq!(traces.protocol, Some(OtlpProtocol::Grpc));
    assert_eq!(metrics.protocol, Some(OtlpProtocol::HttpProtobuf));
    assert_eq!(traces.timeout, Some(Duration::from_millis(1500)));
    assert_eq!(metrics.timeout, Some(Duration::from_millis(20)));
    assert_eq!(traces.header_names, ["authorization", "x-team"]);
}

#[test]
fn a_batch_is_at_most_the_queue() {
    let small = read(&[("OTEL_BSP_MAX_QUEUE_SIZE", "8")]);
    assert_eq!((small.batching.queue_size, small.batching.batch_size), (8, 8));
}
