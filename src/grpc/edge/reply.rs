//! A reply on its way out: it counts as in flight until HTTP/2 has released it.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame};
use tokio::sync::oneshot;
use tonic::{Status, body::Body};

use crate::pipeline::Permit;

/// The size of an HTTP/2 frame. Smaller replies are not tracked, because that would cost more than they do. A connection
/// can hold this many uncounted bytes per stream.
const SMALL_BYTES: usize = 16 * 1024;

/// A response body that sends its trailers only when its bytes have been written.
///
/// HTTP/2 accepts all bytes at once and keeps those beyond the peer's window. So the bytes hold the permit: it is released
/// when they have been written, or dropped with the stream. Until then the stream is open, and can be ended with an error.
pub(super) struct Reply {
    body: Body,
    permit: Option<Permit>,
    written: Option<oneshot::Receiver<()>>,
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

impl Reply {
    pub(super) fn new(body: Body, permit: Option<Permit>) -> Self {
        Self { body, permit, written: None }
    }

    /// Returns whether HTTP/2 still has bytes of it.
    pub(super) fn is_going_out(&self) -> bool {
        self.written.is_some()
    }

    pub(super) fn is_end_stream(&self) -> bool {
        self.written.is_none() && self.body.is_end_stream()
    }

    /// Returns the next frame.
    pub(super) fn poll_frame(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
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
}
