//! The message of a unary RPC, received completely before it is decoded.
//!
//! tonic would decode it first and then wait for the end of the stream, which holds the larger decoded message in memory,
//! and it would decode and discard a second message.

use std::{
    cmp::Ordering,
    collections::VecDeque,
    convert::Infallible,
    future::{pending, poll_fn},
    pin::Pin,
    task::{Context, Poll},
};

use bytes::{Bytes, BytesMut};
use http_body::{Body as _, Frame};
use http_body_util::Full;
use tonic::body::Body;

use super::refusals;
use crate::{error::Error, pipeline::Permit};

/// The compression flag and length before a message.
pub(super) const PREFIX_BYTES: usize = 5;

/// Receives one encoded message of at most `limit` bytes, and counts its bytes in `permit` as they arrive.
///
/// A larger length, and data after the message, are errors as soon as they are read.
pub(super) async fn receive(mut body: Body, limit: usize, permit: &Permit) -> Result<Body, Error> {
    let first = next(&mut body, permit).await?.unwrap_or_default();
    let mut is_whole = check(&first, first.len(), limit)?;
    if body.is_end_stream() && is_whole {
        return Ok(Body::new(Full::new(first)));
    }
    let mut message = Pieces::default();
    message.push(&first);
    drop(first);
    while let Some(data) = next(&mut body, permit).await? {
        message.push(&data);
        is_whole = check(message.start(), message.len, limit)?;
    }
    if !is_whole {
        return Err(refusals::undecodable());
    }
    // tonic copies the message before it decodes it. The pipeline then counts the inputs instead.
    permit.count(message.len)?;
    Ok(Body::new(message))
}

/// A message in pieces of equal size. A buffer that grows would copy the message, and would leave large holes in the heap.
#[derive(Default)]
struct Pieces {
    whole: VecDeque<Bytes>,
    last: BytesMut,
    /// Bytes in all.
    len: usize,
}

impl Pieces {
    const SIZE: usize = 64 * 1024;

    /// Copies the data: even a small frame keeps the whole read buffer of the connection alive.
    fn push(&mut self, mut data: &[u8]) {
        self.len += data.len();
        while !data.is_empty() {
            let (fits, rest) = data.split_at(data.len().min(Self::SIZE - self.last.len()));
            self.last.extend_from_slice(fits);
            data = rest;
            if self.last.len() == Self::SIZE {
                self.whole.push_back(std::mem::take(&mut self.last).freeze());
            }
        }
    }

    /// Returns the first piece.
    fn start(&self) -> &[u8] {
        self.whole.front().map_or(&self.last, |first| first)
    }
}

impl http_body::Body for Pieces {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let last =
            |last: &mut BytesMut| Some(last.split().freeze()).filter(|last| !last.is_empty());
        let next = self.whole.pop_front().or_else(|| last(&mut self.last));
        Poll::Ready(next.map(|piece| Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.whole.is_empty() && self.last.is_empty()
    }
}

/// Returns the next bytes of a body; `None` at its end.
async fn next(body: &mut Body, permit: &Permit) -> Result<Option<Bytes>, Error> {
    loop {
        match poll_fn(|context| Pin::new(&mut *body).poll_frame(context)).await {
            Some(Ok(frame)) => {
                // Trailers of a request have no meaning in gRPC.
                if let Ok(data) = frame.into_data() {
                    permit.count(data.len())?;
                    return Ok(Some(data));
                }
            }
            // The caller cancelled: HTTP/2 drops the RPC, or its deadline ends it.
            Some(Err(_)) => pending().await,
            None => return Ok(None),
        }
    }
}

/// Returns whether the message is complete, or an error if it can never be valid.
fn check(start: &[u8], received: usize, limit: usize) -> Result<bool, Error> {
    let Some([_, length @ ..]) = start.first_chunk::<PREFIX_BYTES>() else {
        return Ok(false);
    };
    let length = u32::from_be_bytes(*length) as usize;
    if length > limit {
        return Err(Error::RequestTooLarge { limit: limit as u64 });
    }
    match received.cmp(&(PREFIX_BYTES + length)) {
        Ordering::Less => Ok(false),
        Ordering::Equal => Ok(true),
        Ordering::Greater => Err(refusals::trailing_bytes()),
    }
}
