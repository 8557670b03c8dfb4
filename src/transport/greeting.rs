//! The first bytes of a connection: what the peer speaks.

use std::io::ErrorKind;

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncReadExt as _};

use super::{connection::Protocol, mistake::Mistake};

/// The first bytes of every HTTP/2 connection.
pub(super) const PREFACE: [u8; 24] = *b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// How requests of HTTP/1.1 begin.
const METHODS: [&[u8]; 9] = [
    b"GET ",
    b"POST ",
    b"PUT ",
    b"HEAD ",
    b"DELETE ",
    b"PATCH ",
    b"OPTIONS ",
    b"CONNECT ",
    b"TRACE ",
];

/// How TLS begins: a record of a handshake, in any version.
const TLS: &[u8] = &[0x16, 0x03];

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
/// It is nothing that the port speaks, it ended too soon, or the stream failed.
pub(super) async fn hear(
    stream: &mut (impl AsyncRead + Unpin),
    protocol: Protocol,
) -> Result<Option<(Spoken, Bytes)>, Mistake> {
    let mut said = [0; PREFACE.len()];
    let mut length = 0;
    while length < said.len() {
        let read = match stream.read(&mut said[length..]).await {
            // TLS whose peer takes no leave: it is gone all the same.
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => 0,
            read => read?,
        };
        match read {
            0 if length == 0 => return Ok(None),
            0 => return Err(Mistake::Left),
            read => length += read,
        }
        let said = &said[..length];
        if said != &PREFACE[..length] {
            return match protocol {
                Protocol::Http2 => Err(mistake(said)),
                Protocol::Any => Ok(Some((Spoken::Http1, Bytes::copy_from_slice(said)))),
            };
        }
    }
    Ok(Some((Spoken::Http2, Bytes::from_static(&PREFACE))))
}

/// Tells what the first bytes are, as far as there are any, where they are not HTTP/2.
fn mistake(said: &[u8]) -> Mistake {
    if is_tls(said) {
        Mistake::Tls
    } else if METHODS.iter().any(|method| begins(said, method)) {
        Mistake::Http1
    } else {
        Mistake::Unknown
    }
}

/// Tells whether the first bytes are TLS's.
pub(super) fn is_tls(said: &[u8]) -> bool {
    begins(said, TLS)
}

/// Tells whether these begin as `expected` does, as far as either goes: they come as the network pleases.
fn begins(said: &[u8], expected: &[u8]) -> bool {
    said.iter().zip(expected).all(|(one, other)| one == other)
}
