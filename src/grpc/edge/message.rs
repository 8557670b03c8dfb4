//! The message of a unary RPC, received completely before it is decoded.
//!
//! tonic would decode it first and then wait for the end of the stream, which holds the larger decoded message in memory,
//! and it would decode and discard a second message.

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

/// The compression flag and length before a message.
const PREFIX_BYTES: usize = 5;

/// Receives one encoded message of at most `limit` bytes, and counts its bytes in `permit` as they arrive.
///
/// A larger length, and data after the message, are errors as soon as they are read.
pub(super) async fn receive(mut body: Body, limit: usize, permit: &Permit) -> Result<Body, Error> {
    let first = next(&mut body, permit).await?.unwrap_or_default();
    let mut is_whole = check(&first, limit)?;
    if body.is_end_stream() && is_whole {
        return Ok(Body::new(Full::new(first)));
    }
    // Copied: even a small frame keeps the whole read buffer of the connection alive.
    let mut message = BytesMut::from(&*first);
    drop(first);
    while let Some(data) = next(&mut body, permit).await? {
        reserve(&mut message);
        message.extend_from_slice(&data);
        is_whole = check(&message, limit)?;
    }
    if !is_whole {
        return Err(refusals::undecodable());
    }
    // tonic copies the message before it decodes it. The pipeline then counts the inputs instead.
    permit.count(message.len())?;
    Ok(Body::new(Full::new(message.freeze())))
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

/// Allocates a whole message when a quarter of it is there: doubling would copy most of it once more, and a peer may announce
/// more than it sends.
fn reserve(message: &mut BytesMut) {
    if let Some([_, length @ ..]) = message.first_chunk::<PREFIX_BYTES>() {
        let whole = PREFIX_BYTES + u32::from_be_bytes(*length) as usize;
        if message.len() >= whole / 4 {
            message.reserve(whole.saturating_sub(message.len()));
        }
    }
}

/// Returns whether the message is complete, or an error if it can never be valid.
fn check(received: &[u8], limit: usize) -> Result<bool, Error> {
    let Some(([_, length @ ..], message)) = received.split_first_chunk::<PREFIX_BYTES>() else {
        return Ok(false);
    };
    let length = u32::from_be_bytes(*length) as usize;
    if length > limit {
        return Err(Error::RequestTooLarge { limit: limit as u64 });
    }
    if message.len() > length {
        return Err(refusals::trailing_bytes());
    }
    Ok(message.len() == length)
}
