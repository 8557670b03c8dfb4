//! The body of a reply until its last byte: every RPC is counted exactly once.

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

use super::{Call, reply::Reply, rpc::Rpc, trace};
use crate::{
    error::{Error, Phase},
    grpc::status,
    peer::ResponseDeadline,
    telemetry::{EndedRpc, Metrics, trace::Span},
};

/// Counts the RPC when it is dropped, as cancelled unless it has seen a status.
#[derive(Debug)]
pub(super) struct RpcGuard {
    metrics: Metrics,
    rpc: Arc<Rpc>,
    /// Ends with the guard.
    span: Span,
    code: Code,
    /// When the stream ends at the latest.
    expires: Option<Instant>,
    /// Its place among the streams without a credential.
    place: Option<OwnedSemaphorePermit>,
}

impl RpcGuard {
    pub(super) fn new(metrics: Metrics, rpc: Arc<Rpc>, span: Span) -> Self {
        Self { metrics, rpc, span, code: Code::Cancelled, expires: None, place: None }
    }

    pub(super) fn rpc(&self) -> Arc<Rpc> {
        Arc::clone(&self.rpc)
    }

    /// Takes one of `places` until the RPC ends, or returns an error if there is none.
    pub(super) fn take_place(&mut self, places: &Arc<Semaphore>) -> Result<(), Error> {
        let full = Error::Overloaded { what: "streams of health and reflection" };
        self.place = Some(Arc::clone(places).try_acquire_owned().map_err(|_| full)?);
        Ok(())
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

impl Drop for RpcGuard {
    fn drop(&mut self) {
        // A caller that did not read its reply in time is reset, and sees no status.
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
        // Streams of health and reflection are long, and not slow.
        if let Some(recent) = self.metrics.recent()
            && self.place.is_none()
            && recent.is_slow(took)
        {
            recent.slow_rpc(self.rpc.slow(outcome, now));
        }
        trace::end(&mut self.span, &self.rpc, self.code);
    }
}

/// Returns the response with a body that keeps the guard until its end. `call` is that of an admitted RPC.
pub(super) fn observed(
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
    let reply = Reply::new(body, call.map(|call| call.permit));
    let observed = Observed { reply, guard, alarm: None, ended: false };
    Response::from_parts(head, Body::new(observed))
}

struct Observed {
    reply: Reply,
    guard: RpcGuard,
    /// Set once the reply is pending.
    alarm: Option<Pin<Box<Sleep>>>,
    ended: bool,
}

impl Observed {
    fn end(&mut self, error: &Error) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        self.ended = true;
        Poll::Ready(Some(Ok(Frame::trailers(self.guard.end(error)))))
    }

    fn is_late(&mut self, context: &mut Context<'_>) -> bool {
        let Some(at) = self.guard.expires else { return false };
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
        // The service has returned, but its messages are encoded here.
        let polled = catch_unwind(AssertUnwindSafe(|| self.reply.poll_frame(context)));
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
        if self.is_late(context) && !self.reply.is_going_out() {
            return self.end(&Error::DeadlineExceeded { phase: Phase::Stream });
        }
        Poll::Pending
    }

    fn is_end_stream(&self) -> bool {
        self.ended || self.reply.is_end_stream()
    }
}
