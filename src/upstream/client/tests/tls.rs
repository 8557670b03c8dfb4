//! TLS: a certificate that is not accepted, and handshakes that are cut.

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{ServerConfig, crypto::aws_lc_rs},
};

use super::*;

/// Serves one connection, and returns the URL to call.
async fn listen<F: Future<Output = ()> + Send + 'static>(
    serve: impl FnOnce(TcpStream) -> F + Send + 'static,
) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        serve(stream).await;
    });
    format!("https://{address}/v1")
}

/// Reads the client's first bytes, so that closing is no reset.
async fn hear_hello(stream: &mut TcpStream) {
    let mut hello = [0; 4096];
    assert!(stream.read(&mut hello).await.unwrap() > 0);
}

fn acceptor(names: &[&str]) -> TlsAcceptor {
    let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
    let certified = rcgen::generate_simple_self_signed(names).unwrap();
    let key = certified.signing_key.serialize_der().try_into().unwrap();
    let config = ServerConfig::builder_with_provider(aws_lc_rs::default_provider().into())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certified.cert.der().clone()], key)
        .unwrap();
    TlsAcceptor::from(Arc::new(config))
}

#[tokio::test]
async fn a_certificate_of_its_own_making_is_rejected() {
    for name in ["127.0.0.1", "voyage.example"] {
        let acceptor = acceptor(&[name]);
        let url = listen(move |stream| async move {
            // The client closes the connection with an alert before its request.
            assert!(acceptor.accept(stream).await.is_err());
        })
        .await;
        let failure = failure(&config(&url)).await;
        assert_eq!((&failure.fault, failure.status), (&Fault::TlsRejected, None), "{name}");
    }
}

#[tokio::test]
async fn a_handshake_that_ends_early_is_cut() {
    for reset in [false, true] {
        let url = listen(move |mut stream| async move {
            hear_hello(&mut stream).await;
            if reset {
                stream.set_zero_linger().unwrap();
            }
        })
        .await;
        let failure = failure(&config(&url)).await;
        assert_eq!((&failure.fault, failure.status), (&Fault::TlsCut, None), "reset: {reset}");
    }
}

#[tokio::test]
async fn a_server_without_tls_cuts_the_handshake() {
    let url = listen(|mut stream| async move {
        hear_hello(&mut stream).await;
        stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await.unwrap();
    })
    .await;
    assert_eq!(failure(&config(&url)).await.fault, Fault::TlsCut);
}

#[tokio::test]
async fn a_handshake_that_hangs_is_a_failed_connection() {
    let url = listen(|mut stream| async move {
        hear_hello(&mut stream).await;
        std::future::pending::<()>().await;
    })
    .await;
    let config = Config { connect_timeout: TimeSpan::from_millis(200), ..config(&url) };
    assert_eq!(failure(&config).await.fault, Fault::ConnectFailed);
}
