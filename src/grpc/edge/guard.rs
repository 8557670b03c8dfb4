//! Counts every RPC exactly once.

use std::sync::Arc;

use http::HeaderMap;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::Instant,
};
use tonic::Code;

use super::{rpc::Rpc, trace};
use crate::{
    error::Error,
    grpc::status,
    telemetry::{EndedRpc, recent::SLOW, trace::Span},
};

/// Counts the RPC when it is dropped, as cancelled unless it has seen a status.
#[derive(Debug)]
pub(super) struct RpcGuard {
    pub(super) rpc: Arc<Rpc>,
    /// Ends with the guard.
    span: Span,
    code: Code,
    /// When the stream ends at the latest.
    pub(super) expires: Option<Instant>,
    /// Its place among the streams without a credential.
    place: Option<OwnedSemaphorePermit>,
}

impl RpcGuard {
    pub(super) fn new(rpc: Arc<Rpc>, span: Span) -> Self {
        Self { rpc, span, code: Code::Cancelled, expires: None, place: None }
    }

    /// Takes one of `places` until the RPC ends, or returns an error if there is none.
    pub(super) fn take_place(&mut self, places: &Arc<Semaphore>) -> Result<(), Error> {
        let full = Error::Overloaded { what: "streams of health and reflection" };
        self.place = Some(Arc::clone(places).try_acquire_owned().map_err(|_| full)?);
        Ok(())
    }

    /// Reads the status in headers or trailers, if there is one.
    pub(super) fn note(&mut self, headers: &HeaderMap) {
        if let Some(code) = headers.get("grpc-status") {
            self.code = Code::from_bytes(code.as_bytes());
        }
    }

    /// Returns the trailers of a reply that ends with this error.
    pub(super) fn end(&mut self, error: &Error) -> HeaderMap {
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
        self.rpc.metrics.rpc(EndedRpc {
            method: self.rpc.method,
            code: status::code_name(self.code),
            outcome,
            took,
            caller: self.rpc.caller.get(),
        });
        if self.code == Code::Ok
            && let Some(overhead) = self.rpc.overhead(now)
        {
            self.rpc.metrics.overhead(self.rpc.method, overhead);
        }
        // Streams of health and reflection are long, and not slow.
        if let Some(recent) = self.rpc.metrics.recent()
            && self.place.is_none()
            && took > SLOW
        {
            recent.slow_rpc(self.rpc.slow(outcome, now));
        }
        trace::end(&mut self.span, &self.rpc, self.code);
    }
}
