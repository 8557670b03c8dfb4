//! A reply on its way out: it counts as in flight until HTTP/2 has let go of it.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame};
use tokio::sync::oneshot;
use tonic::{Status, body::Body};

use crate::pipeline::Permit;

/// The size of an HTTP/2 frame. Replies within it are handed over without a further look: to wait for them would cost
/// more than they do. A connection can hold back this much for each of its streams beside what is counted.
const SMALL_BYTES: usize = 16 * 1024;

/// Passes a reply on, and its trailers only when its bytes have been written.
///
/// HTTP/2 takes all bytes at once and keeps those that its peer has no room for. So the permit goes with them: it is free
/// when they have been written, or dropped with their stream. Until then the stream is not at its end, and can be ended.
pub(super) struct Reply {
    body: Body,
    permit: Option<Permit>,
    written: Option<oneshot::Receiver<()>>,
}

/// A reply's bytes, with what ends when nobody has them any more. Fields are dropped in this order.
struct Counted {
    bytes: Bytes,
    _permit: Option<Permit>,
    _written: oneshot::Sender<()>,
}

impl AsRef<[u8]> for Counted {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Reply {
    pub(super) fn new(body: Body, permit: Option<Permit>) -> Self {
        Self { body, permit, written: None }
    }

    /// Tells whether bytes of it are still to be written.
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
            // Dropped, rather than sent.
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
        Bytes::from_owner(Counted { bytes, _permit: self.permit.clone(), _written: sender })
    }
}
