//! Detection of a connection's protocol by its first bytes.

use std::io::ErrorKind;

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncReadExt as _};

use super::{connection_error::ConnectionError, port::Protocol};

/// The first bytes of every HTTP/2 connection.
pub(super) const HTTP2: [u8; 24] = *b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// The first bytes of HTTP/1.1 requests.
const METHODS: [&str; 9] =
    ["GET ", "POST ", "PUT ", "HEAD ", "DELETE ", "PATCH ", "OPTIONS ", "CONNECT ", "TRACE "];

/// The first bytes of TLS: a handshake record of any version.
const TLS: &[u8] = &[0x16, 0x03];

/// A version of HTTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Http {
    One,
    Two,
}

/// Reads until the HTTP version is known; returns it and the bytes read.
///
/// Returns `None` if the peer closes the connection before its first byte, as TCP probes do.
///
/// # Errors
///
/// The port does not accept the protocol, the peer closed the connection too early, or the stream failed.
pub(super) async fn detect(
    stream: &mut (impl AsyncRead + Unpin),
    protocol: Protocol,
) -> Result<Option<(Http, Bytes)>, ConnectionError> {
    let mut buffer = [0; HTTP2.len()];
    let mut length = 0;
    while length < buffer.len() {
        let read = match stream.read(&mut buffer[length..]).await {
            // TLS closed without close_notify.
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => 0,
            read => read?,
        };
        match read {
            0 if length == 0 => return Ok(None),
            0 => return Err(ConnectionError::Closed),
            read => length += read,
        }
        let bytes = &buffer[..length];
        if bytes != &HTTP2[..length] {
            return match protocol {
                Protocol::Http2 => Err(unsupported(bytes)),
                Protocol::Any => Ok(Some((Http::One, Bytes::copy_from_slice(bytes)))),
            };
        }
    }
    Ok(Some((Http::Two, Bytes::from_static(&HTTP2))))
}

/// Names the protocol of first bytes that are not HTTP/2.
fn unsupported(bytes: &[u8]) -> ConnectionError {
    if is_tls(bytes) {
        ConnectionError::Tls
    } else if METHODS.iter().any(|method| matches(bytes, method.as_bytes())) {
        ConnectionError::Http1
    } else {
        ConnectionError::UnknownProtocol
    }
}

/// Returns whether the first bytes are those of TLS.
pub(super) fn is_tls(bytes: &[u8]) -> bool {
    matches(bytes, TLS)
}

/// Compares as many bytes as both have: the rest may still be on its way.
fn matches(bytes: &[u8], expected: &[u8]) -> bool {
    bytes.iter().zip(expected).all(|(one, other)| one == other)
}
