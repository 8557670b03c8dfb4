//! The server's records, delays and end.

use std::{
    io,
    sync::{Arc, Mutex},
    time::Duration,
};

use serde_json::json;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::Instant,
};

use super::client::{CLOSE, JSON, KEY, exchange, post, post_bytes, request, simulator, texts};
use crate::simulator::{Fault, Latency, Options, Simulator};

#[tokio::test]
async fn calls_are_remembered_in_order() {
    let simulator = simulator().await;
    post(&simulator, &texts(&["one", "two words"])).await.unwrap();
    let body = json!({ "input": "three", "model": "voyage-5" });
    post(&simulator, &body).await.unwrap();
    post_bytes(&simulator, b"no json").await.unwrap();
    exchange(&simulator, &request("GET /else", &[CLOSE], b"")).await.unwrap();

    let calls = simulator.calls();
    assert_eq!(calls.iter().map(|call| call.number).collect::<Vec<_>>(), [1, 2, 3, 4]);
    assert_eq!(
        calls.iter().map(|call| call.status.unwrap()).collect::<Vec<_>>(),
        [200, 400, 400, 404]
    );
    assert_eq!(calls[0].inputs, ["one", "two words"]);
    assert_eq!((calls[0].tokens, calls[1].tokens), (3, 0));
    assert_eq!(calls[0].api_key.as_deref(), Some("pa-key"));
    assert_eq!(calls[0].headers["content-type"], "application/json");
    assert_eq!(calls[1].body, body);
    assert!(calls[2].body.is_null());
    assert_eq!((calls[3].path.as_str(), calls[3].api_key.as_deref()), ("/else", None));
    assert!(!format!("{calls:?}").contains("two words"));
    assert!(!format!("{calls:?}").contains("pa-key"));

    simulator.forget_calls();
    assert!(simulator.calls().is_empty());
    post(&simulator, &texts(&["four"])).await.unwrap();
    assert_eq!(simulator.calls()[0].number, 5);
}

#[tokio::test]
async fn only_the_newest_calls_are_kept_if_asked() {
    let simulator = Simulator::start(Options { remember: 1, ..Options::default() }).await.unwrap();
    for text in ["one", "two"] {
        post(&simulator, &texts(&[text])).await.unwrap();
    }
    let calls = simulator.calls();
    assert_eq!((calls.len(), calls[0].inputs[0].as_str(), calls[0].status), (1, "two", Some(200)));
}

#[tokio::test]
async fn one_connection_serves_many_requests() {
    let simulator = simulator().await;
    let mut stream = TcpStream::connect(simulator.address()).await.unwrap();
    let body = json!({ "input": "", "model": "voyage-4" }).to_string();
    for expected in 1..=3 {
        stream
            .write_all(&request("POST /v1/embeddings", &[KEY, JSON], body.as_bytes()))
            .await
            .unwrap();
        let mut buffer = [0; 2_048];
        let read = stream.read(&mut buffer).await.unwrap();
        assert!(buffer[..read].starts_with(b"HTTP/1.1 400 "));
        assert_eq!(simulator.calls().len(), expected);
    }
}

#[tokio::test]
async fn calls_do_not_wait_for_one_another() {
    let simulator = simulator().await;
    simulator.script().on_text("hang", Fault::Hang);
    let hanging = tokio::spawn({
        let simulator = simulator.clone();
        async move { post(&simulator, &texts(&["hang"])).await }
    });
    while simulator.calls().is_empty() {
        tokio::task::yield_now().await;
    }
    assert_eq!(post(&simulator, &texts(&["go"])).await.unwrap().status, 200);
    assert!(!hanging.is_finished());
    hanging.abort();
}

#[tokio::test(start_paused = true)]
async fn replies_take_their_time() {
    let seconds = Duration::from_secs;
    let latency =
        Latency { base: seconds(10), per_1k_tokens: seconds(100), jitter: Duration::ZERO };
    let simulator = Simulator::start(Options { latency, ..Options::default() }).await.unwrap();
    let start = Instant::now();
    post(&simulator, &texts(&[&"word ".repeat(500)])).await.unwrap();
    assert_eq!(start.elapsed().as_secs(), 60);

    let refused = Instant::now();
    post(&simulator, &json!({})).await.unwrap();
    assert_eq!(refused.elapsed(), Duration::ZERO, "refusals are quick");
}

#[tokio::test(start_paused = true)]
async fn jitter_varies_within_its_bound() {
    let latency = Latency { jitter: Duration::from_secs(10), ..Latency::default() };
    let simulator = Simulator::start(Options { latency, ..Options::default() }).await.unwrap();
    let mut waits = Vec::new();
    for _ in 0..5 {
        let start = Instant::now();
        post(&simulator, &texts(&["a"])).await.unwrap();
        waits.push(start.elapsed());
    }
    assert!(waits.iter().all(|wait| *wait <= Duration::from_millis(10_001)));
    waits.sort();
    waits.dedup();
    assert_eq!(waits.len(), 5);
}

#[tokio::test]
async fn dropping_the_last_clone_stops_it_and_closes_connections() {
    let simulator = simulator().await;
    let mut stream = TcpStream::connect(simulator.address()).await.unwrap();
    stream.write_all(&request("POST /v1/embeddings", &[KEY, JSON], b"{}")).await.unwrap();
    let mut buffer = [0; 2_048];
    assert!(stream.read(&mut buffer).await.unwrap() > 0);

    let clone = simulator.clone();
    drop(simulator);
    assert_eq!(post(&clone, &texts(&["a"])).await.unwrap().status, 200);
    let (address, mut ended) = (clone.address(), clone.0.ended.clone());
    drop(clone);
    assert!(ended.changed().await.is_err(), "its task is gone");
    assert!(matches!(stream.read(&mut buffer).await, Ok(0) | Err(_)));
    assert!(TcpStream::connect(address).await.is_err());
}

#[tokio::test]
async fn a_request_that_breaks_off_is_no_call() {
    let simulator = simulator().await;
    let mut stream = TcpStream::connect(simulator.address()).await.unwrap();
    let whole = request("POST /v1/embeddings", &[KEY, JSON], b"{\"input\": 1}");
    stream.write_all(&whole[..whole.len() - 3]).await.unwrap();
    stream.shutdown().await.unwrap();
    let mut rest = Vec::new();
    let _ = stream.read_to_end(&mut rest).await;
    assert!(simulator.calls().is_empty());
}

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn calls_are_logged_by_numbers_only() {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_ansi(false)
        .with_max_level(tracing::Level::INFO)
        .with_writer(move || writer.clone())
        .finish();
    // The server runs on this thread, so its events arrive here.
    let _guard = tracing::subscriber::set_default(subscriber);
    let options = Options { log_requests: true, ..Options::default() };
    let simulator = Simulator::start(options).await.unwrap();
    post(&simulator, &texts(&["two words", "secret"])).await.unwrap();

    let log = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    assert!(log.contains("call number=1 inputs=2 tokens=3 status=200 in_flight=1"), "{log}");
    assert!(!log.contains("secret") && !log.contains("pa-key"));
}
