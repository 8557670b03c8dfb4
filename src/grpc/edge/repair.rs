//! The repair of messages whose texts are not well-formed UTF-8, if the caller wants it.

use bytes::{BufMut as _, Bytes, BytesMut};
use http::{Request, header::CONTENT_TYPE};
use http_body_util::Full;
use tonic::body::Body;

use super::{Call, message::PREFIX_BYTES, refusals};
use crate::{error::Error, grpc::codec::Undecodable};

/// Larger messages are repaired on a blocking thread: a repair takes some nanoseconds per byte.
const MAX_BYTES_REPAIRED_HERE: usize = 256 * 1024;

/// Returns the same request with a repaired message of at most `limit` bytes. An error names the invalid texts, if the
/// caller does not want a repair.
pub(super) async fn repaired(
    undecodable: Undecodable,
    limit: usize,
    call: &Call,
) -> Result<Request<Body>, Error> {
    let message = if undecodable.len() <= MAX_BYTES_REPAIRED_HERE {
        message(&undecodable, limit, call)
    } else {
        let owned = call.clone();
        let repair = tokio::task::spawn_blocking(move || message(&undecodable, limit, &owned));
        repair.await.map_err(|_| Error::Internal { cause: "repairing a message panicked" })?
    };
    // The services find everything else in the call.
    Request::post(format!("/{}", call.rpc.method))
        .header(CONTENT_TYPE, "application/grpc")
        .extension(call.clone())
        .body(Body::new(Full::new(message?)))
        .map_err(|_| Error::Internal { cause: "a method is no path" })
}

/// Returns the repaired message as gRPC frames it.
fn message(undecodable: &Undecodable, limit: usize, call: &Call) -> Result<Bytes, Error> {
    let malformed = |_| refusals::undecodable();
    if !undecodable.wants_repair() {
        undecodable.violations().map_err(malformed)?.into_result()?;
        return Err(refusals::undecodable());
    }
    let repair = undecodable.repair().map_err(malformed)?;
    let length = repair.len();
    let Some(prefix) = u32::try_from(length).ok().filter(|_| length <= limit) else {
        return Err(Error::RequestTooLarge { limit: limit as u64 });
    };
    // The message was counted with the copy that tonic makes.
    call.permit.count(2 * length.saturating_sub(undecodable.len()))?;
    let mut frame = BytesMut::with_capacity(PREFIX_BYTES + length);
    frame.put_u8(0);
    frame.put_u32(prefix);
    repair.write(&mut frame).map_err(malformed)?;
    Ok(frame.freeze())
}
