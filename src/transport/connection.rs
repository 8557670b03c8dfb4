//! One connection's life: handshake, HTTP, and its end: by its peer, by age, or by the drain.

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
    greeting::{self, Spoken},
    mistake::Mistake,
    stage::{Stage, reached},
    stream::Stream,
    streams::{self, Streams},
    tls::{Acceptor, TlsStream},
};
use crate::{
    peer::{ConnectionInfo, PeerIdentity},
    telemetry::{ConnectionFailure, Metrics, PortName},
};

/// Streams one connection may have open; clients queue beyond it.
const MAX_STREAMS: u32 = 256;

/// Malformed streams a connection may provoke before it is closed.
const MAX_LOCAL_RESETS: usize = 1024;

/// Streams a peer may have reset before anybody looked at them, before its connection is closed.
const MAX_PENDING_RESETS: usize = 20;

/// Bytes of headers one request may have.
const MAX_HEADER_BYTES: u32 = 16 * 1024;

/// Bytes of request bodies a peer may send ahead of their being read, a stream and a connection alike: the usual
/// request in one go, and all that a connection can make the gateway hold before anybody decided to read it.
const RECEIVE_WINDOW: u32 = 1024 * 1024;

/// Bytes of a reply that are put in line for a peer that has not yet asked for them.
const MAX_SEND_BUFFER: usize = 400 * 1024;

/// A connection that is silent for this long is asked whether it is alive …
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(30);

/// … and closed when it does not answer within this.
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(10);

/// How long the first bytes may take, TLS included; and the header of an HTTP/1.1 request.
const HANDSHAKE: Duration = Duration::from_secs(5);

/// How long an HTTP/1.1 connection may last: it is there for one answer.
const HTTP1_AGE: Duration = Duration::from_secs(30);

/// How much the ages of connections differ, as a part of the age: who came together need not leave together.
const AGE_JITTER: f64 = 0.1;

/// What may be spoken on a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// HTTP/2 with prior knowledge: gRPC.
    Http2,
    /// HTTP/1.1 or HTTP/2, told apart by the first bytes: probes, scrapers and gRPC health on one port.
    Any,
}

/// How long things may take on a connection.
#[derive(Clone, Debug)]
pub struct Timing {
    /// The first bytes, TLS included; and the header of an HTTP/1.1 request.
    pub handshake: Duration,
    /// Silence, before the peer is asked whether it is alive.
    pub keepalive_interval: Duration,
    /// The peer's answer to that.
    pub keepalive_timeout: Duration,
    /// The connection itself, give or take a tenth, before the peer is told to open another.
    pub age: Duration,
    /// Calls in flight, after that.
    pub age_grace: Duration,
}

impl Timing {
    /// Returns the usual timing, with these bounds to a connection's life.
    pub fn with_age(age: Duration, age_grace: Duration) -> Self {
        Self {
            handshake: HANDSHAKE,
            keepalive_interval: KEEPALIVE_INTERVAL,
            keepalive_timeout: KEEPALIVE_TIMEOUT,
            age,
            age_grace,
        }
    }

    /// Returns one connection's age, between nine and eleven tenths of the usual one.
    pub(super) fn jittered_age(&self) -> Duration {
        self.age.mul_f64(1.0 - AGE_JITTER + 2.0 * AGE_JITTER * rand::random::<f64>())
    }

    /// Returns how long a peer may take no byte: as long as it may be mute.
    fn stall(&self) -> Duration {
        self.keepalive_interval + self.keepalive_timeout
    }
}

/// What holds on a port.
#[derive(Clone, Debug)]
pub struct Port {
    /// Its name in logs and metrics.
    pub name: PortName,
    /// What is spoken.
    pub protocol: Protocol,
    /// How TLS is spoken below that; `None`: plaintext.
    pub tls: Option<Acceptor>,
    /// Connections that may be open at the same time; at least 1.
    pub max_connections: u32,
    /// How long things may take.
    pub timing: Timing,
    /// Where it is counted.
    pub metrics: Metrics,
}

impl Port {
    pub(super) fn failed(&self, failure: ConnectionFailure) {
        self.metrics.connection_failed(self.name, failure);
    }
}

/// What all connections of a port share.
pub(super) struct Terms {
    pub(super) port: Port,
    http1: http1::Builder,
    http2: http2::Builder<Streams>,
}

impl Terms {
    pub(super) fn new(port: Port) -> Arc<Self> {
        let timing = &port.timing;
        let mut http1 = http1::Builder::new();
        http1
            .timer(TokioTimer::new())
            // One answer, one connection: nobody keeps a place for later.
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

/// Serves one connection to its end, and counts an end that is not as it should be.
///
/// Nothing of it happens in the accept loop: a slow handshake delays only itself.
pub(super) async fn serve<S, A, F>(
    stream: S,
    ends: ConnectionInfo,
    terms: Arc<Terms>,
    answer: A,
    mut stages: watch::Receiver<Stage>,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    A: Fn(Request<Body>) -> F + Send + 'static,
    F: Future<Output = Response<Body>> + Send + 'static,
{
    let port = &terms.port;
    let Some(Prepared { spoken, stream, peer, .. }) = begun(stream, ends, port, &mut stages).await
    else {
        return;
    };
    let service = service_fn(move |request: Request<Incoming>| {
        let answer = answer(identified(request.map(Body::new), ends, peer.as_ref()));
        async move { Ok::<_, Infallible>(streams::noted(answer.await)) }
    });
    let stream = TokioIo::new(stream);
    let age = port.timing.jittered_age();
    let ended = match spoken {
        Spoken::Http2 => {
            let connection = terms.http2.serve_connection(stream, service);
            drive(connection, age, port.timing.age_grace, stages).await
        }
        Spoken::Http1 => {
            let connection = terms.http1.serve_connection(stream, service);
            drive(connection, age.min(HTTP1_AGE), port.timing.age_grace, stages).await
        }
    };
    if let Err(failure) = ended.or_else(|end| judged(&end, ends, port)) {
        port.failed(failure);
    }
}

/// Prepares a stream in good time. `None`: nothing will be served on it, which is counted and told unless the drain or
/// a peer without a word is the cause.
async fn begun<S>(
    stream: S,
    ends: ConnectionInfo,
    port: &Port,
    stages: &mut watch::Receiver<Stage>,
) -> Option<Prepared<S>>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    // Whoever has said enough when the drain begins is still told to go away, rather than hung up on.
    let prepared = tokio::select! {
        biased;
        prepared = timeout(port.timing.handshake, prepared(stream, port)) => prepared,
        () = reached(stages, Stage::Draining) => return None,
    };
    let (problem, failure) = match prepared {
        Ok(Ok(prepared)) => {
            if prepared.as_ref().is_some_and(|prepared| prepared.is_tls) {
                told(port, ends, &Mistake::Tls);
            }
            return prepared;
        }
        Ok(Err(mistake)) => (mistake, ConnectionFailure::Handshake),
        Err(_) => (Mistake::Late, ConnectionFailure::HandshakeTimeout),
    };
    told(port, ends, &problem);
    port.failed(failure);
    None
}

fn told(port: &Port, ends: ConnectionInfo, problem: &Mistake) {
    tracing::debug!(port = port.name.as_str(), peer = %ends.peer, %problem, "a connection began badly");
}

/// A connection that is ready for HTTP.
struct Prepared<S> {
    spoken: Spoken,
    stream: Stream<Either<S, TlsStream<S>>>,
    /// What the peer has proved to be called.
    peer: Option<PeerIdentity>,
    /// Whether what would be HTTP/1.1 is TLS. HTTP refuses it, in words by which clients know that this is plaintext.
    is_tls: bool,
}

/// Makes of an accepted stream the one that HTTP is spoken over, and finds out which HTTP, and with whom.
///
/// `None`: the peer left without a word.
async fn prepared<S>(stream: S, port: &Port) -> Result<Option<Prepared<S>>, Mistake>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (mut stream, peer) = match &port.tls {
        None => (Either::Left(stream), None),
        Some(tls) => {
            let (stream, peer) = tls.accept(stream).await?;
            (Either::Right(stream), peer)
        }
    };
    let heard =
        greeting::hear(&mut stream, port.protocol).await.map_err(|mistake| match mistake {
            Mistake::Tls if port.tls.is_some() => Mistake::DoubleTls,
            mistake => mistake,
        })?;
    let patience = port.timing.stall();
    Ok(heard.map(|(spoken, said)| Prepared {
        spoken,
        is_tls: greeting::is_tls(&said),
        stream: Stream::new(stream, said, patience),
        peer,
    }))
}

/// Gives a request the ends of its connection, and the name that the peer has proved.
fn identified(
    mut request: Request<Body>,
    ends: ConnectionInfo,
    peer: Option<&PeerIdentity>,
) -> Request<Body> {
    request.extensions_mut().insert(ends);
    if let Some(peer) = peer {
        request.extensions_mut().insert(peer.clone());
    }
    request
}

/// How a connection ended that did not end well.
enum End {
    /// It was cut, for this.
    Cut(ConnectionFailure),
    /// HTTP ended it.
    Http(hyper::Error),
}

/// Runs a connection: until its peer ends it; or until `age` or the drain, and then as long as there is grace.
async fn drive<C>(
    connection: C,
    age: Duration,
    age_grace: Duration,
    mut stages: watch::Receiver<Stage>,
) -> Result<(), End>
where
    C: GracefulConnection<Error = hyper::Error>,
{
    let mut connection = pin!(connection);
    let aged = tokio::select! {
        biased;
        ended = connection.as_mut() => return ended.map_err(End::Http),
        () = reached(&mut stages, Stage::Draining) => false,
        () = sleep(age) => true,
    };
    connection.as_mut().graceful_shutdown();
    tokio::select! {
        biased;
        ended = connection => ended.map_err(End::Http),
        () = reached(&mut stages, Stage::Cut) => Err(End::Cut(ConnectionFailure::CutAtDrain)),
        () = sleep(age_grace), if aged => Err(End::Cut(ConnectionFailure::CutAtAge)),
    }
}

/// Tells whose fault an end was; a peer that is simply gone is at no fault.
fn judged(end: &End, ends: ConnectionInfo, port: &Port) -> Result<(), ConnectionFailure> {
    let error = match end {
        End::Cut(failure) => return Err(*failure),
        End::Http(error) => error,
    };
    let http2 = error.source().and_then(|source| source.downcast_ref::<h2::Error>());
    let io = http2.map_or_else(
        || error.source().and_then(|source| source.downcast_ref::<io::Error>()),
        h2::Error::get_io,
    );
    // HTTP/2's own words for it, of a closed list: those of a peer may follow in the error's.
    let reason = http2.and_then(h2::Error::reason);
    let cause = reason.as_ref().map(h2::Reason::description);
    let (name, peer) = (port.name.as_str(), ends.peer);
    tracing::debug!(port = name, %peer, %error, cause, "a connection ended badly");
    if error.is_timeout() || io.is_some_and(|error| error.kind() == io::ErrorKind::TimedOut) {
        Err(ConnectionFailure::Unresponsive)
    } else if error.is_parse() || http2.is_some_and(|error| error.is_library() && !error.is_io()) {
        Err(ConnectionFailure::Protocol)
    } else {
        Ok(())
    }
}
