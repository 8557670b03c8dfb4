//! Why a connection failed before HTTP began. No message quotes the peer.

use std::io;

/// An error before HTTP begins.
#[derive(Debug, thiserror::Error)]
pub(super) enum ConnectionError {
    #[error("TLS on a plaintext port")]
    Tls,
    #[error("TLS inside TLS")]
    DoubleTls,
    #[error("plaintext on a TLS port")]
    Plaintext,
    #[error("HTTP/1.1 on a gRPC port")]
    Http1,
    #[error("unknown protocol")]
    UnknownProtocol,
    #[error("closed within the first bytes")]
    Closed,
    #[error("timeout")]
    Timeout,
    /// In the words of rustls.
    #[error("TLS: {0}")]
    Handshake(io::Error),
    #[error("connection lost: {0}")]
    Lost(#[from] io::Error),
}
