//! Reply bodies: whole, in slow pieces, cut off, padded.

use std::{io, time::Duration};

use bytes::Bytes;
use futures_util::stream::{self, Stream, StreamExt as _};
use http_body_util::{BodyExt as _, Full, StreamBody, combinators::UnsyncBoxBody};
use hyper::body::Frame;

/// A reply's body. Its error closes the connection, which cuts the body off.
pub(super) type ReplyBody = UnsyncBoxBody<Bytes, io::Error>;

/// The padding of one frame.
const PADDING: &[u8] = &[b' '; 16 * 1024];

pub(super) fn whole(bytes: impl Into<Bytes>) -> ReplyBody {
    Full::new(bytes.into()).map_err(|never| match never {}).boxed_unsync()
}

/// Sends `chunk` bytes after each pause.
pub(super) fn in_pieces(bytes: Bytes, chunk: usize, pause: Duration) -> ReplyBody {
    streamed(stream::unfold(bytes, move |mut rest| async move {
        if rest.is_empty() {
            return None;
        }
        tokio::time::sleep(pause).await;
        let piece = rest.split_to(chunk.clamp(1, rest.len()));
        Some((Ok(piece), rest))
    }))
}

/// Sends the first half, then closes the connection.
pub(super) fn cut_off(mut bytes: Bytes) -> ReplyBody {
    let half = bytes.split_to(bytes.len() / 2);
    let end = stream::once(async {
        // Lets the server flush the half before it sees the error.
        tokio::task::yield_now().await;
        Err(io::Error::from(io::ErrorKind::ConnectionAborted))
    });
    streamed(stream::iter([Ok(half)]).chain(end))
}

/// Sends the bytes, then spaces until `total` bytes were sent.
pub(super) fn padded(bytes: Bytes, total: usize) -> ReplyBody {
    let missing = total.saturating_sub(bytes.len());
    let padding = stream::unfold(missing, |missing| async move {
        let piece = &PADDING[..missing.min(PADDING.len())];
        (!piece.is_empty()).then(|| (Ok(Bytes::from_static(piece)), missing - piece.len()))
    });
    streamed(stream::iter([Ok(bytes)]).chain(padding))
}

fn streamed(pieces: impl Stream<Item = io::Result<Bytes>> + Send + 'static) -> ReplyBody {
    StreamBody::new(pieces.map(|piece| piece.map(Frame::data))).boxed_unsync()
}
