//! The accept loop, for the gRPC port and the admin port alike.
//!
//! tonic's stock server has no bounded drain: one silent peer keeps it from ever ending. Here the drain has an
//! end, and the guards against resets and floods are on.

use std::{convert::Infallible, future::Future, io, net::SocketAddr, time::Duration};

use http::{Request, Response};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::{conn::auto, graceful::GracefulShutdown},
};
use tokio::{
    net::{TcpListener, TcpStream},
    time::{sleep, timeout},
};
use tokio_util::either::Either;
use tonic::body::Body;

use super::tls::{Acceptor, TlsStream};
use crate::caller::PeerIdentity;

/// Streams one connection may have open; clients queue beyond it.
const MAX_STREAMS: u32 = 256;

/// Malformed streams a connection may provoke before it is closed.
const MAX_LOCAL_RESETS: usize = 1024;

/// Bytes of headers one request may have.
const MAX_HEADER_BYTES: u32 = 16 * 1024;

/// A connection that is silent for this long is asked whether it is alive …
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(30);

/// … and closed when it does not answer within this.
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(10);

/// Time without accepting after a failure such as "too many open files", so that the loop does not spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// How long a TLS handshake may take.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);

/// What may be spoken on a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// HTTP/2 with prior knowledge: gRPC.
    Http2,
    /// HTTP/1.1 or HTTP/2, told apart by the first bytes: probes, scrapers and gRPC health on one port.
    Any,
}

/// What holds on a port.
#[derive(Clone, Debug)]
pub struct Port {
    /// What is spoken.
    pub protocol: Protocol,
    /// How TLS is spoken below it; `None`: plaintext.
    pub tls: Option<Acceptor>,
}

/// Serves connections until `shutdown`, then lets them finish for at most `grace`.
///
/// `answer` is called for each request, concurrently; its extensions have the [`PeerIdentity`], if there is one. Returns
/// when the last connection has ended or was cut.
pub async fn serve<A, F>(
    listener: TcpListener,
    port: Port,
    answer: A,
    shutdown: impl Future<Output = ()>,
    grace: Duration,
) where
    A: Fn(Request<Body>) -> F + Clone + Send + 'static,
    F: Future<Output = Response<Body>> + Send + 'static,
{
    let builder = builder(port.protocol);
    let graceful = GracefulShutdown::new();
    let mut connections = tokio::task::JoinSet::new();
    tokio::pin!(shutdown);
    loop {
        // Finished connections are forgotten as new ones come.
        while connections.try_join_next().is_some() {}
        let (stream, address) = tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    pause_after(&error).await;
                    continue;
                }
            },
            () = &mut shutdown => break,
        };
        let (tls, builder, answer) = (port.tls.clone(), builder.clone(), answer.clone());
        let watcher = graceful.watcher();
        // A handshake is its own connection's affair: others are accepted meanwhile.
        connections.spawn(async move {
            let Ok((stream, peer)) = prepared(stream, address, tls.as_ref()).await else { return };
            let service = service_fn(move |request: Request<Incoming>| {
                let answer = answer(identified(request.map(Body::new), peer.as_ref()));
                async move { Ok::<_, Infallible>(answer.await) }
            });
            let connection = builder.serve_connection(TokioIo::new(stream), service).into_owned();
            if let Err(error) = watcher.watch(connection).await {
                tracing::debug!(%error, "a connection ended badly");
            }
        });
    }

    // New connections are refused from here on, rather than accepted and left alone.
    drop(listener);
    if timeout(grace, graceful.shutdown()).await.is_err() {
        tracing::warn!(left = connections.len(), "cut the connections that did not finish in time");
    }
    connections.shutdown().await;
}

/// Makes of an accepted stream the one that HTTP is spoken over, with the name its peer has proved.
async fn prepared(
    stream: TcpStream,
    address: SocketAddr,
    tls: Option<&Acceptor>,
) -> io::Result<(Either<TcpStream, TlsStream<TcpStream>>, Option<PeerIdentity>)> {
    // Without it, small answers wait for the peer's delayed ACK: 40 ms each.
    stream.set_nodelay(true)?;
    let Some(tls) = tls else { return Ok((Either::Left(stream), None)) };
    let shaken = timeout(HANDSHAKE_TIMEOUT, tls.accept(stream)).await;
    let shaken = shaken.map_err(io::Error::from).and_then(|shaken| shaken.map_err(io::Error::from));
    let (stream, peer) = shaken
        .inspect_err(|error| tracing::debug!(peer = %address, %error, "a TLS handshake failed"))?;
    Ok((Either::Right(stream), peer))
}

/// Gives a request the name that its connection's peer has proved.
fn identified(mut request: Request<Body>, peer: Option<&PeerIdentity>) -> Request<Body> {
    if let Some(peer) = peer {
        request.extensions_mut().insert(peer.clone());
    }
    request
}

async fn pause_after(error: &io::Error) {
    // A peer that left before it was accepted is its own affair.
    if matches!(error.kind(), io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset) {
        return;
    }
    tracing::error!(%error, "cannot accept connections");
    sleep(ACCEPT_PAUSE).await;
}

fn builder(protocol: Protocol) -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(MAX_STREAMS)
        .max_local_error_reset_streams(MAX_LOCAL_RESETS)
        .max_header_list_size(MAX_HEADER_BYTES)
        .keep_alive_interval(KEEPALIVE_INTERVAL)
        .keep_alive_timeout(KEEPALIVE_TIMEOUT);
    builder.http1().timer(TokioTimer::new());
    match protocol {
        Protocol::Http2 => builder.http2_only(),
        Protocol::Any => builder,
    }
}
