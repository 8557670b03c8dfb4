//! The message of a unary RPC, received whole before anything is made of it.
//!
//! tonic would decode a message as soon as it is there and then wait for the end of the stream, holding all that it
//! grew to; and it would decode a second one and throw it away.

use std::{
    future::{pending, poll_fn},
    pin::Pin,
};

use bytes::{Bytes, BytesMut};
use http_body::Body as _;
use http_body_util::Full;
use tonic::body::Body;

use super::refusals;
use crate::{error::Error, pipeline::Permit};

/// gRPC's compression flag and length before a message.
const PREFIX_BYTES: usize = 5;

/// Receives one message of at most `limit` bytes as it was sent, and counts its bytes as they come.
///
/// A length beyond the limit is refused when it is read, and anything after the message when it comes.
pub(super) async fn receive(mut body: Body, limit: usize, permit: &Permit) -> Result<Body, Error> {
    let first = next(&mut body, permit).await?.unwrap_or_default();
    let mut is_whole = check(&first, limit)?;
    if body.is_end_stream() && is_whole {
        return Ok(Body::new(Full::new(first)));
    }
    // Copied: a frame of one byte holds on to all that was read from the connection with it.
    let mut message = BytesMut::from(&*first);
    drop(first);
    while let Some(data) = next(&mut body, permit).await? {
        message.extend_from_slice(&data);
        is_whole = check(&message, limit)?;
    }
    if is_whole { Ok(Body::new(Full::new(message.freeze()))) } else { Err(refusals::undecodable()) }
}

/// Waits for the next bytes of a body; `None` at its end.
async fn next(body: &mut Body, permit: &Permit) -> Result<Option<Bytes>, Error> {
    loop {
        match poll_fn(|context| Pin::new(&mut *body).poll_frame(context)).await {
            Some(Ok(frame)) => {
                // Trailers of a request mean nothing in gRPC.
                if let Ok(data) = frame.into_data() {
                    permit.count(data.len())?;
                    return Ok(Some(data));
                }
            }
            // A caller who breaks off has left: HTTP/2 drops the RPC, or else its deadline ends it.
            Some(Err(_)) => pending().await,
            None => return Ok(None),
        }
    }
}

/// Tells whether these are a whole message; refuses what will never be one.
fn check(received: &[u8], limit: usize) -> Result<bool, Error> {
    let Some(([_, length @ ..], message)) = received.split_first_chunk::<PREFIX_BYTES>() else {
        return Ok(false);
    };
    let length = u32::from_be_bytes(*length) as usize;
    if length > limit {
        return Err(Error::RequestTooLarge { limit: limit as u64 });
    }
    if message.len() > length {
        return Err(refusals::more_than_one());
    }
    Ok(message.len() == length)
}
