//! What was seen of a peer with which no HTTP came about, in words for the log: none of them are the peer's.

use std::io;

use super::tls::TlsError;

/// Why nothing was served on a connection. Its words name the peer's mistake, where it is known.
#[derive(Debug, thiserror::Error)]
pub(super) enum Mistake {
    #[error("the peer spoke TLS to a port without [tls]")]
    Tls,
    #[error("the peer spoke TLS within TLS")]
    DoubleTls,
    #[error("the peer spoke HTTP/1.1 to a port of gRPC")]
    Http1,
    #[error("the peer spoke no HTTP/2, and nothing else that is known")]
    Unknown,
    #[error("the peer left in the middle of its first bytes")]
    Left,
    #[error("the peer did not say enough in time")]
    Late,
    #[error(transparent)]
    Handshake(#[from] TlsError),
    #[error("the connection broke: {0}")]
    Broken(#[from] io::Error),
}
