//! The entrance of every RPC. Messages are opaque here.
//!
//! In order: content type and HTTP method, request id, method, deadline, credential, the whole message; then the
//! services. Panics and tonic's own errors become statuses of the gateway. The RPC is counted when its last byte has
//! left.

mod content;
mod guard;
mod message;
mod mistakes;
mod refusals;
mod repair;
mod reply;
mod rpc;
mod series;
mod trace;

use std::{
    collections::{BTreeSet, HashSet},
    panic::AssertUnwindSafe,
    sync::{Arc, LazyLock},
};

use futures_util::FutureExt as _;
use http::{Extensions, Request, Response};
use prost::Message as _;
use prost_types::FileDescriptorSet;
use tokio::{
    sync::Semaphore,
    time::{Instant, timeout_at},
};
use tonic::{Status, body::Body, service::Routes};
use tower::ServiceExt as _;

use super::{
    Settings, codec,
    convert::CallTerms,
    deadline::{self, Deadline},
    request_id, status, v1,
};
use crate::{
    caller::Caller,
    error::{Error, Phase},
    peer::PeerIdentity,
    pipeline::{Admission, Permit},
    telemetry::{Metrics, semconv},
};
use guard::RpcGuard;
use rpc::Rpc;
#[cfg(test)]
pub(super) use series::errors as expected_errors;

/// Name of all unknown methods: names that callers choose would make metric series.
const OTHER_METHOD: &str = semconv::OTHER;

/// Limit of concurrent streams of health, reflection and unknown methods, which need no credential and may last as long
/// as their connection. A client usually has one `Watch`; each takes about 10 KB.
const MAX_UNAUTHENTICATED_STREAMS: usize = 16_384;

/// Prefix of the gateway's own methods, all of them unary. The others are health and reflection, without admission.
const SERVICE_PREFIX: &str = "voyage.";

/// The server of the gRPC port; cheap to clone.
#[derive(Clone, Debug)]
pub struct Edge {
    routes: Routes,
    settings: Arc<Settings>,
    admission: Admission,
    unauthenticated_streams: Arc<Semaphore>,
    metrics: Metrics,
}

/// An admitted RPC; services find it in the extensions of the request.
#[derive(Clone, Debug)]
pub(super) struct Call {
    pub(super) rpc: Arc<Rpc>,
    pub(super) deadline: Deadline,
    /// Anonymous where the method needs no credential.
    pub(super) caller: Caller,
    /// Counts the RPC and its bytes as in flight.
    pub(super) permit: Permit,
}

impl Call {
    /// Returns the call of a request.
    #[expect(
        clippy::expect_used,
        reason = "the edge is the only way to the services and inserts the call"
    )]
    pub(super) fn of(extensions: &Extensions) -> Self {
        extensions.get::<Self>().cloned().expect("a request that came through the edge")
    }

    /// Returns the caller and the deadline.
    pub(super) fn terms(&self) -> CallTerms {
        CallTerms { caller: self.caller.clone(), deadline: self.deadline.answer_by }
    }

    /// Returns an error if the caller's rules do not allow this RPC.
    pub(super) fn check_rpc(&self) -> Result<(), Error> {
        self.caller.check_rpc(short(self.rpc.method))
    }

    /// Returns the status of an error, which ends the RPC, and logs it.
    pub(super) fn refuse(&self, error: &Error) -> Status {
        self.rpc.refuse(error)
    }

    /// Returns the latest end of the stream. A stream without a deadline has none, a unary call always has one.
    fn expires(&self) -> Option<Instant> {
        (self.deadline.explicit || self.rpc.is_own()).then_some(self.deadline.at)
    }
}

/// Returns the status that ends a stream at the drain. Requests to the admin port have no [`Call`]: their ids are read
/// here.
pub fn draining<T>(request: &tonic::Request<T>) -> Status {
    let request_id = match request.extensions().get::<Call>() {
        Some(call) => call.rpc.request_id.clone(),
        None => request_id::of(request.metadata().as_ref()),
    };
    status::status(&Error::Draining, request_id.to_str().unwrap_or_default())
}

impl Edge {
    pub(super) fn new(
        routes: Routes,
        settings: Arc<Settings>,
        admission: Admission,
        metrics: Metrics,
    ) -> Self {
        series::expect(&metrics);
        let unauthenticated_streams = Arc::new(Semaphore::new(MAX_UNAUTHENTICATED_STREAMS));
        Self { routes, settings, admission, unauthenticated_streams, metrics }
    }

    /// Answers one RPC.
    pub async fn serve(self, request: Request<Body>) -> Response<Body> {
        if let Some(refusal) = content::refusal(&request) {
            mistakes::not_grpc(&request, refusal.status());
            return refusal;
        }
        let method = method_name(request.uri().path());
        let span = trace::begin(&self.settings.tracer, &request, method);
        let rpc = Rpc::new(request.headers(), method, span.context().clone(), &self.metrics);
        let mut guard = RpcGuard::new(Arc::clone(&rpc), span);
        let call = self.admit(&request, &mut guard);
        let mut response = match &call {
            Ok(call) => self.answer_in_time(request, call).await,
            Err(error) => rpc.refuse(error).into_http(),
        };
        response.headers_mut().insert(request_id::HEADER, rpc.request_id.clone());
        reply::guarded(response, guard, call.ok())
    }

    /// Checks everything before the message: the number of streams without a credential, deadline, credential.
    fn admit(&self, request: &Request<Body>, guard: &mut RpcGuard) -> Result<Call, Error> {
        let rpc = Arc::clone(&guard.rpc);
        if !rpc.is_own() {
            guard.take_place(&self.unauthenticated_streams)?;
        }
        let timeout = match deadline::parse(request.headers()) {
            // The answer to an unknown method is UNIMPLEMENTED, even if the request has other errors.
            Err(_) if rpc.method == OTHER_METHOD => None,
            timeout => timeout?,
        };
        let deadline = Deadline::new(timeout, self.settings.deadlines);
        let caller = self.identify(request, &rpc)?;
        // Set once per RPC.
        let _ = rpc.has_ample_time.set(deadline.ample);
        let _ = rpc.caller.set(caller.clone());
        if rpc.method == OTHER_METHOD {
            mistakes::no_such_method(request, &rpc);
        } else if rpc.is_own() && !deadline.explicit {
            mistakes::no_deadline(request, &rpc, self.settings.deadlines.unset());
        }
        Ok(Call { rpc, deadline, caller, permit: self.admission.permit() })
    }

    /// Returns the caller. Health and reflection need no credential: probes and tools have none.
    fn identify(&self, request: &Request<Body>, rpc: &Rpc) -> Result<Caller, Error> {
        if !rpc.is_own() {
            return Ok(Caller::anonymous());
        }
        let peer = request.extensions().get::<PeerIdentity>();
        let name = self.settings.authenticator.identify(request.headers(), peer)?;
        Ok(self.settings.rules.get().caller(&name))
    }

    async fn answer_in_time(&self, mut request: Request<Body>, call: &Call) -> Response<Body> {
        request.extensions_mut().insert(call.clone());
        // Services end by themselves at `answer_by`; the timeout below is for a message that never ends.
        let Deadline { at, answer_by, .. } = call.deadline;
        let late = || call.refuse(&Error::DeadlineExceeded { phase: Phase::Request }).into_http();
        // Timers have a resolution of a millisecond: without this, a call with no time left would still cost money.
        if at <= Instant::now() {
            return late();
        }
        let cut = answer_by + (at - answer_by) / 2;
        let answer = AssertUnwindSafe(self.receive_and_answer(request, call)).catch_unwind();
        match timeout_at(cut, answer).await {
            Err(_) => late(),
            Ok(Ok(response)) => {
                refusals::explained(response, self.settings.max_request_bytes as u64, call)
            }
            Ok(Err(_panic)) => {
                call.rpc.panicked();
                call.refuse(&Error::Internal { cause: "a service panicked" }).into_http()
            }
        }
    }

    async fn receive_and_answer(&self, request: Request<Body>, call: &Call) -> Response<Body> {
        let (head, mut body) = request.into_parts();
        if call.rpc.is_own() {
            body = match message::receive(body, self.settings.max_request_bytes, &call.permit).await
            {
                Ok(message) => message,
                Err(error) => return call.refuse(&error).into_http(),
            };
        }
        let response = self.route(Request::from_parts(head, body)).await;
        let Some(undecodable) = codec::undecoded(&response) else { return response };
        drop(response);
        match repair::repaired(undecodable, self.settings.max_request_bytes, call).await {
            Ok(request) => self.route(request).await,
            Err(error) => call.refuse(&error).into_http(),
        }
    }

    async fn route(&self, request: Request<Body>) -> Response<Body> {
        match self.routes.clone().oneshot(request).await {
            Ok(response) => response,
            Err(never) => match never {},
        }
    }
}

/// Returns `package.Service/Method` of a served method, and [`OTHER_METHOD`] for all others.
fn method_name(path: &str) -> &'static str {
    static METHODS: LazyLock<HashSet<String>> = LazyLock::new(served_methods);
    path.strip_prefix('/')
        .and_then(|method| METHODS.get(method))
        .map_or(OTHER_METHOD, String::as_str)
}

/// Returns the short names of the gateway's own RPCs, such as `Embed`: those that rules can name.
pub fn rpc_names() -> BTreeSet<String> {
    let own = served_methods().into_iter().filter(|method| method.starts_with(SERVICE_PREFIX));
    own.map(|method| short(&method).to_owned()).collect()
}

/// Returns a method's name without its service.
fn short(method: &str) -> &str {
    method.rsplit('/').next().unwrap_or(method)
}

fn served_methods() -> HashSet<String> {
    let descriptors = [
        v1::FILE_DESCRIPTOR_SET,
        tonic_health::pb::FILE_DESCRIPTOR_SET,
        tonic_reflection::pb::v1::FILE_DESCRIPTOR_SET,
        tonic_reflection::pb::v1alpha::FILE_DESCRIPTOR_SET,
    ];
    // All four are compiled in, and reflection reads them at the start: there, a broken one is an error.
    let files = descriptors
        .iter()
        .filter_map(|bytes| FileDescriptorSet::decode(*bytes).ok())
        .flat_map(|set| set.file);
    files
        .flat_map(|file| {
            let package = file.package().to_owned();
            file.service.into_iter().flat_map(move |service| {
                let name = format!("{package}.{}", service.name());
                service.method.into_iter().map(move |method| format!("{name}/{}", method.name()))
            })
        })
        .collect()
}

#[cfg(test)]
mod tests;
