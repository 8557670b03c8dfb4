//! Extensions of requests and replies by which the transport and the gRPC edge share properties of a connection.

use std::{net::SocketAddr, sync::Arc};

use tokio::time::Instant;

/// The name in the verified client certificate of a connection; an extension of each of its requests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerIdentity(pub Arc<str>);

/// Both addresses of a connection; an extension of each of its requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConnectionInfo {
    /// The address of the client.
    pub peer: SocketAddr,
    /// The address the port is bound to; `None` in tests without a socket.
    pub server: Option<SocketAddr>,
}

/// The time by which the client must have read the reply; an extension of the reply. The transport resets the stream
/// shortly after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResponseDeadline(pub Instant);
