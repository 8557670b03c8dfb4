//! Collectors behind TLS, with their authority and the client's certificate.

use std::fs;

use rcgen::{CertifiedKey, KeyPair};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{RootCertStore, ServerConfig, crypto::aws_lc_rs, server::WebPkiClientVerifier},
};

use super::{
    collector::{FakeCollector, Manner},
    *,
};

/// A file for one test.
pub(super) struct File(pub(super) tempfile::TempPath);

impl File {
    pub(super) fn new(content: &str) -> Self {
        let path = tempfile::NamedTempFile::new().unwrap().into_temp_path();
        fs::write(&path, content).unwrap();
        Self(path)
    }

    fn path(&self) -> &str {
        self.0.to_str().unwrap()
    }
}

fn certified(name: &str) -> CertifiedKey<KeyPair> {
    rcgen::generate_simple_self_signed([name.to_owned()]).unwrap()
}

/// Speaks TLS as `server` with peers that have `client`'s certificate.
fn acceptor(server: &CertifiedKey<KeyPair>, client: &CertifiedKey<KeyPair>) -> TlsAcceptor {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let mut clients = RootCertStore::empty();
    clients.add(client.cert.der().clone()).unwrap();
    let verifier =
        WebPkiClientVerifier::builder_with_provider(Arc::new(clients), Arc::clone(&provider))
            .build()
            .unwrap();
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_client_cert_verifier(verifier)
        .with_single_cert(
            vec![server.cert.der().clone()],
            server.signing_key.serialize_der().try_into().unwrap(),
        )
        .unwrap();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    TlsAcceptor::from(Arc::new(config))
}

#[tokio::test]
async fn a_collector_with_mutual_tls_receives_spans() {
    let (server, client) = (certified("127.0.0.1"), certified("gateway"));
    let authority = File::new(&server.cert.pem());
    let certificate = File::new(&client.cert.pem());
    let key = File::new(&client.signing_key.serialize_pem());
    for (protocol, name) in
        [(OtlpProtocol::Grpc, "grpc"), (OtlpProtocol::HttpProtobuf, "http/protobuf")]
    {
        let tls = Some(acceptor(&server, &client));
        let collector = FakeCollector::start_with(protocol, Manner::Takes, tls).await;
        let url = format!("https://{}/v1/traces", collector.address);
        let base = [
            ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", url.as_str()),
            ("OTEL_EXPORTER_OTLP_PROTOCOL", name),
        ];
        let shown = [
            ("OTEL_EXPORTER_OTLP_CERTIFICATE", authority.path()),
            ("OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE", certificate.path()),
            ("OTEL_EXPORTER_OTLP_CLIENT_KEY", key.path()),
        ];
        // With everything, then without the client's certificate, then without the authority.
        for (variables, lost) in [(3, 0), (1, 1), (0, 1)] {
            let exported = started(&[&base[..], &shown[..variables]].concat());
            end(&exported, 1);
            assert_eq!(exported.flush.finish(pending()).await, lost, "{name}, {variables}");
        }
        assert_eq!(collector.arrived().len(), 1, "{name}");
    }
}

/// PEM of something that is no certificate.
const HUSH: &str = "-----BEGIN CERTIFICATE-----\nhush\n-----END CERTIFICATE-----\n";

#[test]
fn an_invalid_certificate_stops_the_start() {
    let key = File::new(&certified("localhost").signing_key.serialize_pem());
    for content in ["no certificate: hush", HUSH] {
        let file = File::new(content);
        let authorities = TelemetryConfig {
            otlp_ca_file: Some(file.0.to_path_buf()),
            ..TelemetryConfig::default()
        };
        let identity = TelemetryConfig {
            otlp_cert_file: Some(file.0.to_path_buf()),
            otlp_key_file: Some(key.0.to_path_buf()),
            ..TelemetryConfig::default()
        };
        for (setting, config) in [("otlp_ca_file", authorities), ("otlp_cert_file", identity)] {
            let endpoint = Some("https://collector:4317".to_owned());
            let config = TelemetryConfig { otlp_endpoint: endpoint, ..config };
            let error = start(&config, &environment(&[])).unwrap_err().to_string();
            assert!(error.starts_with(&format!("telemetry.{setting} ")), "{error}");
            assert!(!error.contains("hush"), "{error}");
        }
    }
}

#[test]
fn an_invalid_certificate_of_a_variable_is_ignored() {
    let (file, key) =
        (File::new(HUSH), File::new(&certified("localhost").signing_key.serialize_pem()));
    for protocol in ["grpc", "http/protobuf"] {
        started(&[
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "https://collector:4317"),
            ("OTEL_EXPORTER_OTLP_PROTOCOL", protocol),
            ("OTEL_EXPORTER_OTLP_CERTIFICATE", file.path()),
            ("OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE", file.path()),
            ("OTEL_EXPORTER_OTLP_CLIENT_KEY", key.path()),
        ]);
    }
}
