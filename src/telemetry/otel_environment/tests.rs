use http::Uri;

use super::*;
use crate::telemetry::{OtlpCompression, OtlpProtocol};

fn read(variables: &[(&str, &str)]) -> OtelEnvironment {
    OtelEnvironment::read(|name| {
        let found = variables.iter().find(|(variable, _)| *variable == name);
        found.map(|(_, value)| (*value).to_owned())
    })
}

/// Returns the names of variables that were refused.
fn refused(variables: &[(&str, &str)]) -> Vec<String> {
    read(variables).problems().iter().map(|problem| problem.variable.clone()).collect()
}

#[test]
fn without_variables_nothing_is_asked_for() {
    let nothing = read(&[]);
    assert!(!nothing.disabled);
    assert_eq!(nothing.sampler, None);
    assert_eq!(nothing.traces.exporters, None);
    assert_eq!(nothing.traces.endpoint, None);
    assert_eq!(nothing.limits, Limits::default());
    assert!(nothing.problems().is_empty());
}

#[test]
fn an_empty_variable_is_none() {
    let empty = ["OTEL_SDK_DISABLED", "OTEL_TRACES_SAMPLER", "OTEL_EXPORTER_OTLP_ENDPOINT"];
    let variables: Vec<_> = empty.iter().map(|name| (*name, " ")).collect();
    assert!(refused(&variables).is_empty());
    assert_eq!(read(&variables).traces.endpoint, None);
}

#[test]
fn all_six_samplers_are_known() {
    let arg = ("OTEL_TRACES_SAMPLER_ARG", "0.25");
    for (name, parent_based, ratio) in [
        ("always_on", false, 1.0),
        ("always_off", false, 0.0),
        ("traceidratio", false, 0.25),
        ("parentbased_always_on", true, 1.0),
        ("parentbased_always_off", true, 0.0),
        ("parentbased_traceidratio", true, 0.25),
        ("ParentBased_TraceIdRatio", true, 0.25),
    ] {
        let sampler = read(&[("OTEL_TRACES_SAMPLER", name), arg]).sampler;
        assert_eq!(sampler, Some(Sampling { parent_based, ratio }), "{name}");
    }
}

#[test]
fn a_variable_that_makes_no_sense_is_told_once_and_ignored() {
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
        ("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "4096"),
        ("OTEL_METRIC_EXPORT_INTERVAL", "1e3"),
        ("OTEL_METRIC_EXPORT_TIMEOUT", "x"),
        ("OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT", "-3"),
        ("OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT", "long"),
        ("OTEL_SPAN_LINK_COUNT_LIMIT", "\u{fffd}"),
    ] {
        assert_eq!(refused(&[(variable, value)]), [variable], "{variable}={value}");
    }
}

#[test]
fn a_bad_argument_records_everything() {
    let variables = [("OTEL_TRACES_SAMPLER", "traceidratio"), ("OTEL_TRACES_SAMPLER_ARG", "7")];
    assert_eq!(refused(&variables), ["OTEL_TRACES_SAMPLER_ARG"]);
    let sampler = read(&variables).sampler.unwrap();
    assert_eq!(sampler, Sampling { parent_based: false, ratio: 1.0 });
}

#[test]
fn propagators_are_tracecontext_or_none() {
    for (names, heeded) in [
        ("tracecontext,baggage", Some(true)),
        ("tracecontext", Some(true)),
        ("baggage", Some(false)),
        ("none", Some(false)),
        ("b3", None),
        ("b3, tracecontext", Some(true)),
    ] {
        assert_eq!(read(&[("OTEL_PROPAGATORS", names)]).propagates, heeded, "{names}");
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
    assert!(both.problems().is_empty());
    let (traces, metrics) = (both.traces, both.metrics);
    let endpoint = traces.endpoint.unwrap();
    assert_eq!(endpoint.uri, Uri::from_static("https://traces/own/path"));
    assert!(endpoint.exact);
    assert!(!metrics.endpoint.unwrap().exact);
    assert_eq!(traces.protocol, Some(OtlpProtocol::Grpc));
    assert_eq!(metrics.protocol, Some(OtlpProtocol::HttpProtobuf));
    assert_eq!(traces.compression, Some(OtlpCompression::None));
    assert_eq!(metrics.compression, Some(OtlpCompression::Gzip));
    assert_eq!(traces.timeout, Some(Duration::from_millis(1500)));
    assert_eq!(metrics.timeout, Some(Duration::from_millis(20)));
    assert_eq!(traces.headers["authorization"], "Bearer abc");
    assert_eq!(traces.headers["x-team"], "search");
}

#[test]
fn no_credential_is_shown() {
    let shown = format!("{:?}", read(&[("OTEL_EXPORTER_OTLP_HEADERS", "authorization=hush")]));
    assert!(!shown.contains("hush"), "{shown}");
}

#[test]
fn a_variable_may_have_so_many_headers_and_with_more_it_is_ignored() {
    const NAME: &str = "OTEL_EXPORTER_OTLP_HEADERS";
    let of = |count: usize| {
        let headers: Vec<_> = (0..count).map(|number| format!("x-{number}=canary")).collect();
        read(&[(NAME, &headers.join(","))])
    };
    assert_eq!(of(64).traces.headers.len(), 64);
    // More than a map of headers holds at all.
    for count in [65, 40_000] {
        let read = of(count);
        assert!(read.traces.headers.is_empty() && read.metrics.headers.is_empty());
        let told = read.problems();
        assert!(told.iter().all(|problem| problem.variable == NAME), "{told:?}");
        assert_eq!(told.len(), 1, "{told:?}");
    }
}

#[test]
fn limits_of_spans_come_before_those_of_all_attributes() {
    let limits = read(&[
        ("OTEL_ATTRIBUTE_COUNT_LIMIT", "9"),
        ("OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT", "5"),
        ("OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT", "30"),
        ("OTEL_SPAN_LINK_COUNT_LIMIT", "2"),
        ("OTEL_SPAN_EVENT_COUNT_LIMIT", "0"),
    ])
    .limits;
    let wanted = Limits {
        attributes: 5,
        value_length: Some(30),
        events: 0,
        links: 2,
        event_attributes: 9,
        link_attributes: 9,
    };
    assert_eq!(limits, wanted);
}
