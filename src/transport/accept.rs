//! The accept loop, for the gRPC port and the admin port alike.
//!
//! tonic's stock server has no bounded drain: one silent peer keeps it from ever ending. Here the drain has an
//! end, and the guards against resets and floods are on.

use std::{convert::Infallible, future::Future, io, time::Duration};

use http::{Request, Response};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::{conn::auto, graceful::GracefulShutdown},
};
use tokio::{
    net::{TcpListener, TcpStream},
    time::{sleep, timeout},
};
use tonic::body::Body;

use super::streams::{self, Streams};

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

/// What may be spoken on a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// HTTP/2 with prior knowledge: gRPC.
    Http2,
    /// HTTP/1.1 or HTTP/2, told apart by the first bytes: probes, scrapers and gRPC health on one port.
    Any,
}

/// Serves connections until `shutdown`, then lets them finish for at most `grace`.
///
/// `answer` is called for each request, concurrently. Returns when the last connection has ended or was cut.
pub async fn serve<A, F>(
    listener: TcpListener,
    protocol: Protocol,
    answer: A,
    shutdown: impl Future<Output = ()>,
    grace: Duration,
) where
    A: Fn(Request<Body>) -> F + Clone + Send + 'static,
    F: Future<Output = Response<Body>> + Send + 'static,
{
    let builder = builder(protocol);
    let graceful = GracefulShutdown::new();
    let mut connections = tokio::task::JoinSet::new();
    tokio::pin!(shutdown);
    loop {
        // Finished connections are forgotten as new ones come.
        while connections.try_join_next().is_some() {}
        let stream = tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => stream,
                Err(error) => {
                    pause_after(&error).await;
                    continue;
                }
            },
            () = &mut shutdown => break,
        };
        let Ok(io) = prepared(stream) else { continue };
        let answer = answer.clone();
        let service = service_fn(move |request: Request<Incoming>| {
            let answer = answer(request.map(Body::new));
            async move { Ok::<_, Infallible>(streams::noted(answer.await)) }
        });
        let connection = builder.serve_connection(io, service).into_owned();
        let connection = graceful.watch(connection);
        connections.spawn(async move {
            if let Err(error) = connection.await {
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

/// Without `TCP_NODELAY`, small answers wait for the peer's delayed ACK: 40 ms each.
fn prepared(stream: TcpStream) -> io::Result<TokioIo<TcpStream>> {
    stream.set_nodelay(true)?;
    Ok(TokioIo::new(stream))
}

async fn pause_after(error: &io::Error) {
    // A peer that left before it was accepted is its own affair.
    if matches!(error.kind(), io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset) {
        return;
    }
    tracing::error!(%error, "cannot accept connections");
    sleep(ACCEPT_PAUSE).await;
}

fn builder(protocol: Protocol) -> auto::Builder<Streams> {
    let mut builder = auto::Builder::new(Streams);
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
