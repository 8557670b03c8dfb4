//! The first bytes of a connection: what the peer speaks.

use std::io;

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncReadExt as _};

use super::connection::Protocol;

/// The first bytes of every HTTP/2 connection.
pub(super) const PREFACE: [u8; 24] = *b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// What a peer speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Spoken {
    Http1,
    Http2,
}

/// Reads until it is clear what the peer speaks; returns that and what was read.
///
/// `None`: it left without a word, as TCP probes do.
///
/// # Errors
///
/// `InvalidData` when it is nothing that the port speaks, and whatever the stream fails with.
pub(super) async fn hear(
    stream: &mut (impl AsyncRead + Unpin),
    protocol: Protocol,
) -> io::Result<Option<(Spoken, Bytes)>> {
    let mut said = [0; PREFACE.len()];
    let mut length = 0;
    while length < said.len() {
        match stream.read(&mut said[length..]).await? {
            0 if length == 0 => return Ok(None),
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            read => length += read,
        }
        if said[..length] != PREFACE[..length] {
            return match protocol {
                Protocol::Http2 => Err(io::ErrorKind::InvalidData.into()),
                Protocol::Any => Ok(Some((Spoken::Http1, Bytes::copy_from_slice(&said[..length])))),
            };
        }
    }
    Ok(Some((Spoken::Http2, Bytes::from_static(&PREFACE))))
}
