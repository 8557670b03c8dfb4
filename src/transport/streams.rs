//! Ends streams whose peer has stopped reading.
//!
//! HTTP/2 keeps the bytes of a reply that its peer gives no room for, and hyper asks the reply for nothing meanwhile: it
//! cannot end itself, and its bytes would be kept as long as the connection. Here the stream as a whole is dropped,
//! which HTTP/2 says as a reset, and it forgets what it holds.

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

/// What a reply that can still end itself in words has for it.
const LAST_WORDS: Duration = Duration::from_millis(100);

tokio::task_local! {
    /// When the stream of this task must have ended; `None`: its reply has not begun, or may take for ever.
    static END: Cell<Option<Instant>>;
}

/// Runs each stream on a task of its own, until its end or until its caller gives up.
#[derive(Clone, Copy, Debug)]
pub(super) struct Streams;

impl<F> Executor<F> for Streams
where
    F: Future<Output: Send> + Send + 'static,
{
    fn execute(&self, stream: F) {
        tokio::spawn(END.scope(Cell::new(None), Bounded { stream, alarm: None }));
    }
}

/// Takes from a reply when its stream must have ended.
pub(super) fn noted(reply: Response<Body>) -> Response<Body> {
    if let Some(ResponseDeadline(at)) = reply.extensions().get() {
        // HTTP/1.1 has no streams.
        let _ = END.try_with(|end| end.set(at.checked_add(LAST_WORDS)));
    }
    reply
}

pin_project! {
    struct Bounded<F> {
        #[pin]
        stream: F,
        // Most replies are taken at once and need none.
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
        let Some(at) = END.with(Cell::get) else { return Poll::Pending };
        this.alarm.get_or_insert_with(|| Box::pin(sleep_until(at))).as_mut().poll(context)
    }
}
