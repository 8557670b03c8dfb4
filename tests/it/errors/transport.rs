//! Rows 20 to 24 and 44: no connection, no TLS, no answer in time, and a defect of our own.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use futures_util::future::BoxFuture;
use tokio::{
    io::AsyncReadExt as _,
    net::{TcpListener, TcpSocket},
};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{ServerConfig, pki_types::PrivatePkcs8KeyDer},
};
use tonic::{Code, Status};
use voyage_gateway::{
    error::Error,
    item::{Input, Parameters},
    simulator::Fault,
    telemetry::trace,
    units::TimeSpan,
    upstream::{ApiKey, Reply, Upstream},
};

use super::{Row, check_discretion, pushback, walk};
use crate::{
    raw::Connection,
    support::{
        Gateway, assert_vectors, details, eventually, metadata, pass, reason, sample, texts,
    },
};

#[tokio::test]
async fn a_connection_that_is_reset() {
    let row = Row::new(Fault::Reset, Code::Unavailable, "UPSTREAM_CONNECT_FAILED");
    walk(vec![row.retry(1).attempts(3).resent()]).await;
}

#[tokio::test]
async fn a_stale_connection_costs_no_attempt() {
    let gateway = Gateway::with(|config, _| config.retry.max_attempts = 1).await;
    gateway.embed(texts(&["one"])).await.unwrap();
    gateway.simulator().script().next_calls(1, Fault::Reset);
    let reply = gateway.embed(texts(&["two"])).await.unwrap();
    assert_vectors(reply.get_ref(), &["two"]);
    assert_eq!(gateway.sent(), [["one"], ["two"], ["two"]]);
}

/// Calls through a gateway whose Voyage is at this address.
async fn refused_at(scheme: &str, address: SocketAddr) -> Status {
    let base_url = format!("{scheme}://{address}/v1");
    let gateway = Gateway::with(|config, _| config.upstream.base_url = Some(base_url)).await;
    let status = gateway.embed(texts(&["text number 1"])).await.err().unwrap();
    assert_eq!(gateway.page("GET", "/livez").await.0, 200);
    check_discretion("transport", &status);
    assert_eq!(details(&status).error_info().unwrap().domain, "voyageai.com");
    assert_eq!(metadata(&status, "httpStatus"), None);
    status
}

#[tokio::test]
async fn a_port_without_a_listener() {
    // Bound and not listening: the system gives the port to no other process.
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let status = refused_at("http", socket.local_addr().unwrap()).await;
    assert_eq!(status.code(), Code::Unavailable);
    assert_eq!(reason(&status), "UPSTREAM_CONNECT_FAILED");
    assert_eq!(pushback(&status).as_deref(), Some("1000"));
    assert_eq!(metadata(&status, "attempts").as_deref(), Some("3"));
}

#[tokio::test]
async fn a_certificate_of_an_unknown_authority() {
    let certified = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let key = PrivatePkcs8KeyDer::from(certified.signing_key.serialize_der());
    let config = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![certified.cert.der().clone()], key.into())
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            // The client is right to end the handshake.
            let _ = acceptor.accept(stream).await;
        }
    });
    let status = refused_at("https", address).await;
    assert_eq!(status.code(), Code::Unavailable);
    assert_eq!(reason(&status), "UPSTREAM_TLS_FAILED");
    // A retry cannot succeed: the pushback forbids it to stock clients.
    assert!(details(&status).retry_info().is_none());
    assert_eq!(pushback(&status).as_deref(), Some("-1"));
    assert_eq!(metadata(&status, "attempts").as_deref(), Some("1"));
}

#[tokio::test]
async fn a_tls_handshake_that_is_cut() {
    // Closed after the greeting was read; and with the greeting unread, which the system turns into a reset.
    for read in [true, false] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                stream.readable().await.unwrap();
                if read {
                    let _ = stream.read(&mut [0; 16 * 1024]).await;
                }
            }
        });
        let status = refused_at("https", address).await;
        assert_eq!(status.code(), Code::Unavailable);
        assert_eq!(reason(&status), "UPSTREAM_TLS_FAILED");
        assert_eq!(pushback(&status).as_deref(), Some("1000"));
        assert_eq!(metadata(&status, "attempts").as_deref(), Some("2"));
    }
}

/// Longer than any attempt takes, however busy the machine is: only a test that moves the clock ends one.
const ATTEMPT: TimeSpan = TimeSpan::from_secs(100);
/// Longer than two of them.
const DEADLINE: TimeSpan = TimeSpan::from_secs(300);

#[tokio::test]
async fn an_attempt_that_takes_too_long() {
    let endless = Fault::SlowDrip { chunk: 1, pause: Duration::from_millis(50) };
    for fault in [Fault::Hang, endless] {
        let gateway = Gateway::with(|config, simulator| {
            config.server.default_deadline = DEADLINE;
            config.upstream.attempt_timeout = ATTEMPT;
            config.retry.max_attempts = 1;
            simulator.script.next_calls(1, fault);
        })
        .await;
        let call = gateway.spawn(texts(&["a text"])).await;
        gateway.until_calls(1).await;
        pass(ATTEMPT.get()).await;
        let status = call.await.unwrap().err().unwrap();
        assert_eq!(status.code(), Code::Unavailable);
        assert_eq!(reason(&status), "UPSTREAM_TIMEOUT");
        assert_eq!(pushback(&status).as_deref(), Some("1000"));
        let reply = gateway.embed(texts(&["a text"])).await.unwrap();
        assert_vectors(reply.get_ref(), &["a text"]);
    }
}

#[tokio::test]
async fn an_attempt_that_takes_too_long_is_made_again() {
    let gateway = Gateway::with(|config, simulator| {
        config.server.default_deadline = DEADLINE;
        config.upstream.attempt_timeout = ATTEMPT;
        simulator.script.next_calls(1, Fault::Hang);
    })
    .await;
    let call = gateway.spawn(texts(&["a text"])).await;
    gateway.until_calls(1).await;
    pass(ATTEMPT.get()).await;
    assert_vectors(call.await.unwrap().unwrap().get_ref(), &["a text"]);
    assert_eq!(gateway.sent(), [["a text"], ["a text"]]);
}

/// Checks a status of a deadline that passed while waiting for `phase`.
fn check_late(status: &Status, phase: &str) {
    assert_eq!(
        (status.code(), reason(status).as_str()),
        (Code::DeadlineExceeded, "DEADLINE_EXCEEDED")
    );
    assert_eq!(details(status).error_info().unwrap().domain, "voyage-gateway");
    assert_eq!(metadata(status, "phase").as_deref(), Some(phase));
    assert!(details(status).retry_info().is_none());
    assert_eq!(pushback(status), None);
}

#[tokio::test]
async fn a_deadline_that_passes() {
    // The gateway's own bounds instead of the caller's deadline: tonic's client has a clock of its own.
    let deadline = TimeSpan::from_secs(60);
    let gateway = Gateway::holding(|config, _| {
        config.batch.max_in_flight = 1;
        config.server.default_deadline = deadline;
        config.server.max_deadline = deadline;
    })
    .await;
    let first = gateway.spawn(texts(&["first"])).await;
    gateway.until_calls(1).await;
    let mut late = tonic::Request::new(texts(&["second"]));
    late.set_timeout(Duration::from_mins(10));
    let mut client = gateway.client().await;
    let second = tokio::spawn(async move { client.embed(late).await });
    gateway.until_in_flight(2).await;
    pass(deadline.get()).await;
    check_late(&first.await.unwrap().err().unwrap(), "upstream");
    check_late(&second.await.unwrap().err().unwrap(), "queue");
    // A caller that gave the longest timeout is not to blame.
    eventually(async || late_by(&gateway).await == (0, 2)).await;
}

/// Returns how many RPCs ran out of time by their callers' doing, and by Voyage's.
async fn late_by(gateway: &Gateway) -> (u64, u64) {
    let metrics = gateway.metrics().await;
    let of = |whose| {
        let labels = [("rpc_response_status_code", "DEADLINE_EXCEEDED"), ("outcome", whose)];
        let errors = [("reason", "DEADLINE_EXCEEDED"), ("blame", whose)];
        let ended = sample(&metrics, "voyage_gateway_rpcs_total", &labels);
        // An error is counted when its status is made, and the RPC when the status was sent.
        assert!(sample(&metrics, "voyage_gateway_errors_total", &errors) >= ended);
        ended
    };
    (of("caller"), of("upstream"))
}

#[tokio::test]
async fn a_deadline_that_is_too_short_is_its_callers_doing() {
    let gateway = Gateway::holding(|config, _| {
        config.batch.max_in_flight = 1;
        config.upstream.attempt_timeout = ATTEMPT;
    })
    .await;
    let connection = Connection::open(gateway.grpc()).await;
    for (phase, text) in [("upstream", "first"), ("queue", "second")] {
        let connection = connection.clone();
        // Less than half of the default, and far more than the test takes to get there.
        let call = tokio::spawn(async move {
            connection.embed(&[("grpc-timeout", "20S")], &texts(&[text])).await
        });
        gateway.until_in_flight(1).await;
        gateway.until_calls(1).await;
        pass(Duration::from_secs(20)).await;
        check_late(&call.await.unwrap().err().unwrap(), phase);
    }
    eventually(async || late_by(&gateway).await == (2, 0)).await;
}

/// An upstream with a defect.
struct Panicking;

impl Upstream for Panicking {
    fn call<'a>(
        &'a self,
        _: &'a ApiKey,
        _: &'a Parameters,
        _: &'a [&'a Input],
        _: &'a mut trace::Span,
    ) -> BoxFuture<'a, Result<Reply, Error>> {
        Box::pin(async { panic!("words of a panic") })
    }
}

#[tokio::test]
async fn a_defect_of_our_own() {
    let gateway = Gateway::around(Panicking).await;
    // Twice: a panic never blocks a key.
    for _ in 0..2 {
        let status = gateway.embed(texts(&["text number 1"])).await.err().unwrap();
        assert_eq!((status.code(), reason(&status).as_str()), (Code::Internal, "INTERNAL"));
        let details = details(&status);
        assert_eq!(details.error_info().unwrap().domain, "voyage-gateway");
        assert!(details.error_info().unwrap().metadata.is_empty());
        assert!(!details.request_info().unwrap().request_id.is_empty());
        assert!(!format!("{status:?}{details:?}").contains("words of a panic"));
        check_discretion("a panic", &status);
    }
    assert_eq!(gateway.page("GET", "/livez").await.0, 200);
}
