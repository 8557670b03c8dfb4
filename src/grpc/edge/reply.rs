//! The body of a reply until its last byte: it counts as in flight until HTTP/2 has released it.

use std::{
    future::Future as _,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::Response;
use http_body::{Body as HttpBody, Frame};
use tokio::{
    sync::oneshot,
    time::{Sleep, sleep_until},
};
use tonic::{Status, body::Body};

use super::{Call, guard::RpcGuard};
use crate::{
    error::{Error, Phase},
    peer::ResponseDeadline,
    pipeline::Permit,
};

/// The size of an HTTP/2 frame. Smaller replies are not tracked, because that would cost more than they do. A connection
/// can hold this many uncounted bytes per stream.
const SMALL_BYTES: usize = 16 * 1024;

/// Returns the response with a [`GuardedBody`] as its body. `call` is that of an admitted RPC.
pub(super) fn guarded(
    response: Response<Body>,
    mut guard: RpcGuard,
    call: Option<Call>,
) -> Response<Body> {
    guard.note(response.headers());
    guard.expires = call.as_ref().and_then(Call::expires);
    let (mut head, body) = response.into_parts();
    // The transport resets streams whose reply is stuck in HTTP/2, which polls no body.
    if let Some(at) = guard.expires {
        head.extensions.insert(ResponseDeadline(at));
    }
    let permit = call.map(|call| call.permit);
    let reply = GuardedBody { body, permit, written: None, guard, alarm: None, ended: false };
    Response::from_parts(head, Body::new(reply))
}

/// A response body that keeps the guard until its end, and sends its trailers only when its bytes have been written.
///
/// HTTP/2 accepts all bytes at once and keeps those beyond the peer's window. So the bytes hold the permit: it is released
/// when they have been written, or dropped with the stream. Until then the stream is open, and can be ended with an error.
struct GuardedBody {
    body: Body,
    permit: Option<Permit>,
    /// Resolves when HTTP/2 has no bytes of the reply.
    written: Option<oneshot::Receiver<()>>,
    guard: RpcGuard,
    /// Set once the reply is pending.
    alarm: Option<Pin<Box<Sleep>>>,
    ended: bool,
}

/// Bytes of a reply; dropping them releases the permit. Fields are dropped in this order.
struct CountedBytes {
    bytes: Bytes,
    _permit: Option<Permit>,
    _written: oneshot::Sender<()>,
}

impl AsRef<[u8]> for CountedBytes {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

type PolledFrame = Poll<Option<Result<Frame<Bytes>, Status>>>;

impl GuardedBody {
    fn poll_body(&mut self, context: &mut Context<'_>) -> PolledFrame {
        if let Some(written) = &mut self.written {
            // The sender is dropped, and sends nothing.
            let _ = ready!(Pin::new(written).poll(context));
            self.written = None;
        }
        let frame = ready!(Pin::new(&mut self.body).poll_frame(context));
        Poll::Ready(frame.map(|frame| {
            frame.map(|frame| match frame.into_data() {
                Ok(data) if data.len() > SMALL_BYTES => Frame::data(self.counted(data)),
                Ok(data) => Frame::data(data),
                Err(frame) => frame,
            })
        }))
    }

    fn counted(&mut self, bytes: Bytes) -> Bytes {
        let (sender, written) = oneshot::channel();
        self.written = Some(written);
        Bytes::from_owner(CountedBytes { bytes, _permit: self.permit.clone(), _written: sender })
    }

    fn end(&mut self, error: &Error) -> PolledFrame {
        self.ended = true;
        Poll::Ready(Some(Ok(Frame::trailers(self.guard.end(error)))))
    }

    fn is_late(&mut self, context: &mut Context<'_>) -> bool {
        let Some(at) = self.guard.expires else { return false };
        let alarm = self.alarm.get_or_insert_with(|| Box::pin(sleep_until(at)));
        alarm.as_mut().poll(context).is_ready()
    }
}

impl HttpBody for GuardedBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> PolledFrame {
        if self.ended {
            return Poll::Ready(None);
        }
        // The service has returned, but its messages are encoded here.
        let polled = catch_unwind(AssertUnwindSafe(|| self.poll_body(context)));
        let Ok(polled) = polled else {
            self.guard.rpc.panicked();
            return self.end(&Error::Internal { cause: "a reply panicked" });
        };
        if let Poll::Ready(frame) = polled {
            if let Some(Ok(frame)) = &frame
                && let Some(trailers) = frame.trailers_ref()
            {
                self.guard.note(trailers);
            }
            return Poll::Ready(frame);
        }
        // A status would wait behind bytes that the caller does not read.
        if self.is_late(context) && self.written.is_none() {
            return self.end(&Error::DeadlineExceeded { phase: Phase::Stream });
        }
        Poll::Pending
    }

    fn is_end_stream(&self) -> bool {
        self.ended || (self.written.is_none() && self.body.is_end_stream())
    }
}
