//! Watches a reply until its last byte: every RPC ends in exactly one outcome.

use std::{
    future::Future as _,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Response};
use http_body::{Body as HttpBody, Frame, SizeHint};
use tokio::time::{Instant, Sleep, sleep_until};
use tonic::{Code, Status, body::Body};

use crate::{
    error::{Error, Phase},
    grpc::status,
    telemetry::Metrics,
};

/// Counts the RPC when it is dropped; until a status was seen, the RPC counts as cancelled.
#[derive(Debug)]
pub(super) struct Outcome {
    metrics: Metrics,
    method: &'static str,
    code: Code,
}

impl Outcome {
    pub(super) fn new(metrics: Metrics, method: &'static str) -> Self {
        Self { metrics, method, code: Code::Cancelled }
    }

    fn note(&mut self, headers: &HeaderMap) {
        if let Some(code) = headers.get("grpc-status") {
            self.code = Code::from_bytes(code.as_bytes());
        }
    }
}

impl Drop for Outcome {
    fn drop(&mut self) {
        self.metrics.rpc(self.method, code_name(self.code));
    }
}

/// Puts a reply under observation; `expires` ends a stream that outlives its caller's deadline.
pub(super) fn observed(
    response: Response<Body>,
    mut outcome: Outcome,
    expires: Option<Instant>,
    request_id: HeaderValue,
) -> Response<Body> {
    outcome.note(response.headers());
    let expires = expires.map(|at| Box::pin(sleep_until(at)));
    response.map(|body| Body::new(Observed { body, outcome, expires, request_id, ended: false }))
}

struct Observed {
    body: Body,
    outcome: Outcome,
    expires: Option<Pin<Box<Sleep>>>,
    /// For the status of a stream that is ended here.
    request_id: HeaderValue,
    ended: bool,
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
        if let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(context) {
            if let Some(Ok(frame)) = &frame
                && let Some(trailers) = frame.trailers_ref()
            {
                self.outcome.note(trailers);
            }
            return Poll::Ready(frame);
        }
        let late = self.expires.as_mut().is_some_and(|at| at.as_mut().poll(context).is_ready());
        if !late {
            return Poll::Pending;
        }
        self.ended = true;
        let mut trailers = HeaderMap::new();
        let error = Error::DeadlineExceeded { phase: Phase::Stream };
        let status = status::status(&error, self.request_id.to_str().unwrap_or_default());
        if status.add_header(&mut trailers).is_ok() {
            self.outcome.note(&trailers);
        }
        Poll::Ready(Some(Ok(Frame::trailers(trailers))))
    }

    fn is_end_stream(&self) -> bool {
        self.ended || self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// Returns a code as gRPC spells it.
fn code_name(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}
