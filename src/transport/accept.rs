//! The accept loop of both ports.
//!
//! tonic's own server does not bound its drain, spins when the process is out of file descriptors, accepts without a
//! limit, and leaves the protection against floods off.

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
    connection::{self, HttpServer},
    port::{Port, PortState, reached},
};
use crate::{peer::ConnectionInfo, telemetry::ConnectionFailure};

/// Pause after a failed accept, such as "too many open files", so that the loop does not spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Minimum time between two log lines about failed accepts.
const LOG_INTERVAL: Duration = Duration::from_secs(10);

/// Length of the kernel's accept queue (`net.core.somaxconn` may cut it). The usual 128 overflows in a burst of
/// connections, and a client then retries after a second.
const BACKLOG: u32 = 4096;

/// Time for closed connections to end; they need one turn of the scheduler.
const CUT_TIMEOUT: Duration = Duration::from_secs(1);

/// Binds a port.
///
/// # Errors
///
/// The address is in use or not available.
pub fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    // A restart can bind while connections of the last process are in TIME_WAIT.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// A source of connections.
pub trait Listener: Send + 'static {
    /// A connection.
    type Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static;

    /// Waits for the next connection; returns it and its peer's address. Cancel-safe.
    fn accept(&self) -> impl Future<Output = io::Result<(Self::Stream, SocketAddr)>> + Send;

    /// Returns the bound address, if any.
    fn address(&self) -> Option<SocketAddr> {
        None
    }
}

impl Listener for TcpListener {
    type Stream = TcpStream;

    async fn accept(&self) -> io::Result<(TcpStream, SocketAddr)> {
        let (stream, address) = Self::accept(self).await?;
        // Nagle's algorithm would delay small replies by 40 ms. The call fails only if the peer is gone.
        let _ = stream.set_nodelay(true);
        Ok((stream, address))
    }

    fn address(&self) -> Option<SocketAddr> {
        self.local_addr().ok()
    }
}

/// Serves connections until the port is [`PortState::Draining`], then lets them finish until it is
/// [`PortState::Cut`]. Returns when the last connection has ended.
///
/// `answer` runs for each request, concurrently. The request's extensions hold [`ConnectionInfo`] and, after mutual
/// TLS, the peer's identity. Connections beyond the limit wait in the kernel's queue. The drain refuses new
/// connections before it sends the first GOAWAY.
pub async fn serve<A, F>(
    listener: impl Listener,
    port: Port,
    answer: A,
    mut states: watch::Receiver<PortState>,
) where
    A: Fn(Request<Body>) -> F + Clone + Send + 'static,
    F: Future<Output = Response<Body>> + Send + 'static,
{
    port.metrics.max_connections(port.name, port.max_connections);
    let permits = Arc::new(Semaphore::new(port.max_connections as usize));
    let mut connections = Connections::new(port, listener.address());
    let mut failures = FailureLog::default();
    loop {
        let accepted = tokio::select! {
            biased;
            () = reached(&mut states, PortState::Draining) => break,
            () = connections.one_ended() => continue,
            accepted = accept(&listener, &permits) => accepted,
        };
        match accepted {
            Ok(accepted) => connections.start(accepted, answer.clone()),
            Err(error) if is_peers(&error) => {}
            Err(error) => {
                failures.log(&connections.server.port, &error);
                tokio::select! {
                    () = reached(&mut states, PortState::Draining) => break,
                    () = sleep(ACCEPT_PAUSE) => {}
                }
            }
        }
    }
    drop(listener);
    connections.drain(&mut states).await;
}

/// An accepted connection within the limit.
struct Accepted<S> {
    stream: S,
    peer: SocketAddr,
    permit: OwnedSemaphorePermit,
}

/// Waits for a permit, and only then for a connection.
async fn accept<L: Listener>(
    listener: &L,
    permits: &Arc<Semaphore>,
) -> io::Result<Accepted<L::Stream>> {
    let permit = Arc::clone(permits).acquire_owned().await.map_err(io::Error::other)?;
    let (stream, peer) = listener.accept().await?;
    Ok(Accepted { stream, peer, permit })
}

/// Returns whether the error concerns one connection that its peer has closed already.
fn is_peers(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset)
}

/// The connections of a port, a task each.
struct Connections {
    server: Arc<HttpServer>,
    address: Option<SocketAddr>,
    tasks: JoinSet<()>,
    /// The state as connections see it: it follows the port's after the listener is closed.
    states: watch::Sender<PortState>,
}

impl Connections {
    fn new(port: Port, address: Option<SocketAddr>) -> Self {
        let states = watch::Sender::new(PortState::Serving);
        Self { server: HttpServer::new(port), address, tasks: JoinSet::new(), states }
    }

    fn start<S, A, F>(&mut self, accepted: Accepted<S>, answer: A)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
        A: Fn(Request<Body>) -> F + Send + 'static,
        F: Future<Output = Response<Body>> + Send + 'static,
    {
        let Accepted { stream, peer, permit } = accepted;
        let (server, states) = (Arc::clone(&self.server), self.states.subscribe());
        let info = ConnectionInfo { peer, server: self.address };
        let open = server.port.metrics.connection(server.port.name);
        self.tasks.spawn(async move {
            connection::serve(stream, info, server, answer, states).await;
            drop((open, permit));
        });
    }

    /// Waits until a connection ends; forever if there is none.
    async fn one_ended(&mut self) {
        let Some(ended) = self.tasks.join_next().await else { return pending().await };
        if ended.as_ref().is_err_and(JoinError::is_panic) {
            let port = &self.server.port;
            port.failed(ConnectionFailure::Panic);
            tracing::error!(port = port.name.as_str(), "connection task panicked");
        }
    }

    async fn all_ended(&mut self) {
        while !self.tasks.is_empty() {
            self.one_ended().await;
        }
    }

    /// Sends GOAWAY to all peers, and closes the remaining connections when the port is cut.
    async fn drain(mut self, states: &mut watch::Receiver<PortState>) {
        self.states.send_replace(PortState::Draining);
        tokio::select! {
            biased;
            () = self.all_ended() => return,
            () = reached(states, PortState::Cut) => {}
        }
        let (port, connections) = (self.server.port.name.as_str(), self.tasks.len());
        tracing::warn!(port, connections, "closed connections that exceeded the drain grace");
        self.states.send_replace(PortState::Cut);
        // Dropping the set aborts the rest.
        let _ = timeout(CUT_TIMEOUT, self.all_ended()).await;
    }
}

/// Counts every failed accept and logs one of them per [`LOG_INTERVAL`].
#[derive(Debug, Default)]
struct FailureLog {
    logged: Option<Instant>,
    suppressed: u64,
}

impl FailureLog {
    fn log(&mut self, port: &Port, error: &io::Error) {
        port.failed(ConnectionFailure::Accept);
        if self.logged.is_some_and(|at| at.elapsed() < LOG_INTERVAL) {
            self.suppressed += 1;
            return;
        }
        let (port, suppressed) = (port.name.as_str(), self.suppressed);
        tracing::error!(port, %error, suppressed, "cannot accept connections");
        *self = Self { logged: Some(Instant::now()), suppressed: 0 };
    }
}
