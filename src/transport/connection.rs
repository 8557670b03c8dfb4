//! The life of one connection: handshake, HTTP, and its end by the peer, by age or by the drain.

use std::{convert::Infallible, error::Error as _, io, pin::pin, sync::Arc, time::Duration};

use http::{Request, Response};
use hyper::{
    body::Incoming,
    server::conn::{http1, http2},
    service::service_fn,
};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::graceful::GracefulConnection,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::watch,
    time::{sleep, timeout},
};
use tokio_util::either::Either;
use tonic::body::Body;

use super::{
    connection_error::ConnectionError,
    port::{Port, PortState, reached},
    preface::{self, Http},
    stream::Stream,
    streams::{self, Streams},
    tls::TlsStream,
};
use crate::{
    peer::{ConnectionInfo, PeerIdentity},
    telemetry::ConnectionFailure,
};

/// Maximum of open streams of a connection; clients queue further ones.
const MAX_STREAMS: u32 = 256;

/// Malformed streams after which a connection is closed.
const MAX_LOCAL_RESETS: usize = 1024;

/// Streams that the peer has reset and the server has not yet accepted, after which a connection is closed.
const MAX_PENDING_RESETS: usize = 20;

/// Maximum size of a request's headers, in bytes.
const MAX_HEADER_BYTES: u32 = 16 * 1024;

/// Flow-control window of a stream and of a connection, in bytes: the most that a connection makes the gateway hold
/// before a request is admitted. Usual requests need one round trip.
const RECEIVE_WINDOW: u32 = 1024 * 1024;

/// Maximum of buffered reply bytes of a stream.
const MAX_SEND_BUFFER: usize = 400 * 1024;

/// Maximum age of an HTTP/1.1 connection, which serves one request.
const HTTP1_AGE: Duration = Duration::from_secs(30);

/// A port and its HTTP settings, shared by its connections.
pub(super) struct HttpServer {
    pub(super) port: Port,
    http1: http1::Builder,
    http2: http2::Builder<Streams>,
}

impl HttpServer {
    pub(super) fn new(port: Port) -> Arc<Self> {
        let timing = &port.timing;
        let mut http1 = http1::Builder::new();
        http1
            .timer(TokioTimer::new())
            // Idle connections would count against the limit.
            .keep_alive(false)
            .header_read_timeout(timing.handshake)
            .max_buf_size(MAX_HEADER_BYTES as usize);
        let mut http2 = http2::Builder::new(Streams);
        http2
            .timer(TokioTimer::new())
            .max_concurrent_streams(MAX_STREAMS)
            .max_local_error_reset_streams(MAX_LOCAL_RESETS)
            .max_pending_accept_reset_streams(MAX_PENDING_RESETS)
            .max_header_list_size(MAX_HEADER_BYTES)
            .initial_stream_window_size(RECEIVE_WINDOW)
            .initial_connection_window_size(RECEIVE_WINDOW)
            .max_send_buf_size(MAX_SEND_BUFFER)
            .keep_alive_interval(timing.keepalive_interval)
            .keep_alive_timeout(timing.keepalive_timeout);
        Arc::new(Self { port, http1, http2 })
    }
}

/// Serves a connection until it ends; counts its failure.
pub(super) async fn serve<S, A, F>(
    stream: S,
    info: ConnectionInfo,
    server: Arc<HttpServer>,
    answer: A,
    mut states: watch::Receiver<PortState>,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    A: Fn(Request<Body>) -> F + Send + 'static,
    F: Future<Output = Response<Body>> + Send + 'static,
{
    let port = &server.port;
    // A connection that is ready when the drain begins still gets a GOAWAY.
    let ready = tokio::select! {
        biased;
        ready = timeout(port.timing.handshake, handshake(stream, info, port)) => ready,
        () = reached(&mut states, PortState::Draining) => return,
    };
    let Ready { http, stream, identity } = match ready.unwrap_or(Err(ConnectionError::Timeout)) {
        Ok(Some(ready)) => ready,
        Ok(None) => return,
        Err(error) => {
            log_handshake(port, info, &error);
            return port.failed(match error {
                ConnectionError::Timeout => ConnectionFailure::HandshakeTimeout,
                _ => ConnectionFailure::Handshake,
            });
        }
    };
    let service = service_fn(move |request: Request<Incoming>| {
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(info);
        if let Some(identity) = &identity {
            request.extensions_mut().insert(identity.clone());
        }
        let answer = answer(request);
        async move { Ok::<_, Infallible>(streams::with_deadline(answer.await)) }
    });
    let stream = TokioIo::new(stream);
    let age = port.timing.jittered_age();
    let ended = match http {
        Http::Two => {
            let connection = server.http2.serve_connection(stream, service);
            drive(connection, age, port.timing.age_grace, states).await
        }
        Http::One => {
            let connection = server.http1.serve_connection(stream, service);
            drive(connection, age.min(HTTP1_AGE), port.timing.age_grace, states).await
        }
    };
    let failure = match ended {
        Ok(()) => None,
        Err(AbnormalEnd::Cut(failure)) => Some(failure),
        Err(AbnormalEnd::Http(error)) => http_failure(&error, info, port),
    };
    if let Some(failure) = failure {
        port.failed(failure);
    }
}

fn log_handshake(port: &Port, info: ConnectionInfo, problem: &ConnectionError) {
    tracing::debug!(port = port.name.as_str(), peer = %info.peer, %problem, "handshake failed");
}

/// A connection that is ready for HTTP.
struct Ready<S> {
    http: Http,
    stream: Stream<Either<S, TlsStream<S>>>,
    identity: Option<PeerIdentity>,
}

/// Does the TLS handshake and detects the HTTP version. `None`: the peer closed the connection without a byte.
async fn handshake<S>(
    stream: S,
    info: ConnectionInfo,
    port: &Port,
) -> Result<Option<Ready<S>>, ConnectionError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (mut stream, identity) = match &port.tls {
        None => (Either::Left(stream), None),
        Some(tls) => {
            let (stream, identity) = tls.accept(stream).await?;
            (Either::Right(stream), identity)
        }
    };
    let detected = match preface::detect(&mut stream, port.protocol).await {
        Err(ConnectionError::Tls) if port.tls.is_some() => Err(ConnectionError::DoubleTls),
        detected => detected,
    };
    let Some((http, bytes)) = detected? else { return Ok(None) };
    if preface::is_tls(&bytes) {
        // HTTP/1.1 answers it with 400, by which clients recognise a plaintext port.
        log_handshake(port, info, &ConnectionError::Tls);
    }
    Ok(Some(Ready { http, stream: Stream::new(stream, bytes, port.timing.stall()), identity }))
}

/// The abnormal end of a connection.
enum AbnormalEnd {
    Cut(ConnectionFailure),
    Http(hyper::Error),
}

/// Runs a connection until its peer ends it, or until `age` or the drain and the grace after that.
async fn drive<C>(
    connection: C,
    age: Duration,
    age_grace: Duration,
    mut states: watch::Receiver<PortState>,
) -> Result<(), AbnormalEnd>
where
    C: GracefulConnection<Error = hyper::Error>,
{
    let mut connection = pin!(connection);
    let aged = tokio::select! {
        biased;
        ended = connection.as_mut() => return ended.map_err(AbnormalEnd::Http),
        () = reached(&mut states, PortState::Draining) => false,
        () = sleep(age) => true,
    };
    connection.as_mut().graceful_shutdown();
    tokio::select! {
        biased;
        ended = connection => ended.map_err(AbnormalEnd::Http),
        () = reached(&mut states, PortState::Cut) => Err(AbnormalEnd::Cut(ConnectionFailure::CutAtDrain)),
        () = sleep(age_grace), if aged => Err(AbnormalEnd::Cut(ConnectionFailure::CutAtAge)),
    }
}

/// Logs an HTTP error. Returns the failure to count; `None` if the peer is merely gone.
fn http_failure(
    error: &hyper::Error,
    info: ConnectionInfo,
    port: &Port,
) -> Option<ConnectionFailure> {
    let http2 = error.source().and_then(|source| source.downcast_ref::<h2::Error>());
    let io = http2.map_or_else(
        || error.source().and_then(|source| source.downcast_ref::<io::Error>()),
        h2::Error::get_io,
    );
    // From HTTP/2's list of reasons: the error itself may quote the peer.
    let reason = http2.and_then(h2::Error::reason);
    let cause = reason.as_ref().map(h2::Reason::description);
    let (name, peer) = (port.name.as_str(), info.peer);
    tracing::debug!(port = name, %peer, %error, cause, "connection failed");
    if error.is_timeout() || io.is_some_and(|error| error.kind() == io::ErrorKind::TimedOut) {
        Some(ConnectionFailure::Unresponsive)
    } else if error.is_parse() || http2.is_some_and(|error| error.is_library() && !error.is_io()) {
        Some(ConnectionFailure::Protocol)
    } else {
        None
    }
}
