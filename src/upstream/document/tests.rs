//! A document is fetched whole, from where it was said to be and nowhere else.

use std::{fs, path::Path};

use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::TcpListener,
    task::JoinHandle,
};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{ServerConfig, crypto::aws_lc_rs},
};

use super::*;

const WHAT: &str = "a.file";

/// A file that is removed at the end of its test.
struct File(tempfile::TempPath);

impl File {
    fn new(content: &[u8]) -> Self {
        let path = tempfile::NamedTempFile::new().unwrap().into_temp_path();
        fs::write(&path, content).unwrap();
        Self(path)
    }

    fn path(&self) -> PathBuf {
        self.0.to_path_buf()
    }
}

/// Reads a request's head, answers it and returns it.
async fn answer(mut stream: impl AsyncRead + AsyncWrite + Unpin, reply: &[u8]) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    // A client that has read enough hangs up.
    let _ = stream.write_all(reply).await;
    let _ = stream.shutdown().await;
    String::from_utf8(head).unwrap()
}

/// Serves one reply; returns the URL and the request.
async fn serve(reply: Vec<u8>) -> (String, JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/openid/v1/jwks", listener.local_addr().unwrap());
    let served = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        answer(stream, &reply).await
    });
    (url, served)
}

fn ok(body: &[u8]) -> Vec<u8> {
    let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", body.len());
    [head.as_bytes(), body].concat()
}

fn metrics() -> Metrics {
    Metrics::new().unwrap()
}

#[tokio::test]
async fn a_document_is_fetched_with_its_credential() {
    let token = File::new(b"first\n");
    for shown in ["first", "second"] {
        fs::write(&token.0, format!("{shown}\n")).unwrap();
        let (url, served) = serve(ok(b"{}")).await;
        let document =
            Document::new(&url).with_bearer_file(WHAT, token.path(), &metrics()).unwrap();
        assert_eq!(document.fetch().await.as_deref(), Ok(b"{}".as_slice()));
        let request = served.await.unwrap();
        assert!(request.starts_with("GET /openid/v1/jwks HTTP/1.1\r\n"), "{request}");
        assert!(request.contains(&format!("authorization: Bearer {shown}\r\n")), "{request}");
        assert!(!format!("{document:?}").contains(shown));
    }
}

#[tokio::test]
async fn a_credential_that_changes_is_taken_over() {
    let token = File::new(b"first");
    let (url, served) = serve(ok(b"{}")).await;
    let document = Document::new(&url).with_bearer_file(WHAT, token.path(), &metrics()).unwrap();
    fs::write(&token.0, "second").unwrap();
    let files = document.files();
    files[0].reload();
    document.fetch().await.unwrap();
    assert!(served.await.unwrap().contains("authorization: Bearer second\r\n"));
    assert_eq!(files.len(), 1);
}

#[tokio::test]
async fn an_invalid_document_is_an_error() {
    let (elsewhere, untouched) = serve(ok(b"{}")).await;
    let redirect =
        format!("HTTP/1.1 302 Found\r\nlocation: {elsewhere}\r\ncontent-length: 0\r\n\r\n");
    let large = ok(&vec![b' '; MAX_BYTES + 1]);
    for (reply, reported) in [
        (
            b"HTTP/1.1 404 Not Found\r\ncontent-length: 6\r\n\r\ncanary".to_vec(),
            "the server answered 404",
        ),
        (b"HTTP/1.1 204 No Content\r\n\r\n".to_vec(), "the server answered 204"),
        (redirect.into_bytes(), "the server answered 302"),
        (large, "larger than 1048576 bytes"),
    ] {
        let (url, _served) = serve(reply).await;
        assert_eq!(Document::new(&url).fetch().await.unwrap_err(), reported);
    }
    assert!(!untouched.is_finished(), "a redirect was followed");
    untouched.abort();

    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/canary", listener.local_addr().unwrap());
    drop(listener);
    let reported = Document::new(&url).fetch().await.unwrap_err();
    assert!(reported.contains("refused") && !reported.contains("canary"), "{reported}");
}

/// Serves one reply over TLS; returns the URL, and the CA that makes it good.
async fn serve_tls() -> (String, File) {
    let names = vec!["127.0.0.1".to_owned()];
    let certified = rcgen::generate_simple_self_signed(names).unwrap();
    let key = certified.signing_key.serialize_der().try_into().unwrap();
    let config = ServerConfig::builder_with_provider(aws_lc_rs::default_provider().into())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certified.cert.der().clone()], key)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://{}/jwks", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            if let Ok(stream) = acceptor.accept(stream).await {
                answer(stream, &ok(b"{}")).await;
            }
        }
    });
    (url, File::new(certified.cert.pem().as_bytes()))
}

#[tokio::test]
async fn the_server_is_certified_by_the_given_authorities_only() {
    let (url, authority) = serve_tls().await;
    let (_, other) = serve_tls().await;
    let trusting =
        |file: &File| Document::new(&url).with_ca(WHAT, file.path(), &metrics()).unwrap();
    assert_eq!(trusting(&authority).fetch().await.as_deref(), Ok(b"{}".as_slice()));
    for document in [Document::new(&url), trusting(&other)] {
        let reported = document.fetch().await.unwrap_err();
        assert!(reported.contains("certificate"), "{reported}");
    }
    // The authorities may change while the gateway runs.
    let changing = trusting(&other);
    fs::write(&other.0, fs::read(&authority.0).unwrap()).unwrap();
    changing.files()[0].reload();
    assert!(changing.fetch().await.is_ok());
}

#[test]
fn files_that_cannot_be_used_are_named() {
    let document = || Document::new("https://issuer.example/jwks");
    let refused = |result: Result<Document, LoadError>, path: &Path, problem: &str| {
        let reported = result.unwrap_err().to_string();
        assert_eq!(reported, format!("{WHAT}: {}: {problem}", path.display()));
    };
    for content in [b"".as_slice(), b"canary", b"-----BEGIN CERTIFICATE-----\ncanary\n"] {
        let file = File::new(content);
        let result = document().with_ca(WHAT, file.path(), &metrics());
        refused(result, &file.0, "expected certificates as PEM");
    }
    for content in [b"".as_slice(), b"\n", b"two tokens", b"one\ntwo", b"caf\xc3\xa9", b"\xff"] {
        let file = File::new(content);
        let result = document().with_bearer_file(WHAT, file.path(), &metrics());
        refused(result, &file.0, "expected a token of visible ASCII characters");
    }
}

#[test]
fn what_is_fetched_cannot_be_changed_on_the_way() {
    for url in [
        "https://kubernetes.default.svc.cluster.local/openid/v1/jwks",
        "HTTPS://issuer.example:8443/keys?policy=one",
        "http://127.0.0.1:8001/openid/v1/jwks",
        "http://localhost/jwks",
        "http://[::1]:1/jwks",
    ] {
        assert!(may_fetch(url), "{url}");
    }
    for url in [
        "",
        "jwks",
        "https://",
        "http://issuer.example/jwks",
        "http://127.0.0.1.example/jwks",
        "http://localhost@issuer.example/",
        "https://user@issuer.example/jwks",
        "https://user:password@issuer.example/jwks",
        "https://issuer.example/jwks#one",
        "https://issuer.example/a b",
        " https://issuer.example/jwks",
        "file:///etc/passwd",
        "ftp://issuer.example/jwks",
    ] {
        assert!(!may_fetch(url), "{url}");
    }
}
