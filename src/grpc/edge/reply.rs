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

/// What HTTP/2 is given at a time, as large as its frames are. What fits into one is given away without a further look:
/// a connection can hold back this much for each of its streams beside what is counted.
const SLICE_BYTES: usize = 16 * 1024;

/// Passes a reply on in slices, and its trailers when the last slice has been written.
///
/// HTTP/2 takes one slice more than its peer has room for and asks for the next when there is room. All slices are
/// of one allocation, so the permit stays with that until the last of them has been written, or dropped with
/// its stream.
pub(super) struct Reply {
    body: Body,
    permit: Option<Permit>,
    rest: Bytes,
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
        Self { body, permit, rest: Bytes::new(), written: None }
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
        if !self.rest.is_empty() {
            return Poll::Ready(Some(Ok(self.next_slice())));
        }
        if let Some(written) = &mut self.written {
            // Dropped, rather than sent.
            let _ = ready!(Pin::new(written).poll(context));
            self.written = None;
        }
        match ready!(Pin::new(&mut self.body).poll_frame(context)) {
            Some(Ok(frame)) => match frame.into_data() {
                Ok(data) if data.len() > SLICE_BYTES => {
                    let (sender, written) = oneshot::channel();
                    self.written = Some(written);
                    let permit = self.permit.clone();
                    let counted = Counted { bytes: data, _permit: permit, _written: sender };
                    self.rest = Bytes::from_owner(counted);
                    Poll::Ready(Some(Ok(self.next_slice())))
                }
                Ok(data) => Poll::Ready(Some(Ok(Frame::data(data)))),
                Err(frame) => Poll::Ready(Some(Ok(frame))),
            },
            other => Poll::Ready(other),
        }
    }

    fn next_slice(&mut self) -> Frame<Bytes> {
        if self.rest.len() > SLICE_BYTES {
            Frame::data(self.rest.split_to(SLICE_BYTES))
        } else {
            // Nothing of it may stay here, or it would never be let go of.
            Frame::data(std::mem::take(&mut self.rest))
        }
    }
}
