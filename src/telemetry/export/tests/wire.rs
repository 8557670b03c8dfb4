//! Requests that arrive at a collector.

use opentelemetry_proto::tonic::{common::v1::any_value::Value, resource::v1::Resource};

use super::{
    collector::{Arrived, FakeCollector, Manner},
    tls::File,
    *,
};
use crate::telemetry::OtlpCompression;

const PROTOCOLS: [(OtlpProtocol, &str); 2] =
    [(OtlpProtocol::Grpc, "grpc"), (OtlpProtocol::HttpProtobuf, "http/protobuf")];

/// Returns an attribute of a resource that is text.
fn attribute(resource: &Resource, key: &str) -> Option<String> {
    let found = resource.attributes.iter().find(|attribute| attribute.key == key)?;
    match found.value.as_ref()?.value.as_ref()? {
        Value::StringValue(text) => Some(text.clone()),
        _ => None,
    }
}

#[tokio::test]
async fn spans_and_metrics_arrive_with_their_resource() {
    for (protocol, name) in PROTOCOLS {
        let collector = FakeCollector::start(protocol, Manner::Takes).await;
        let headers = File::new("authorization: Bearer hu%20sh\n");
        let config = TelemetryConfig {
            otlp_headers_file: Some(headers.0.to_path_buf()),
            otlp_compression: Some(OtlpCompression::Gzip),
            ..TelemetryConfig::default()
        };
        let variables = [
            ("OTEL_EXPORTER_OTLP_ENDPOINT", &*collector.url()),
            ("OTEL_EXPORTER_OTLP_PROTOCOL", name),
            ("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=test,service.name=no"),
            ("OTEL_SERVICE_NAME", "gateway-7"),
        ];
        let exported = start(&config, &environment(&variables)).unwrap();
        end(&exported, 3);
        exported.metrics.retry();
        let metrics = exported.metrics.clone();
        assert_eq!(exported.flush.finish(pending()).await, 0, "{name}");
        assert_eq!(counted(&metrics, "recorded"), 3);
        assert_eq!(counted(&metrics, "exported"), 3);

        let (mut spans, mut points) = (0, Vec::new());
        for arrived in collector.arrived() {
            let (headers, resource) = match arrived {
                Arrived::Spans(headers, request) => {
                    let of = &request.resource_spans[0];
                    let scope = &of.scope_spans[0];
                    assert_eq!(scope.scope.as_ref().unwrap().name, "voyage-gateway");
                    assert_eq!(scope.schema_url, crate::telemetry::semconv::SCHEMA_URL);
                    assert_eq!(scope.spans[0].name, "Embed");
                    spans += scope.spans.len();
                    (headers, of.resource.clone().unwrap())
                }
                Arrived::Points(headers, request) => {
                    let of = &request.resource_metrics[0];
                    let metrics = of.scope_metrics.iter().flat_map(|scope| &scope.metrics);
                    points.extend(metrics.map(|metric| metric.name.clone()));
                    (headers, of.resource.clone().unwrap())
                }
            };
            assert_eq!(headers["authorization"], "Bearer hu%20sh");
            let encoding = match protocol {
                OtlpProtocol::Grpc => "grpc-encoding",
                OtlpProtocol::HttpProtobuf => "content-encoding",
            };
            assert_eq!(headers[encoding], "gzip");
            assert_eq!(attribute(&resource, "service.name").unwrap(), "gateway-7");
            assert_eq!(attribute(&resource, "deployment.environment.name").unwrap(), "test");
            assert_eq!(attribute(&resource, "service.version").unwrap(), env!("CARGO_PKG_VERSION"));
            assert_eq!(attribute(&resource, "service.instance.id").unwrap().len(), 36);
        }
        assert_eq!(spans, 3, "{name}");
        assert!(points.contains(&"voyage_gateway.retries".to_owned()), "{points:?}");
    }
}
