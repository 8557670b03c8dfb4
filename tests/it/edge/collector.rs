//! Collectors beside the real process: a healthy one, and one that hangs.

use std::{
    convert::Infallible,
    net::SocketAddr,
    process::Command,
    sync::{Arc, Mutex},
};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::{Request, Response, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use rustix::process::Signal;
use tokio::net::TcpListener;

use super::process::{BINARY, Process};
use crate::{
    raw::Connection,
    support::{eventually, texts},
};

/// Takes whatever it is sent over OTLP/HTTP, and notes the paths.
async fn collector() -> (SocketAddr, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let paths: Arc<Mutex<Vec<String>>> = Arc::default();
    let noted = Arc::clone(&paths);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let noted = Arc::clone(&noted);
            let take = service_fn(move |request: Request<Incoming>| {
                let noted = Arc::clone(&noted);
                async move {
                    let path = request.uri().path().to_owned();
                    let _ = request.into_body().collect().await;
                    noted.lock().unwrap().push(path);
                    Ok::<_, Infallible>(Response::new(Full::<Bytes>::default()))
                }
            });
            // How a connection ends does not matter.
            tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), take));
        }
    });
    (address, paths)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clean_stop_beside_a_healthy_collector_warns_of_nothing() {
    let (address, paths) = collector().await;
    let endpoint = format!("telemetry.otlp_endpoint=http://{address}");
    // A busy machine may not finish the last exports in time, which is a warning: until there is none.
    eventually(async || {
        let mut process = Process::serve(Command::new(BINARY), &[&endpoint]);
        let connection = Connection::open(process.grpc).await;
        connection.embed(&[], &texts(&[""])).await.unwrap_err();
        process.signal(Signal::TERM);
        let events = process.rest();
        assert_eq!(process.ended().code(), Some(0));
        !events.iter().any(|event| event["level"] == "WARN" || event["level"] == "ERROR")
    })
    .await;
    let paths = paths.lock().unwrap();
    for path in ["/v1/traces", "/v1/metrics"] {
        assert!(paths.iter().any(|taken| taken == path), "{paths:?}");
    }
}

/// The process ends although the collector accepts connections and never answers, whatever the export's timeout is.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hung_collector_does_not_hold_the_process() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    for protocol in ["grpc", "http/protobuf"] {
        let settings = [
            format!("telemetry.otlp_endpoint=http://{address}"),
            format!("telemetry.otlp_protocol={protocol}"),
            "telemetry.otlp_timeout=10m".to_owned(),
        ];
        let settings = settings.each_ref().map(String::as_str);
        let mut process = Process::serve(Command::new(BINARY), &settings);
        let connection = Connection::open(process.grpc).await;
        connection.embed(&[], &texts(&[""])).await.unwrap_err();
        process.signal(Signal::TERM);
        let events = process.rest();
        let lost = events.iter().find(|event| event["message"] == "spans were not exported");
        assert_eq!(lost.unwrap()["lost"], 1, "{protocol}: {events:?}");
        assert_eq!(process.ended().code(), Some(0), "{protocol}");
    }
}
