//! The status page, and the same as JSON.

use std::{collections::BTreeSet, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, Method};
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};
use voyage_gateway::simulator::{Fault, Latency};

use crate::{
    raw::Connection,
    support::{Gateway, eventually, texts},
};

/// Longer than the threshold of slow RPCs.
const LATENCY: Duration = Duration::from_millis(150);

async fn status(gateway: &Gateway) -> Value {
    let (status, json) = gateway.page("GET", "/status").await;
    assert_eq!(status, 200);
    serde_json::from_str(&json).expect("JSON")
}

/// Asks over HTTP/1.1 and returns the head, in lower case, and the body.
async fn http1(gateway: &Gateway, method: &str, path: &str) -> (String, String) {
    let mut stream = TcpStream::connect(gateway.admin()).await.unwrap();
    let request = format!("{method} {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut reply = String::new();
    stream.read_to_string(&mut reply).await.unwrap();
    let (head, body) = reply.split_once("\r\n\r\n").unwrap();
    (head.to_lowercase(), body.to_owned())
}

/// Returns the paths of all values, `[]` for those of lists, of the lists of one kind all together.
fn paths(value: &Value, path: &str, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(fields) => {
            for (name, field) in fields {
                paths(field, &format!("{path}.{name}"), found);
            }
        }
        Value::Array(items) => {
            found.insert(format!("{path}[]"));
            for item in items {
                paths(item, &format!("{path}[]"), found);
            }
        }
        _ => {
            found.insert(path.to_owned());
        }
    }
}

fn all_paths(value: &Value) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    paths(value, "", &mut found);
    found
}

#[tokio::test]
async fn the_page_reads_over_both_protocols() {
    let gateway = Gateway::start().await;
    let (head, page) = http1(&gateway, "GET", "/").await;
    assert!(head.starts_with("http/1.1 200"), "{head}");
    assert!(head.contains("content-type: text/html; charset=utf-8"), "{head}");
    assert!(page.contains("<h1 id=\"verdict\"") && page.ends_with("</html>"), "{page}");
    let connection = Connection::open(gateway.admin()).await;
    for (path, format) in [("/", "text/html; charset=utf-8"), ("/status", "application/json")] {
        let reply = connection.clone().request(Method::GET, path, &[], Bytes::new()).await;
        assert_eq!(reply.status, 200, "{path}");
        assert_eq!(reply.headers["content-type"], format, "{path}");
        assert!(!reply.body().is_empty(), "{path}");
        let head = connection.clone().request(Method::HEAD, path, &[], Bytes::new()).await;
        assert_eq!((head.status.as_u16(), head.body().len()), (200, 0), "{path}");
    }
}

#[tokio::test]
async fn a_browser_may_do_nothing_but_show_it() {
    let gateway = Gateway::start().await;
    for path in ["/", "/status", "/status?as=html"] {
        for method in [Method::GET, Method::HEAD] {
            let connection = Connection::open(gateway.admin()).await;
            let reply = connection.request(method, path, &[], Bytes::new()).await;
            let header = |name: &str| value(&reply.headers, name);
            let policy = header("content-security-policy");
            for part in [
                "default-src 'none'",
                "script-src 'sha256-",
                "style-src 'sha256-",
                "connect-src 'self'",
                "frame-ancestors 'none'",
                "base-uri 'none'",
                "form-action 'none'",
            ] {
                assert!(policy.contains(part), "{path}: {policy}");
            }
            assert!(!policy.contains("unsafe"), "{policy}");
            assert_eq!(header("x-content-type-options"), "nosniff", "{path}");
            assert_eq!(header("cache-control"), "no-store", "{path}");
        }
    }
}

fn value(headers: &HeaderMap, name: &str) -> String {
    headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned()
}

#[tokio::test]
async fn it_only_reads_and_is_named_where_nothing_is() {
    let gateway = Gateway::start().await;
    for path in ["/", "/status"] {
        for method in ["POST", "PUT", "DELETE", "OPTIONS"] {
            assert_eq!(gateway.page(method, path).await.0, 405, "{method} {path}");
        }
        assert_eq!(gateway.page("HEAD", path).await, (200, String::new()));
    }
    let (status, text) = gateway.page("GET", "/nothing").await;
    assert_eq!(status, 404);
    assert!(text.starts_with("/ and /status, "), "{text}");
}

#[tokio::test]
async fn the_json_has_the_names_on_file() {
    let gateway = Gateway::with(|config, simulator| {
        config.limits.daily_tokens = Some(1_000_000);
        simulator.latency = Latency { base: LATENCY, ..Latency::default() };
    })
    .await;
    gateway.simulator().script().next_calls(1, Fault::status(503));
    gateway.embed(texts(&["a text"])).await.unwrap();
    let golden: Value =
        serde_json::from_str(include_str!("../../fixtures/status.json")).expect("JSON");
    let (golden, now) = (all_paths(&golden), all_paths(&status(&gateway).await));
    // Values that are not counted are null, without fields.
    let strangers: Vec<_> = now
        .iter()
        .filter(|path| !golden.iter().any(|known| known.starts_with(path.as_str())))
        .filter(|path| !path.contains(".health."))
        .collect();
    assert!(strangers.is_empty(), "{strangers:?}");
    let missing: Vec<_> = golden
        .iter()
        .filter(|path| !now.iter().any(|there| path.starts_with(there.as_str())))
        .collect();
    assert!(missing.is_empty(), "{missing:?}");
}

#[tokio::test]
async fn its_spans_describe_the_batch() {
    let gateway = Gateway::with(|_, simulator| {
        simulator.latency = Latency { base: LATENCY, ..Latency::default() };
    })
    .await;
    assert_eq!(status(&gateway).await["health"]["state"], "well");
    gateway.simulator().script().next_calls(1, Fault::status(503));
    gateway.embed(texts(&["a", "b"])).await.unwrap();
    gateway.embed(texts(&["a", "b"])).await.unwrap();
    gateway.embed(texts::<&str>(&[])).await.err().unwrap();
    eventually(async || status(&gateway).await["rpcs"]["all"]["since_start"] == 3.0).await;
    let reported = status(&gateway).await;
    let outcome = |name: &str| {
        let outcomes = reported["rpcs"]["outcomes"].as_array().unwrap();
        let found = outcomes.iter().find(|outcome| outcome["name"] == name).unwrap();
        found["last_minute"].to_string()
    };
    assert_eq!([outcome("ok"), outcome("caller"), outcome("upstream")], ["2.0", "1.0", "0.0"]);
    assert_eq!(reported["cache"]["hit_ratio_since_start"], 0.5);
    assert_eq!(reported["upstream"]["calls"]["since_start"], 2.0);
    assert_eq!(reported["health"]["state"], "impaired");
    assert_eq!(reported["health"]["voyage"][0]["code"], "calls_failed");
    assert_eq!(reported["health"]["callers"][0]["code"], "refused");
    let error = &reported["upstream"]["errors"][0];
    assert_eq!(error["reason"], "UPSTREAM_UNAVAILABLE");
    assert_eq!((&error["status"], &error["key"]), (&Value::from(503), &Value::from("default")));
    let slow = reported["slow_rpcs"].as_array().unwrap();
    // On a busy machine the other RPCs may be slow too.
    assert_eq!(slow[0]["method"], "voyage.gateway.v1.EmbeddingService/Embed");
    assert_eq!(slow[0]["caller"], "anonymous");
    assert_eq!(slow[0]["trace_id"].as_str().unwrap().len(), 32);
    assert_eq!(reported["callers"][0]["caller"], "anonymous");
    let page = gateway.page("GET", "/").await.1;
    assert!(page.contains("UPSTREAM_UNAVAILABLE"), "{page}");
    assert!(page.contains(slow[0]["request_id"].as_str().unwrap()), "{page}");
}

#[tokio::test]
async fn a_rejected_key_is_named_and_never_shown() {
    let gateway = Gateway::start().await;
    gateway.simulator().script().always(Fault::status(401));
    gateway.embed(texts(&["a secret text"])).await.err().unwrap();
    eventually(async || status(&gateway).await["health"]["state"] == "failing").await;
    let (page, json) = (gateway.page("GET", "/").await.1, gateway.page("GET", "/status").await.1);
    for reported in [&page, &json] {
        assert!(reported.contains("rejects the key default"), "{reported}");
        assert!(
            !reported.contains(crate::support::KEY) && !reported.contains("a secret text"),
            "{reported}"
        );
    }
}
