//! Debug log lines about callers with wrong TLS, or without TLS.

use rcgen::date_time_ymd;
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tracing::Level;

use super::*;
use crate::support::Log;

const BADLY: &str = "handshake failed";

/// Returns the log line of a connection, and checks its peer.
async fn line(log: &Log, peer: SocketAddr) -> String {
    let line = log.line(BADLY).await;
    assert_eq!(line["level"], "DEBUG");
    assert_eq!(line["port"], "grpc");
    assert_eq!(line["peer"], peer.to_string());
    let Value::String(problem) = &line["problem"] else { panic!("{line}") };
    problem.clone()
}

async fn refused(gateway: &Gateway) -> u64 {
    let labels = [("port", "grpc"), ("reason", "handshake_error")];
    sample(&gateway.metrics().await, "voyage_gateway_connection_failures_total", &labels)
}

/// Connects with this TLS configuration; returns its own address and the last bytes of the port.
async fn attempt(gateway: &Gateway, config: ClientConfig) -> (SocketAddr, String) {
    let stream = TcpStream::connect(gateway.grpc()).await.unwrap();
    let own = stream.local_addr().unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    let heard = match TlsConnector::from(Arc::new(config)).connect(name, stream).await {
        Err(error) => error.to_string(),
        // The server's refusal of a certificate arrives after the client's part of the handshake.
        Ok(mut stream) => stream.read_u8().await.unwrap_err().to_string(),
    };
    (own, heard)
}

#[tokio::test]
async fn tls_to_a_port_without() {
    let log = Log::from(Level::DEBUG);
    let gateway = Gateway::start().await;
    let config = client(&Authority::new(), None, &VERSIONS);
    let (own, heard) = attempt(&gateway, config).await;
    assert!(heard.contains("eof") || heard.contains("reset"), "{heard}");
    assert_eq!(line(&log, own).await, "TLS on a plaintext port");
    assert_eq!(refused(&gateway).await, 1);
}

#[tokio::test]
async fn plaintext_to_a_port_with_tls() {
    let authority = Authority::new();
    for hello in [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".as_slice(), b"GET / HTTP/1.1\r\n\r\n"] {
        let log = Log::from(Level::DEBUG);
        let gateway = Files::new(&authority.server(2100), None).serve().await;
        let mut stream = TcpStream::connect(gateway.grpc()).await.unwrap();
        let own = stream.local_addr().unwrap();
        stream.write_all(hello).await.unwrap();
        // An alert, unless the hang-up overtakes it.
        let _ = stream.read_to_end(&mut Vec::new()).await;
        assert_eq!(line(&log, own).await, "plaintext on a TLS port");
        assert_eq!(refused(&gateway).await, 1);
    }
}

#[tokio::test]
async fn other_protocols_in_tls() {
    let authority = Authority::new();
    let log = Log::from(Level::DEBUG);
    let gateway = Files::new(&authority.server(2100), None).serve().await;
    let mut old = client(&authority, None, &VERSIONS);
    old.alpn_protocols = vec![b"http/1.1".to_vec()];
    let (own, heard) = attempt(&gateway, old).await;
    assert!(heard.contains("NoApplicationProtocol"), "{heard}");
    let problem = line(&log, own).await;
    assert_eq!(problem, "TLS: peer doesn't support any known protocol");
}

#[tokio::test]
async fn http1_within_tls() {
    let authority = Authority::new();
    let log = Log::from(Level::DEBUG);
    let gateway = Files::new(&authority.server(2100), None).serve().await;
    let mut silent = client(&authority, None, &VERSIONS);
    silent.alpn_protocols.clear();
    let mut stream = connect(gateway.grpc(), &Arc::new(silent)).await.unwrap();
    let own = stream.get_ref().0.local_addr().unwrap();
    stream.write_all(b"GET /status HTTP/1.1\r\n\r\n").await.unwrap();
    stream.flush().await.unwrap();
    let mut heard = Vec::new();
    let _ = stream.read_to_end(&mut heard).await;
    assert_eq!(heard, b"");
    assert_eq!(line(&log, own).await, "HTTP/1.1 on a gRPC port");
}

#[tokio::test]
async fn leaving_without_a_word_of_tls() {
    let authority = Authority::new();
    let log = Log::from(Level::DEBUG);
    let gateway = Files::new(&authority.server(2100), None).serve().await;
    let config = Arc::new(client(&authority, None, &VERSIONS));
    let mut stream = connect(gateway.grpc(), &config).await.unwrap();
    let own = stream.get_ref().0.local_addr().unwrap();
    stream.write_all(b"PRI * HTTP/2.0").await.unwrap();
    stream.flush().await.unwrap();
    stream.get_mut().0.shutdown().await.unwrap();
    assert_eq!(line(&log, own).await, "closed within the first bytes");
}

#[tokio::test]
async fn certificates_that_are_not_accepted() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    let expired = authority.signed(|params| params.not_after = date_time_ymd(2020, 1, 1));
    let early = authority.signed(|params| params.not_before = date_time_ymd(4000, 1, 1));
    let server_only = authority.signed(|params| {
        params.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ServerAuth];
    });
    let strange = stranger.client("caller");
    for (certificate, alert, problem) in [
        (None, "CertificateRequired", "peer sent no certificates"),
        (Some(&expired), "CertificateExpired", "certificate expired"),
        (Some(&early), "CertificateExpired", "certificate not valid yet"),
        (Some(&server_only), "", "certificate does not allow extended key usage for client auth"),
        (Some(&strange), "DecryptError", "BadSignature"),
    ] {
        let log = Log::from(Level::DEBUG);
        let gateway = Files::new(&authority.server(2100), Some(&authority)).serve().await;
        let (own, heard) = attempt(&gateway, client(&authority, certificate, &[&TLS13])).await;
        assert!(heard.contains(alert), "{heard}, {problem}");
        let logged = line(&log, own).await;
        assert!(logged.starts_with("TLS: ") && logged.contains(problem), "{logged}");
        assert_eq!(gateway.simulator().calls().len(), 0);
    }
}

/// A caller that does not trust the gateway's certificate sends an alert.
#[tokio::test]
async fn a_caller_that_does_not_trust_the_gateway() {
    let (authority, other) = (Authority::new(), Authority::new());
    let log = Log::from(Level::DEBUG);
    let gateway = Files::new(&authority.server(2100), None).serve().await;
    let (own, heard) = attempt(&gateway, client(&other, None, &VERSIONS)).await;
    assert!(heard.contains("invalid peer certificate"), "{heard}");
    let problem = line(&log, own).await;
    let known = ["UnknownCA", "BadCertificate", "DecryptError"];
    let alert = problem.strip_prefix("TLS: received fatal alert: ");
    assert!(alert.is_some_and(|alert| known.contains(&alert)), "{problem}");
}

#[tokio::test]
async fn a_version_of_tls_that_is_not_served() {
    let authority = Authority::new();
    let log = Log::from(Level::DEBUG);
    let gateway = Files::new(&authority.server(2100), None).serve().await;
    let mut stream = TcpStream::connect(gateway.grpc()).await.unwrap();
    let own = stream.local_addr().unwrap();
    // A hello of TLS 1.0, with one cipher and nothing more.
    let hello = [
        b"\x16\x03\x01\x00\x2d\x01\x00\x00\x29\x03\x01".as_slice(),
        &[7; 32],
        b"\x00\x00\x02\x00\x2f\x01\x00",
    ];
    stream.write_all(&hello.concat()).await.unwrap();
    let mut heard = Vec::new();
    let _ = stream.read_to_end(&mut heard).await;
    assert!(heard.first().is_none_or(|kind| *kind == 21), "{heard:?}");
    let problem = line(&log, own).await;
    assert!(problem.starts_with("TLS: peer is incompatible: "), "{problem}");
}
