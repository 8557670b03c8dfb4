//! Watches a reply until its last byte: every RPC ends in exactly one outcome.

use std::{
    future::Future as _,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{HeaderMap, Response};
use http_body::{Body as HttpBody, Frame};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, Sleep, sleep_until},
};
use tonic::{Code, Status, body::Body};

use super::{reply::Reply, rpc::Rpc, trace};
use crate::{
    caller::GivesUp,
    error::{Error, Phase},
    grpc::status,
    pipeline::Permit,
    telemetry::{EndedRpc, Metrics, trace::Span},
};

/// Counts the RPC when it is dropped; until a status was seen, the RPC counts as cancelled.
#[derive(Debug)]
pub(super) struct Outcome {
    metrics: Metrics,
    rpc: Arc<Rpc>,
    /// Ends with it.
    span: Span,
    code: Code,
    /// When the caller gives up, if it ever does.
    expires: Option<Instant>,
    /// Its place among streams that nobody answers for, if it is one.
    place: Option<OwnedSemaphorePermit>,
}

impl Outcome {
    pub(super) fn new(metrics: Metrics, rpc: Arc<Rpc>, span: Span) -> Self {
        Self { metrics, rpc, span, code: Code::Cancelled, expires: None, place: None }
    }

    /// Takes one of `places` until the RPC ends; false: there is none.
    pub(super) fn has_place(&mut self, places: &Arc<Semaphore>) -> bool {
        self.place = Arc::clone(places).try_acquire_owned().ok();
        self.place.is_some()
    }

    fn note(&mut self, headers: &HeaderMap) {
        if let Some(code) = headers.get("grpc-status") {
            self.code = Code::from_bytes(code.as_bytes());
        }
    }

    /// Returns the trailers of a reply that ends with this error.
    fn end(&mut self, error: &Error) -> HeaderMap {
        let mut trailers = HeaderMap::new();
        if self.rpc.refuse(error).add_header(&mut trailers).is_ok() {
            self.note(&trailers);
        }
        trailers
    }
}

impl Drop for Outcome {
    fn drop(&mut self) {
        // Whoever reads no reply is cut off, and sees no status.
        let now = Instant::now();
        let late = self.expires.is_some_and(|at| at <= now);
        if late && self.code == Code::Cancelled {
            self.code = Code::DeadlineExceeded;
        }
        let outcome = self.rpc.outcome(self.code);
        let took = now - self.rpc.started;
        self.metrics.rpc(EndedRpc {
            method: self.rpc.method,
            code: status::code_name(self.code),
            outcome,
            took,
            caller: self.rpc.caller(),
        });
        if self.code == Code::Ok
            && let Some(overhead) = self.rpc.overhead(now)
        {
            self.metrics.overhead(self.rpc.method, overhead);
        }
        // Streams of health and reflection last as long as their callers like.
        if let Some(recent) = self.metrics.recent()
            && self.place.is_none()
            && recent.is_slow(took)
        {
            recent.slow_rpc(self.rpc.slow(outcome, now));
        }
        trace::end(&mut self.span, &self.rpc, self.code);
    }
}

/// Puts a reply under observation until its caller gives up, at `expires`.
pub(super) fn observed(
    response: Response<Body>,
    mut outcome: Outcome,
    expires: Option<Instant>,
    permit: Option<Permit>,
) -> Response<Body> {
    outcome.note(response.headers());
    outcome.expires = expires;
    let (mut head, body) = response.into_parts();
    // The transport ends what is stuck in HTTP/2, where nobody asks for more of the reply.
    if let Some(at) = expires {
        head.extensions.insert(GivesUp(at));
    }
    let reply = Reply::new(body, permit);
    let observed = Observed { reply, outcome, alarm: None, ended: false };
    Response::from_parts(head, Body::new(observed))
}

struct Observed {
    reply: Reply,
    outcome: Outcome,
    /// Set when there is something to wait for.
    alarm: Option<Pin<Box<Sleep>>>,
    ended: bool,
}

impl Observed {
    fn end(&mut self, error: &Error) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        self.ended = true;
        Poll::Ready(Some(Ok(Frame::trailers(self.outcome.end(error)))))
    }

    fn is_late(&mut self, context: &mut Context<'_>) -> bool {
        let Some(at) = self.outcome.expires else { return false };
        let alarm = self.alarm.get_or_insert_with(|| Box::pin(sleep_until(at)));
        alarm.as_mut().poll(context).is_ready()
    }
}

impl HttpBody for Observed {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        if self.ended {
            return Poll::Ready(None);
        }
        // Messages are made here: the service has long returned.
        let polled = catch_unwind(AssertUnwindSafe(|| self.reply.poll_frame(context)));
        let Ok(polled) = polled else {
            self.outcome.metrics.panic();
            self.outcome.rpc.panicked();
            return self.end(&Error::Internal { cause: "a reply panicked" });
        };
        if let Poll::Ready(frame) = polled {
            if let Some(Ok(frame)) = &frame
                && let Some(trailers) = frame.trailers_ref()
            {
                self.outcome.note(trailers);
            }
            return Poll::Ready(frame);
        }
        // A status would wait behind bytes that nobody takes.
        if self.is_late(context) && !self.reply.is_going_out() {
            return self.end(&Error::DeadlineExceeded { phase: Phase::Stream });
        }
        Poll::Pending
    }

    fn is_end_stream(&self) -> bool {
        self.ended || self.reply.is_end_stream()
    }
}
