//! Resets streams whose reply was not read by its deadline.
//!
//! When the flow-control window is empty, hyper does not poll the reply's body, so the body cannot time out. Dropping
//! the stream's future resets the stream and frees its buffers.

use std::{
    cell::Cell,
    pin::Pin,
    task::{Context, Poll},
};

use http::Response;
use hyper::rt::Executor;
use pin_project_lite::pin_project;
use tokio::time::{Duration, Instant, Sleep, sleep_until};
use tonic::body::Body;

use crate::peer::ResponseDeadline;

/// Time after the deadline in which the body can still end the stream with a status.
const STATUS_GRACE: Duration = Duration::from_millis(100);

tokio::task_local! {
    /// The time at which this task's stream is reset; `None`: not known yet, or never.
    static RESET_AT: Cell<Option<Instant>>;
}

/// Spawns a task for each stream, which ends with the stream or is dropped at its reset.
#[derive(Clone, Copy, Debug)]
pub(super) struct Streams;

impl<F> Executor<F> for Streams
where
    F: Future<Output: Send> + Send + 'static,
{
    fn execute(&self, stream: F) {
        tokio::spawn(RESET_AT.scope(Cell::new(None), Bounded { stream, alarm: None }));
    }
}

/// Notes the reply's deadline for its stream.
pub(super) fn with_deadline(reply: Response<Body>) -> Response<Body> {
    if let Some(ResponseDeadline(at)) = reply.extensions().get() {
        // Not set for HTTP/1.1, which has no streams.
        let _ = RESET_AT.try_with(|reset| reset.set(at.checked_add(STATUS_GRACE)));
    }
    reply
}

pin_project! {
    struct Bounded<F> {
        #[pin]
        stream: F,
        // Created when first polled with a deadline: most streams end before.
        alarm: Option<Pin<Box<Sleep>>>,
    }
}

impl<F: Future> Future for Bounded<F> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let this = self.project();
        if this.stream.poll(context).is_ready() {
            return Poll::Ready(());
        }
        let Some(at) = RESET_AT.with(Cell::get) else { return Poll::Pending };
        this.alarm.get_or_insert_with(|| Box::pin(sleep_until(at))).as_mut().poll(context)
    }
}
