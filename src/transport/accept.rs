//! The accept loop, for the gRPC port and the admin port alike.
//!
//! tonic's stock server has no bounded drain: one silent peer keeps it from ever ending. It also spins when the
//! system is out of files, accepts without bound, and leaves the guards against resets and floods off.

use std::{
    future::{Future, pending},
    io,
    net::SocketAddr,
    sync::Arc,
    time::Duration,
};

use http::{Request, Response};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpSocket, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore, watch},
    task::{JoinError, JoinSet},
    time::{Instant, sleep, timeout},
};
use tonic::body::Body;

use super::{
    connection::{self, Port, Terms},
    stage::{Stage, reached},
};
use crate::{peer::ConnectionInfo, telemetry::ConnectionFailure};

/// Time without accepting after a failure such as "too many open files", so that the loop does not spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Such failures come in thousands: one line in the log for all of this time.
const COMPLAIN_EVERY: Duration = Duration::from_secs(10);

/// Connections that may wait to be accepted, while all places are taken or many come at once. The usual 128 is soon
/// full, and then callers try again after a second. The system may allow fewer (`net.core.somaxconn`).
const QUEUE: u32 = 4096;

/// How long connections that were cut may take to be gone; it takes one turn of the scheduler.
const CUT_PATIENCE: Duration = Duration::from_secs(1);

/// Binds a port.
///
/// # Errors
///
/// The address is taken, or may not be had.
pub fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    // A restart need not wait until the system has forgotten the last one's connections.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(QUEUE)
}

/// Where connections come from.
pub trait Listener: Send + 'static {
    /// A connection.
    type Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static;

    /// Waits for the next connection; returns it and whose it is. Dropping it loses none.
    fn accept(&self) -> impl Future<Output = io::Result<(Self::Stream, SocketAddr)>> + Send;

    /// Returns what it is bound to, if it is.
    fn address(&self) -> Option<SocketAddr> {
        None
    }
}

impl Listener for TcpListener {
    type Stream = TcpStream;

    async fn accept(&self) -> io::Result<(TcpStream, SocketAddr)> {
        let (stream, address) = Self::accept(self).await?;
        // Without it, small answers wait for the peer's delayed ACK: 40 ms each. It fails when the peer is gone,
        // and then there will be no answers.
        let _ = stream.set_nodelay(true);
        Ok((stream, address))
    }

    fn address(&self) -> Option<SocketAddr> {
        self.local_addr().ok()
    }
}

/// Serves connections until the port is [`Stage::Draining`], then lets them finish until it is [`Stage::Cut`].
///
/// `answer` is called for each request, concurrently; its extensions have both ends of its connection, and the peer's identity if it has one. Connections beyond the port's number wait in the system's
/// queue. When the drain begins, new connections are refused before the first peer is told to go away. Returns
/// when the last connection has ended or was cut.
pub async fn serve<A, F>(
    listener: impl Listener,
    port: Port,
    answer: A,
    mut stages: watch::Receiver<Stage>,
) where
    A: Fn(Request<Body>) -> F + Clone + Send + 'static,
    F: Future<Output = Response<Body>> + Send + 'static,
{
    port.metrics.max_connections(port.name, port.max_connections);
    let places = Arc::new(Semaphore::new(port.max_connections as usize));
    let mut connections = Connections::new(port, listener.address());
    let mut complaint = Complaint::default();
    loop {
        let accepted = tokio::select! {
            biased;
            () = reached(&mut stages, Stage::Draining) => break,
            () = connections.one_ended() => continue,
            accepted = admit(&listener, &places) => accepted,
        };
        match accepted {
            Ok((accepted, place)) => connections.begin(accepted, place, answer.clone()),
            // A peer that left before it was accepted is its own affair.
            Err(error) if is_peers(&error) => {}
            Err(error) => {
                complaint.make(&connections.terms.port, &error);
                tokio::select! {
                    () = reached(&mut stages, Stage::Draining) => break,
                    () = sleep(ACCEPT_PAUSE) => {}
                }
            }
        }
    }
    drop(listener);
    connections.finish(&mut stages).await;
}

/// The connections of a port, each with a task of its own.
struct Connections {
    terms: Arc<Terms>,
    server: Option<SocketAddr>,
    tasks: JoinSet<()>,
    /// Connections hear of a stage from here, when the loop has done its part.
    stages: watch::Sender<Stage>,
}

impl Connections {
    fn new(port: Port, server: Option<SocketAddr>) -> Self {
        let stages = watch::Sender::new(Stage::Serving);
        Self { terms: Terms::new(port), server, tasks: JoinSet::new(), stages }
    }

    fn begin<S, A, F>(
        &mut self,
        (stream, peer): (S, SocketAddr),
        place: OwnedSemaphorePermit,
        answer: A,
    ) where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
        A: Fn(Request<Body>) -> F + Send + 'static,
        F: Future<Output = Response<Body>> + Send + 'static,
    {
        let (terms, stages) = (Arc::clone(&self.terms), self.stages.subscribe());
        let ends = ConnectionInfo { peer, server: self.server };
        let open = terms.port.metrics.connection(terms.port.name);
        self.tasks.spawn(async move {
            connection::serve(stream, ends, terms, answer, stages).await;
            drop((open, place));
        });
    }

    /// Waits for the end of a connection; for ever when there is none.
    async fn one_ended(&mut self) {
        let Some(ended) = self.tasks.join_next().await else { return pending().await };
        if ended.as_ref().is_err_and(JoinError::is_panic) {
            let port = &self.terms.port;
            port.failed(ConnectionFailure::Panic);
            tracing::error!(port = port.name.as_str(), "a connection's task panicked");
        }
    }

    async fn all_ended(&mut self) {
        while !self.tasks.is_empty() {
            self.one_ended().await;
        }
    }

    /// Tells all peers to go away, and cuts those that have not when the port is to be cut.
    async fn finish(mut self, stages: &mut watch::Receiver<Stage>) {
        self.stages.send_replace(Stage::Draining);
        tokio::select! {
            biased;
            () = self.all_ended() => return,
            () = reached(stages, Stage::Cut) => {}
        }
        let (port, connections) = (self.terms.port.name.as_str(), self.tasks.len());
        tracing::warn!(port, connections, "cut the connections that did not finish in time");
        self.stages.send_replace(Stage::Cut);
        // Whatever is left after this is aborted with the set.
        let _ = timeout(CUT_PATIENCE, self.all_ended()).await;
    }
}

/// Takes a place, and only then a connection.
async fn admit<L: Listener>(
    listener: &L,
    places: &Arc<Semaphore>,
) -> io::Result<((L::Stream, SocketAddr), OwnedSemaphorePermit)> {
    let place = Arc::clone(places).acquire_owned().await.map_err(io::Error::other)?;
    Ok((listener.accept().await?, place))
}

fn is_peers(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset)
}

/// Counts every time that connections cannot be accepted, and says it now and then.
#[derive(Debug, Default)]
struct Complaint {
    made: Option<Instant>,
    kept_back: u64,
}

impl Complaint {
    fn make(&mut self, port: &Port, error: &io::Error) {
        port.failed(ConnectionFailure::Accept);
        if self.made.is_some_and(|at| at.elapsed() < COMPLAIN_EVERY) {
            self.kept_back += 1;
            return;
        }
        let (port, unsaid) = (port.name.as_str(), self.kept_back);
        tracing::error!(port, %error, unsaid, "cannot accept connections");
        *self = Self { made: Some(Instant::now()), kept_back: 0 };
    }
}
