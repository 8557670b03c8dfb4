//! The message of a unary RPC, received whole before anything is made of it.
//!
//! tonic would decode a message as soon as it is there and then wait for the end of the stream, holding all that it
//! grew to; and it would decode a second one and throw it away.

use std::{
    collections::VecDeque,
    convert::Infallible,
    future::{pending, poll_fn},
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame};
use tonic::body::Body;

use super::refusals;
use crate::{error::Error, pipeline::Permit};

/// gRPC's compression flag and length before a message.
const PREFIX_BYTES: usize = 5;

/// Receives one message of at most `limit` bytes as it was sent, and counts its bytes as they come.
///
/// A length beyond the limit is refused when it is read, and anything after the message when it comes.
pub(super) async fn receive(body: Body, limit: usize, permit: &Permit) -> Result<Body, Error> {
    let mut body = body;
    let mut message = Message::default();
    while !body.is_end_stream() {
        match poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await {
            // A caller who breaks off has left: HTTP/2 drops the RPC, or else its deadline ends it.
            Some(Err(_)) => pending().await,
            // Trailers of a request mean nothing in gRPC.
            Some(Ok(frame)) => {
                if let Ok(data) = frame.into_data() {
                    permit.count(data.len())?;
                    message.add(data, limit)?;
                }
            }
            None => break,
        }
    }
    if message.is_whole() { Ok(Body::new(message)) } else { Err(refusals::undecodable()) }
}

/// The frames of a message, to be read again.
#[derive(Debug, Default)]
struct Message {
    prefix: [u8; PREFIX_BYTES],
    received: usize,
    frames: VecDeque<Bytes>,
}

impl Message {
    fn add(&mut self, data: Bytes, limit: usize) -> Result<(), Error> {
        let missing = self.prefix.get_mut(self.received..).unwrap_or_default();
        for (to, from) in missing.iter_mut().zip(&data) {
            *to = *from;
        }
        self.received += data.len();
        self.frames.push_back(data);
        match self.length() {
            Some(length) if length > limit => Err(Error::RequestTooLarge { limit: limit as u64 }),
            Some(length) if self.received - PREFIX_BYTES > length => Err(refusals::more_than_one()),
            _ => Ok(()),
        }
    }

    /// Returns the length the message says it has, once it has said it.
    fn length(&self) -> Option<usize> {
        let [_, length @ ..] = self.prefix;
        (self.received >= PREFIX_BYTES).then_some(u32::from_be_bytes(length) as usize)
    }

    fn is_whole(&self) -> bool {
        self.length().is_some_and(|length| self.received - PREFIX_BYTES == length)
    }
}

impl HttpBody for Message {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(self.frames.pop_front().map(|data| Ok(Frame::data(data))))
    }

    fn is_end_stream(&self) -> bool {
        self.frames.is_empty()
    }
}
