//! The client's requests and their address.

use std::{env, io, net::TcpListener, process::Command};

use super::*;

#[tokio::test]
async fn the_request_is_a_post_with_the_key() {
    let server = Server::start(http("200 OK", BODY), End::Close);
    // A slash at the end of the base URL is not doubled.
    let client = client(&config(&format!("{}/", server.url("http"))));
    ask(&client).await.unwrap();
    let request = server.request().await;
    let (head, body) = request.split_once("\r\n\r\n").unwrap();
    let mut lines = head.lines();
    assert_eq!(lines.next(), Some("POST /v1/embeddings HTTP/1.1"));
    let lines: Vec<_> = lines.collect();
    for line in [
        "authorization: Bearer pa-canary-of-the-client",
        "content-type: application/json",
        concat!("user-agent: voyage-gateway/", env!("CARGO_PKG_VERSION")),
    ] {
        assert!(lines.contains(&line), "{line} is not in {head}");
    }
    // No `accept-encoding`: compressed replies are not read.
    assert!(!head.to_ascii_lowercase().contains("accept-encoding"), "{head}");
    let body: serde_json::Value = serde_json::from_str(body).unwrap();
    assert_eq!(body["input"], serde_json::json!(["hi"]));
}

#[test]
fn the_key_is_not_printed() {
    let client = client(&config("http://127.0.0.1:1/v1"));
    let shown = format!("{client:?} {client:#?}");
    assert!(!shown.contains("canary"), "{shown}");
    assert!(shown.contains("http://127.0.0.1:1/v1"), "{shown}");
}

#[test]
fn the_key_chooses_the_host_unless_one_is_given() {
    let of = |key: &str, base_url: Option<&str>| {
        let config = Config { base_url: base_url.map(str::to_owned), ..Config::default() };
        let key = keys(key).members().next().unwrap().key();
        let client = client(&config);
        // The call's own key decides, not the pool's.
        assert_eq!(client.base_url(&key), config.base_url_for(&key));
        client.base_url(&key).to_owned()
    };
    assert_eq!(of("pa-key", None), "https://api.voyageai.com/v1");
    assert_eq!(of("al-key", None), "https://ai.mongodb.com/v1");
    // Only the beginning counts, as it is written.
    for key in ["AL-key", "pa-al-key", "al"] {
        assert_eq!(of(key, None), "https://api.voyageai.com/v1", "{key:?}");
    }
    for key in ["pa-key", "al-key"] {
        assert_eq!(of(key, Some("https://proxy.example/v1/")), "https://proxy.example/v1");
    }
}

#[test]
fn loopback_is_known_in_every_spelling() {
    for url in [
        "http://localhost/v1",
        "http://LocalHost:8080",
        "http://127.0.0.1:1/v1",
        "http://127.255.255.254",
        "https://[::1]:8443/v1",
    ] {
        assert!(super::super::url::is_loopback(url), "{url}");
    }
    for url in [
        "https://api.voyageai.com/v1",
        "http://localhost.example/v1",
        "http://10.0.0.1/v1",
        "http://128.0.0.1",
        "http://[::2]/v1",
        "http://0.0.0.0/v1",
        "http://voyage.example/127.0.0.1",
        "not a url",
        "",
    ] {
        assert!(!super::super::url::is_loopback(url), "{url}");
    }
}

/// All tests share the environment of this process, so the test runs once more in a process of its own.
#[test]
fn a_proxy_is_not_used_for_loopback() {
    let proxy = TcpListener::bind("127.0.0.1:0").unwrap();
    proxy.set_nonblocking(true).unwrap();
    let url = format!("http://{}", proxy.local_addr().unwrap());
    let mut command = Command::new(env::current_exe().unwrap());
    command
        .args(["--exact", "upstream::client::tests::request::the_request_is_a_post_with_the_key"]);
    for name in ["HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"] {
        command.env(name, &url);
    }
    let output = command.env_remove("NO_PROXY").env_remove("no_proxy").output().unwrap();
    let shown = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && shown.contains("1 passed"), "{shown}");
    assert_eq!(proxy.accept().unwrap_err().kind(), io::ErrorKind::WouldBlock);
}
